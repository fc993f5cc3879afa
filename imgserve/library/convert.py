"""Convert and transform images for API clients."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from anyio import to_thread

from imgserve.errors import BadTransform, OriginalChanged, quoted
from imgserve.formats import BY_EXTENSION, FORMATS, default_output
from imgserve.http.negotiation import AcceptClass
from imgserve.images.locate import Found, Locator
from imgserve.images.renditions import Renditions, Served
from imgserve.images.resolve import RenditionRequest, Resolver, choose_format
from imgserve.library.ingest import IngestService
from imgserve.library.results import Accepted, Details
from imgserve.model import Original, Rendition
from imgserve.originals.base import WritableOriginals
from imgserve.originals.incoming import Incoming
from imgserve.transform import ParsedQuery, Transform, compose, read_parameters

MOST_STEPS = 16
_ENCODING = ("format", "quality", "lossless", "progressive", "chroma", "colors", "auto")
"""What says how a picture is written, and nothing of what it shows."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is made of an original, and what of that, and so on."""

    queries: tuple[str, ...]
    asked: tuple[ParsedQuery, ...]

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


def read_steps(queries: Sequence[str], meaning: Resolver) -> Steps:
    """Read the steps of a transform.

    Raises:
        BadTransform: with every mistake in every step.
    """
    if not 1 <= len(queries) <= MOST_STEPS:
        raise BadTransform([f"steps: expected 1 to {MOST_STEPS}, but received {len(queries)}"])
    asked, mistakes = list[ParsedQuery](), list[str]()
    for number, query in enumerate(queries, start=1):
        try:
            asked.append(meaning.parse(query))
        except BadTransform as error:
            mistakes += (
                [f"step {number}: {mistake}" for mistake in error.mistakes] if len(queries) > 1 else error.mistakes
            )
    if mistakes:
        raise BadTransform(mistakes)
    return Steps(tuple(queries), tuple(asked))


def _names_format(asked: ParsedQuery) -> bool:
    return asked.transform.format is not None or "format" in asked.transform.auto


def _with_format(transform: Transform, original: Original, accepted: AcceptClass) -> Transform:
    name = transform.format
    if "format" in transform.auto:
        # How many pixels there will be is not known here, so AVIF is not chosen; it may be named.
        chosen = choose_format(accepted, original.format, 0, 0)
        name = chosen.name if chosen.name in accepted or name is None else name
    return replace(transform, format=name or default_output(original.format).name, auto=transform.auto - {"format"})


T = TypeVar("T")
_LOOKS = 3
"""How often an original may change while it is worked on before the caller is told to come back."""
_BY_MEDIA_TYPE = {form.media_type: form for form in FORMATS.values()}


@dataclass(frozen=True, slots=True)
class Made:
    """A picture, and what it was made of."""

    original: Original
    rendition: Rendition
    notes: tuple[str, ...] = ()
    """What had to be done differently than asked."""

    @property
    def extension(self) -> str:
        """How the name of a file with it ends."""
        return _BY_MEDIA_TYPE[self.rendition.media_type].extensions[0]


class Converter:
    """Makes pictures of originals by their exact ids. What a URL can ask for is kept as if it had been."""

    def __init__(
        self,
        finder: Locator,
        meaning: Resolver,
        renditions: Renditions,
        originals: WritableOriginals,
        ingest: IngestService,
    ) -> None:
        """Take who finds originals, knows what queries mean, has pictures; where originals go, and the way in."""
        self._finder = finder
        self._meaning = meaning
        self._renditions = renditions
        self._originals = originals
        self._ingest = ingest

    def read(self, queries: list[str]) -> Steps:
        """Read the steps of a transform.

        Raises:
            BadTransform: with every mistake in every step.
        """
        return read_steps(queries, self._meaning)

    async def convert(self, image_id: str, extension: str, query: str, accepted: AcceptClass) -> Made:
        """Make a picture in the format of an extension.

        Raises:
            BadTransform: there is no such format that can be written, or the query asks for another.
            ImgserveError: it cannot be made, now or at all.
        """
        form = BY_EXTENSION.get(extension.lower())
        if form is None or not form.writable:
            known = ", ".join(item.name for item in FORMATS.values() if item.writable)
            raise BadTransform([f"format: expected one of {known}, but received {quoted(extension)}"])
        name = form.name
        asked = self._meaning.parse(query).transform
        if "format" in asked.auto or asked.format not in {None, name}:
            raise BadTransform([f"format: the path asks for {name}, and the query for another"])
        return await self._while_it_changes(
            image_id,
            lambda found: self._one(self._meaning.request(replace(found, format=name), query, accepted, strict=True)),
        )

    async def picture(self, image_id: str, steps: Steps, accepted: AcceptClass = ()) -> Made:
        """Make a picture in one step or several.

        Raises:
            BadTransform: a step asks for what the picture before it does not have.
            ImgserveError: it cannot be made, now or at all.
        """
        return await self._while_it_changes(image_id, lambda found: self._picture(found, steps, accepted))

    async def query(self, image_id: str, steps: Steps) -> str:
        """Write the shortest query that asks for the picture of one step; the image is there.

        Raises:
            BadTransform: there are several steps, which no URL can ask for.
            ImageNotFound: there is no such image.
        """
        if not steps.single:
            raise BadTransform([f"steps: expected one for a URL, but received {len(steps.queries)}"])
        await self._finder.find_exactly(image_id)
        return compose(read_parameters(steps.queries[0]))

    async def original(self, image_id: str, steps: Steps, *, new_id: str | None, who: str) -> Accepted:
        """Keep a picture as a new original; without an id it is named by its content.

        Raises:
            BadImageId, ImageExists, DuplicateImage: it may not have this id, or come in again.
            ReadOnlyOriginals, StorageFull: it cannot be stored.
            ImgserveError: it cannot be made, now or at all.
        """
        if new_id is not None:
            self._originals.check_id(new_id)
        made = await self.picture(image_id, steps)
        incoming = await to_thread.run_sync(self._written, made.rendition.data)
        stem = image_id.rpartition("/")[2].rpartition(".")[0]
        details = Details(metadata={"made_from": image_id, "steps": list(steps.queries)})
        return await self._ingest.accept(
            incoming, new_id, details=details, who=who, replace=False, name=f"{stem}.{made.extension}"
        )

    async def _picture(self, found: Found, steps: Steps, accepted: AcceptClass) -> Made:
        if steps.single:
            return await self._one(self._meaning.request(found, steps.queries[0], accepted, strict=True))
        try:
            served = await self._renditions.make_chain(found.original, steps.transforms(found.original, accepted))
        except BadTransform as error:
            # The first step is made like any picture, and so are its mistakes.
            told = (mistake if mistake.startswith("step ") else f"step 1: {mistake}" for mistake in error.mistakes)
            raise BadTransform(list(told)) from error
        notes = [note for asked in steps.asked for note in asked.notes]
        return Made(found.original, served.rendition, (*notes, *served.rendition.notes))

    async def _one(self, meant: RenditionRequest) -> Made:
        served: Served | None = await self._renditions.cached(meant.key)
        if served is None:
            served = await self._renditions.make(meant.original, meant.transform, meant.key)
        return Made(meant.original, served.rendition, (*meant.query.notes, *served.rendition.notes))

    async def _while_it_changes(self, image_id: str, work: Callable[[Found], Awaitable[T]]) -> T:
        """Do work on an original; where it is replaced meanwhile, on the new one."""
        for _ in range(_LOOKS):
            try:
                return await work(await self._finder.find_exactly(image_id))
            except OriginalChanged:
                self._finder.forget(image_id)
        raise OriginalChanged(retry_after=1)

    def _written(self, data: bytes) -> Incoming:
        incoming = self._originals.incoming()
        try:
            incoming.write(data)
        except BaseException:
            incoming.drop()
            raise
        return incoming
