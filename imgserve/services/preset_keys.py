"""The keys of everything that a preset alone makes of an original, so that it can be purged."""

from imgserve.cache import RenditionKey
from imgserve.formats import FORMATS
from imgserve.model import Original
from imgserve.services.finding import Found
from imgserve.services.meaning import Meaning

_WRITABLE = tuple(name for name, form in FORMATS.items() if form.writable)


class PresetKeys:
    """Computes keys; parameters beside the preset make other pictures, which are not among them."""

    def __init__(self, meaning: Meaning) -> None:
        """Take who tells which picture a query means."""
        self._meaning = meaning

    def __call__(self, original: Original, preset: str) -> list[RenditionKey]:
        """Name what the preset makes: for every class of clients, and in every format that the path may ask for.

        Raises:
            BadTransform: there is no such preset.
        """
        name = preset.lower()
        meant = self._meaning.for_everyone(Found(original, name), b"")
        meant += [self._meaning.of(Found(original, name, extension), b"", ()) for extension in _WRITABLE]
        return list({one.key for one in meant})
