"""From the path of a URL to an original: exact name, else a preset behind it, else another extension."""

from collections.abc import Container
from dataclasses import dataclass, replace

import anyio.to_thread
from cachetools import LRUCache, TTLCache

from imgserve.errors import ImageNotFound, OriginalUnsettled, UnsupportedImage
from imgserve.formats import BY_EXTENSION
from imgserve.model import Original
from imgserve.originals.base import Originals

_MOST = 20_000


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
        self._fresh: TTLCache[str, Original | ImageNotFound] = TTLCache(_MOST, recheck)
        self._known: LRUCache[str, Original] = LRUCache(_MOST)

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
        self._fresh.pop(image_id, None)

    async def _by_name(self, image_id: str) -> Found | None:
        """Try the name, then its siblings of other extensions if the extension is one that can be made."""
        original = await self._look(image_id)
        if original is not None:
            return Found(original)
        stem, dot, extension = image_id.rpartition(".")
        asked = BY_EXTENSION.get(extension.lower()) if dot and stem and not stem.endswith("/") else None
        if asked is None or not asked.writable:
            return None
        for other in BY_EXTENSION:
            sibling = await self._look(f"{stem}.{other}") if other != extension else None
            if sibling is not None:
                return Found(sibling, format=asked.name)
        return None

    async def _look(self, image_id: str) -> Original | None:
        seen = self._fresh.get(image_id)
        if seen is None:
            seen = await self._look_now(image_id)
            self._fresh[image_id] = seen
        return seen if isinstance(seen, Original) else None

    async def _look_now(self, image_id: str) -> Original | ImageNotFound:
        try:
            original = await anyio.to_thread.run_sync(self._originals.stat, image_id, self._known.get(image_id))
        except ImageNotFound as error:
            self._known.pop(image_id, None)
            return error
        except (UnsupportedImage, OriginalUnsettled):
            self._known.pop(image_id, None)
            raise
        self._known[image_id] = original
        return original
