"""From the path of a URL to an original: exact name, else a preset behind it, else another extension."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from anyio import to_thread
from cachetools import LRUCache, TTLCache

from imgserve.cache import SingleFlight
from imgserve.errors import ImageNotFound, ImgserveError
from imgserve.formats import BY_EXTENSION
from imgserve.model import Original
from imgserve.originals.base import Originals

_MOST = 20_000
"""Images remembered; a flood of names only makes others be looked at again."""


@dataclass(frozen=True, slots=True)
class Found:
    """An original, and what the path asks for beside it."""

    original: Original
    preset: str | None = None
    format: str | None = None
    """The output format that the path's extension asks for."""


class Finder:
    """Looks originals up, each no more often than once in a recheck time."""

    def __init__(self, originals: Originals, *, recheck: float, presets: Container[str]) -> None:
        """Take where originals are, seconds between looks, and the names a path may end in (lower case)."""
        self._originals = originals
        self._presets = presets
        self._fresh: TTLCache[tuple[str, ...], Original | ImgserveError] = TTLCache(_MOST, recheck)
        self._known: LRUCache[str, Original] = LRUCache(_MOST)
        self._flights: SingleFlight[tuple[str, ...], Original | ImgserveError] = SingleFlight()

    async def find(self, path: str) -> Found:
        """Find the original that a path means.

        Raises:
            ImageNotFound: none of its readings exists.
            UnsupportedImage, OriginalUnsettled: it exists and cannot be read (yet).
        """
        found = await self._by_name(path)
        if found is not None:
            return found
        folder, _, last = path.rpartition("/")
        if folder and last.lower() in self._presets:
            found = await self._by_name(folder)
            if found is not None:
                return replace(found, preset=last.lower())
        raise ImageNotFound

    def forget(self, image_id: str) -> None:
        """Look again at the next request, whatever was seen."""
        stem = image_id.rpartition(".")[0]
        for names in ((image_id,), *(_siblings(f"{stem}.{other}") for other in BY_EXTENSION)):
            self._fresh.pop(names, None)

    async def _by_name(self, image_id: str) -> Found | None:
        """Try the name, then the same name with other extensions, if the one it has is that of a format we write."""
        original = await self._first_of((image_id,))
        if original is not None:
            return Found(original)
        stem, dot, extension = image_id.rpartition(".")
        asked = BY_EXTENSION.get(extension.lower()) if dot and stem and not stem.endswith("/") else None
        if asked is None or not asked.writable:
            return None
        sibling = await self._first_of(_siblings(image_id))
        return None if sibling is None else Found(sibling, format=asked.name)

    async def _first_of(self, names: tuple[str, ...]) -> Original | None:
        """Find the first that exists, from memory while the last look is fresh, else by one look for all who ask."""
        seen = self._fresh.get(names)
        if seen is None:
            seen, _ = await self._flights.do(names, lambda: to_thread.run_sync(self._look, names))
            self._fresh[names] = seen
            if isinstance(seen, Original):
                self._known[seen.image_id] = seen
        if isinstance(seen, Original):
            return seen
        if isinstance(seen, ImageNotFound):
            return None
        raise seen.with_traceback(None)

    def _look(self, names: Iterable[str]) -> Original | ImgserveError:
        """Look at the files, in a thread."""
        for name in names:
            try:
                return self._originals.stat(name, self._known.get(name))
            except ImageNotFound:
                continue
            except ImgserveError as error:
                return error
        return ImageNotFound()


def _siblings(image_id: str) -> tuple[str, ...]:
    """List the names with other extensions; cameras write them in upper case."""
    stem, _, extension = image_id.rpartition(".")
    others = [other for other in BY_EXTENSION if other != extension.lower()]
    return tuple(f"{stem}.{spelled}" for other in others for spelled in (other, other.upper()))
