"""The steps of a transform: queries, read together, and what the last of them is encoded as."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imgserve.errors import BadTransform
from imgserve.formats import default_output
from imgserve.model import Original
from imgserve.services.meaning import Meaning, choose_format
from imgserve.transform import Asked, Transform
from imgserve.web.negotiate import AcceptClass

MOST_STEPS = 16

_ENCODING = ("format", "quality", "lossless", "progressive", "chroma", "colors", "auto")
"""What says how a picture is written, and nothing of what it shows."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is made of an original, and what of that, and so on."""

    queries: tuple[str, ...]
    asked: tuple[Asked, ...]

    @property
    def single(self) -> bool:
        """Tell whether it is what a URL can say."""
        return len(self.queries) == 1

    def transforms(self, original: Original, accepted: AcceptClass) -> list[Transform]:
        """Give the transforms, the last with the format that it is encoded in.

        Where the last step names no format, it takes format and encoding from the last one that does.
        """
        *earlier, last = (asked.transform for asked in self.asked)
        naming = next((asked for asked in reversed(self.asked) if _names_format(asked)), self.asked[-1])
        if naming is not self.asked[-1]:
            given = self.asked[-1].given
            inherited = {name: getattr(naming.transform, name) for name in _ENCODING if name not in given}
            last = replace(last, **inherited)
        return [*earlier, _with_format(last, original, accepted)]


def read_steps(queries: Sequence[str], meaning: Meaning) -> Steps:
    """Read the steps of a transform.

    Raises:
        BadTransform: with every mistake in every step.
    """
    if not 1 <= len(queries) <= MOST_STEPS:
        raise BadTransform([f"steps: expected 1 to {MOST_STEPS}, but received {len(queries)}"])
    asked, mistakes = list[Asked](), list[str]()
    for number, query in enumerate(queries, start=1):
        try:
            asked.append(meaning.read(query))
        except BadTransform as error:
            mistakes += (
                [f"step {number}: {mistake}" for mistake in error.mistakes] if len(queries) > 1 else error.mistakes
            )
    if mistakes:
        raise BadTransform(mistakes)
    return Steps(tuple(queries), tuple(asked))


def _names_format(asked: Asked) -> bool:
    return asked.transform.format is not None or "format" in asked.transform.auto


def _with_format(transform: Transform, original: Original, accepted: AcceptClass) -> Transform:
    name = transform.format
    if "format" in transform.auto:
        # How many pixels there will be is not known here, so AVIF is not chosen; it may be named.
        chosen = choose_format(accepted, original.format, 0, 0)
        name = chosen.name if chosen.name in accepted or name is None else name
    return replace(transform, format=name or default_output(original.format).name, auto=transform.auto - {"format"})
