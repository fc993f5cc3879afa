"""From the path of a URL to an original: exact name, else a preset behind it, else another extension."""

from collections.abc import Container
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

_LONGEST, _DEEPEST = 2048, 64
"""Characters and folders of an image id; looking at a file costs as much as its path is deep."""


_ANY = "\0"


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
        self._fresh: TTLCache[str, Original | ImgserveError] = TTLCache(_MOST, recheck)
        self._known: LRUCache[str, Original] = LRUCache(_MOST)
        self._flights: SingleFlight[str, Original | ImgserveError] = SingleFlight()

    async def find(self, path: str) -> Found:
        """Find the original that a path means.

        Raises:
            ImageNotFound: none of its readings exists.
            UnsupportedImage, OriginalUnsettled, Unavailable: it exists and cannot be read (yet).
        """
        if len(path) > _LONGEST or path.count("/") >= _DEEPEST:
            raise ImageNotFound
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
        self._fresh.pop(image_id, None)
        self._fresh.pop(_any_extension(image_id), None)

    async def _by_name(self, image_id: str) -> Found | None:
        """Try the name, then the same name with other extensions, if the one it has is that of a format we write."""
        original = await self._seen(image_id)
        if original is not None:
            return Found(original)
        stem, dot, extension = image_id.rpartition(".")
        asked = BY_EXTENSION.get(extension.lower()) if dot and stem and not stem.endswith("/") else None
        if asked is None or not asked.writable:
            return None
        sibling = await self._seen(_any_extension(image_id))
        return None if sibling is None else Found(sibling, format=asked.name)

    async def _seen(self, name: str) -> Original | None:
        """Find an original, from memory while the last look is fresh, else by one look for all who ask."""
        seen = self._fresh.get(name)
        if seen is None:
            seen, _ = await self._flights.do(name, lambda: to_thread.run_sync(self._look, name))
            self._fresh[name] = seen
            if isinstance(seen, Original):
                self._known[seen.image_id] = seen
        if isinstance(seen, Original):
            return seen
        if isinstance(seen, ImageNotFound):
            return None
        raise seen.with_traceback(None)

    def _look(self, name: str) -> Original | ImgserveError:
        """Look at the file, or at the first that exists of any extension, in a thread."""
        for image_id in _spelled_out(name):
            try:
                return self._originals.stat(image_id, self._known.get(image_id))
            except ImageNotFound:
                continue
            except ImgserveError as error:
                return error
        return ImageNotFound()


def _any_extension(image_id: str) -> str:
    """Write a name with any extension, as no file is named."""
    return f"{image_id.rpartition('.')[0]}.{_ANY}"


def _spelled_out(name: str) -> list[str]:
    """List what a name stands for; cameras write extensions in upper case."""
    if not name.endswith(_ANY):
        return [name]
    stem = name.removesuffix(_ANY)
    return [stem + spelled for extension in BY_EXTENSION for spelled in (extension, extension.upper())]
