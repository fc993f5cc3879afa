"""Choose or make the mezzanine of a rendition."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path

from cachetools import TTLCache

from imgserve.cache import KeyLocks, RenditionKey, TieredCache
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import MAX_MEZZANINE_PIXELS, expects_mezzanine, is_worthwhile
from imgserve.metrics import Metrics
from imgserve.model import Limits, Original
from imgserve.transform import Transform

_BARREN_MOST, _BARREN_SECONDS = 10_000, 60.0
"""Originals of which no mezzanine came, for whatever reason, are not waited for again for so long."""
_UNKNOWN_BYTES_A_PIXEL = 0.25
"""Where a header does not tell the size: photographs have a quarter of a byte a pixel or more."""


@dataclass(slots=True)
class Start:
    """What a rendering starts from beside the original."""

    mezzanine: Path | None = None
    """To be read."""
    keep: Path | None = None
    """To be written."""
    megapixels: float = 0.0
    """To be decoded, as far as is known."""
    kept: asyncio.Future[int] | None = None
    """Set when the turn has come to write one: its bytes, once it is."""


class OvertakenError(Exception):
    """What was to be written ahead was made for a client meanwhile."""


class Mezzanines:
    """Knows the mezzanines in the cache and those that are being made.

    Requests for several sizes of one original that is not decoded yet: the first becomes the maker, the others wait
    until the mezzanine is kept and start from it. The first is answered before its mezzanine is written. A maker that
    fails leaves the others to the original.
    """

    def __init__(self, cache: TieredCache, locks: KeyLocks, metrics: Metrics) -> None:
        """Take the cache that keeps them and the locks against other server processes."""
        self._cache = cache
        self._locks = locks
        self._metrics = metrics
        self._making: dict[str, asyncio.Event] = {}
        self._ahead: dict[str, Start] = {}
        """What is to be written ahead and waits for its turn."""
        self._barren: TTLCache[str, None] = TTLCache(_BARREN_MOST, _BARREN_SECONDS)
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self.revision = ""
        """Changes with whatever else than the original decides the pixels."""

    def key(self, original: Original) -> RenditionKey:
        """Name the mezzanine of an original."""
        return RenditionKey(original.image_id, original.file_version, "mezzanine", self.revision, "pixels")

    @contextlib.asynccontextmanager
    async def start(
        self, original: Original, transform: Transform, limits: Limits, *, off: bool = False
    ) -> AsyncIterator[Start]:
        """Say what to start from; waits while the mezzanine that would serve is being made.

        Args:
            original: what it is made of.
            transform: what is to be made, settled.
            limits: what the rendition may cost.
            off: start from the original; nothing made of one that may still be written is kept.
        """
        key = self.key(original)
        from_original = Start(megapixels=_megapixels(original, limits))
        if off or not _wanted(original, transform, limits) or key.path in self._barren:
            yield from_original
            return
        while True:
            found = await self._cache.mezzanine(key)
            if found is not None:
                yield Start(found, megapixels=_reduced_megapixels(original))
                return
            made = self._making.get(key.path)
            if made is None:
                break
            await made.wait()
            if key.path in self._barren:
                yield from_original
                return
        place = self._cache.mezzanine_place()
        if place is None:
            yield from_original
            return
        self._ahead.pop(key.path, None)
        self._making[key.path] = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._done, key)
            await stack.enter_async_context(self._locks.hold(key.path))
            found = await self._cache.mezzanine(key) if self._locks.shared else None
            if found is not None:
                await stack.aclose()
                yield Start(found, megapixels=_reduced_megapixels(original))
                return
            start = Start(None, place, from_original.megapixels)
            try:
                yield start
            finally:
                # Without a turn nothing was written, and whoever comes next may have better luck. With one, the caller
                # has its picture, has failed or has left, and the mezzanine may still be being written.
                if start.kept is not None:
                    self._begin(self._adopt(key, place, start.kept, stack.pop_all()))

    async def peek(self, original: Original, transform: Transform, limits: Limits) -> Start:
        """Say what a picture can start from where no mezzanine is made for it; one that is being made is awaited."""
        if _wanted(original, transform, limits):
            made = self._making.get(self.key(original).path)
            if made is not None:
                await made.wait()
            found = await self._cache.mezzanine(self.key(original))
            if found is not None:
                return Start(found, megapixels=_reduced_megapixels(original))
        return Start(megapixels=_megapixels(original, limits))

    def wanted(self, original: Original, transform: Transform | None, limits: Limits) -> bool:
        """Tell whether a mezzanine would serve a picture, or without a transform, any."""
        return _wanted(original, transform, limits)

    @contextlib.asynccontextmanager
    async def ahead(self, original: Original, limits: Limits) -> AsyncIterator[Start]:
        """Say where to write a mezzanine that nobody has asked for; nowhere where there is one, or none is wanted.

        It may wait for its turn for long, so nobody waits for it until `claim`: a client's picture overtakes it.
        """
        key, start = self.key(original), Start(megapixels=_megapixels(original, limits))
        if not _wanted(original, None, limits) or await self._cache.mezzanine(key) is not None:
            yield start
            return
        if not any(key.path in known for known in (self._ahead, self._making, self._barren)):
            start.keep = self._cache.mezzanine_place()
        if start.keep is None:
            yield start
            return
        self._ahead[key.path] = start
        try:
            yield start
        except OvertakenError:
            return
        finally:
            if self._ahead.get(key.path) is start:
                del self._ahead[key.path]
            if start.kept is not None:
                stack = contextlib.AsyncExitStack()
                stack.callback(self._done, key)
                self._begin(self._adopt(key, start.keep, start.kept, stack))

    def claim(self, original: Original, start: Start, kept: asyncio.Future[int]) -> None:
        """Begin what was to be written ahead, now that its turn has come.

        Raises:
            OvertakenError: it is not needed any more.
        """
        path = self.key(original).path
        if self._ahead.get(path) is not start:
            raise OvertakenError
        start.kept = kept
        self._making[path] = asyncio.Event()

    async def _adopt(
        self, key: RenditionKey, place: Path, written: asyncio.Future[int], stack: contextlib.AsyncExitStack
    ) -> None:
        """Enter a mezzanine in the cache once it is written; then let those start who wait for it."""
        async with stack:
            result = "none"
            try:
                if await written:
                    result = "kept" if await self._cache.keep_mezzanine(key, place) else "not_kept"
            finally:
                if result == "none":
                    await self._cache.drop_mezzanine(place)
                if result != "kept":
                    self._barren[key.path] = None
            self._metrics.mezzanines.labels(result).inc()

    async def close(self) -> None:
        """Keep what was written, remove what was not; to be called when nobody writes any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, key: RenditionKey) -> None:
        self._making.pop(key.path).set()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)


def _wanted(original: Original, transform: Transform | None, limits: Limits) -> bool:
    if not original.megapixels:
        return False
    stored = Size(original.width, original.height)
    if transform is None:
        return is_worthwhile(original.format, stored.pixels)
    return expects_mezzanine(
        original.format, stored, transform, max_side=limits.output_side, max_pixels=limits.output_pixels
    )


def _megapixels(original: Original, limits: Limits) -> float:
    estimate = original.megapixels or original.size / _UNKNOWN_BYTES_A_PIXEL / 1e6
    # Beyond the limit it is refused on its header, which takes no time.
    return estimate if estimate * 1e6 <= limits.original_pixels else 0.0


def _reduced_megapixels(original: Original) -> float:
    return min(original.megapixels, MAX_MEZZANINE_PIXELS / 1e6)
