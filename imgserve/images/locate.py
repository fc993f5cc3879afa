"""Find the original that a URL path names."""

import time
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, replace

import anyio
from anyio import to_thread
from cachetools import LRUCache, TTLCache

from imgserve.cache import SingleFlight
from imgserve.errors import CatalogUnavailable, ImageNotFound, ImgserveError
from imgserve.formats import BY_EXTENSION
from imgserve.model import FocalPoint, Original
from imgserve.originals.base import Originals

_MOST = 20_000
"""Images remembered; a flood of names only makes others be looked at again."""
_LONGEST, _DEEPEST = 2048, 64
"""Characters and folders of an image id; looking at a file costs as much as its path is deep."""
_ANY = "\0"
_PATIENCE, _PAUSE = 0.25, 1.0
"""Seconds that a look waits for a focal point, and that nobody asks for one after it did not come."""
AskFocalPoint = Callable[[str], Awaitable[FocalPoint | None]]
"""Tells what crops of an image keep; may raise CatalogUnavailable."""


async def _no_focal_point(_image_id: str) -> FocalPoint | None:
    return None


@dataclass(slots=True, eq=False)
class CachedStat:
    """What was seen at a name, and how long that counts.

    One object as long as nothing changes there: a later look that sees the same prolongs it, for all who hold it.
    """

    seen: Original | ImgserveError
    until: float
    """By `time.monotonic`."""
    focus_known: bool = True
    """Whether the focal point was told, or could not be."""


@dataclass(frozen=True, slots=True)
class Found:
    """An original, and what the path asks for beside it."""

    original: Original
    preset: str | None = None
    format: str | None = None
    """The output format that the path's extension asks for."""
    stats: tuple[CachedStat, ...] = ()
    """What this was concluded from: it holds while all of them count."""


class Locator:
    """Looks originals up, each no more often than once in a recheck time."""

    def __init__(
        self,
        originals: Originals,
        *,
        recheck: float,
        presets: Container[str],
        focal_point: AskFocalPoint = _no_focal_point,
    ) -> None:
        """Take where originals are, seconds between looks, the names a path may end in (lower case), whom to ask."""
        self._originals = originals
        self._recheck = recheck
        self._presets = presets
        self._focal_point = focal_point
        self._no_asking_until = 0.0
        # An original is remembered beyond the time: to look again is cheap then, and its sight can go on.
        self._present: LRUCache[str, CachedStat] = LRUCache(_MOST)
        self._absent: TTLCache[str, CachedStat] = TTLCache(_MOST, recheck)
        self._flights: SingleFlight[str, CachedStat] = SingleFlight()

    async def find(self, path: str) -> Found:
        """Find the original that a path means.

        Raises:
            ImageNotFound: none of its readings exists.
            UnsupportedImage, OriginalUnsettled, Unavailable: it exists and cannot be read (yet).
        """
        if len(path) > _LONGEST or path.count("/") >= _DEEPEST:
            raise ImageNotFound
        found, stats = await self._by_name(path)
        if found is not None:
            return found
        folder, _, last = path.rpartition("/")
        if folder and last.lower() in self._presets:
            found, _ = await self._by_name(folder)
            if found is not None:
                return replace(found, preset=last.lower(), stats=(*stats, *found.stats))
        raise ImageNotFound

    async def find_exactly(self, image_id: str) -> Found:
        """Find an original by its id alone; nothing else is read into it.

        Raises:
            ImageNotFound: there is none.
            UnsupportedImage, OriginalUnsettled, Unavailable: it exists and cannot be read (yet).
        """
        found = await self.find(image_id)
        if found.original.image_id != image_id:
            raise ImageNotFound
        return found

    def forget(self, image_id: str) -> None:
        """Look again at the next request, whatever was seen."""
        for name in (image_id, _any_extension(image_id)):
            for stats in (self._present, self._absent):
                stat = stats.pop(name, None)
                if stat is not None:
                    stat.until = 0.0

    async def _by_name(self, image_id: str) -> tuple[Found | None, tuple[CachedStat, ...]]:
        """Try the name, then the same name with other extensions, if the one it has is that of a format we write."""
        stat = await self._sight(image_id)
        if isinstance(stat.seen, Original):
            return Found(stat.seen, stats=(stat,)), ()
        stem, dot, extension = image_id.rpartition(".")
        asked = BY_EXTENSION.get(extension.lower()) if dot and stem and not stem.endswith("/") else None
        if asked is None or not asked.writable:
            return None, (stat,)
        sibling = await self._sight(_any_extension(image_id))
        stats = (stat, sibling)
        if isinstance(sibling.seen, Original):
            return Found(sibling.seen, format=asked.name, stats=stats), ()
        return None, stats

    async def _sight(self, name: str) -> CachedStat:
        """Tell what is at a name, from memory while the last look is fresh, else by one look for all who ask.

        Raises:
            ImgserveError: something is there that cannot be served (yet).
        """
        stat = self._present.get(name) or self._absent.get(name)
        if stat is None or time.monotonic() >= stat.until:
            stat, _ = await self._flights.do(name, lambda: self._look_again(name, stat))
        if isinstance(stat.seen, Original | ImageNotFound):
            return stat
        raise stat.seen.with_traceback(None)

    async def _look_again(self, name: str, before: CachedStat | None) -> CachedStat:
        known = before.seen if before is not None and isinstance(before.seen, Original) else None
        seen = await to_thread.run_sync(self._look, name, known)
        until = time.monotonic() + self._recheck
        focus_known = True
        if isinstance(seen, Original) and (seen is not known or (before is not None and not before.focus_known)):
            seen, focus_known = await self._focused(seen, known)
        if before is not None and seen is known and self._present.get(name) is before:
            before.until, before.focus_known = until, focus_known
            return before
        self._present.pop(name, None)
        stat = CachedStat(seen, until, focus_known)
        (self._present if isinstance(seen, Original) else self._absent)[name] = stat
        return stat

    async def _focused(self, seen: Original, known: Original | None) -> tuple[Original, bool]:
        """Give an original its focal point; the last one known where none can be told, which is told too."""
        point, told = known.focal_point if known is not None and known.image_id == seen.image_id else None, False
        if time.monotonic() >= self._no_asking_until:
            try:
                with anyio.fail_after(_PATIENCE):
                    point, told = await self._focal_point(seen.image_id), True
            except (CatalogUnavailable, TimeoutError):
                # Pictures are served without the catalog, which has logged what is wrong with it.
                self._no_asking_until = time.monotonic() + _PAUSE
        return (seen if seen.focal_point == point else seen.focused(point)), told

    def _look(self, name: str, known: Original | None) -> Original | ImgserveError:
        """Look at the file, or at the first that exists of any extension, in a thread."""
        try:
            ids = self._originals.find_stem(name.removesuffix(f".{_ANY}")) if name.endswith(_ANY) else [name]
        except ImgserveError as error:
            return error
        for image_id in ids:
            same = known if known is not None and known.image_id == image_id else None
            try:
                return self._originals.stat(image_id, same)
            except ImageNotFound:
                continue
            except ImgserveError as error:
                return error
        return ImageNotFound()


def _any_extension(image_id: str) -> str:
    """Write a name with any extension, as no file is named."""
    return f"{image_id.rpartition('.')[0]}.{_ANY}"
