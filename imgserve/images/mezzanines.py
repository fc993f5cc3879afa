"""Choose or make the mezzanine of a rendition."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cachetools import TTLCache

from imgserve.cache import KeyLocks, RenditionKey, TieredCache
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import MAX_MEZZANINE_PIXELS, expects_mezzanine, is_worthwhile
from imgserve.metrics import Metrics
from imgserve.model import Limits, Original, file_version
from imgserve.transform import Transform

_MAX_FAILED, _FAILED_SECONDS = 10_000, 60.0
"""No mezzanine is made for so long of an original for which one could not be stored."""
_BYTES_PER_PIXEL = 0.25
"""For originals of unknown size: photographs have a quarter of a byte a pixel or more."""
FULL = 0.8
"""Share of the budget from which the tier is nearly full."""


@dataclass(slots=True)
class Start:
    """The input of a rendering besides the original."""

    mezzanine: Path | None = None
    """The mezzanine to read."""
    store: Path | None = None
    """The file to write a mezzanine to."""
    compact: bool = False
    """Write it in the compact form."""
    megapixels: float = 0.0
    """Megapixels to be decoded, as far as known."""
    stored: asyncio.Future[int] | None = None
    """Set when the job has its slot; its result is the number of bytes written."""


class OvertakenError(Exception):
    """A client's request did the background work meanwhile."""


class Mezzanines:
    """Mezzanines in the cache and in the making.

    Of several requests for an original without a mezzanine, the first makes it, and the others wait until it is stored
    and start from it. The first is answered before its mezzanine is written. If it fails, the others start from the
    original.
    """

    def __init__(self, cache: TieredCache, locks: KeyLocks, metrics: Metrics, *, compact: bool = False) -> None:
        """Use these parts; `compact`: in a tier that is nearly full, new mezzanines have the compact form."""
        self._cache = cache
        self._compact = compact
        self._locks = locks
        self._metrics = metrics
        self._making: dict[str, asyncio.Event] = {}
        self._ahead: dict[str, Start] = {}
        """Background work that waits for its slot."""
        self._failed: TTLCache[str, None] = TTLCache(_MAX_FAILED, _FAILED_SECONDS)
        # The event loop holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self.revision = ""
        """Hash of everything except the original that decides the pixels."""

    def key(self, original: Original) -> RenditionKey:
        """Return the key of an original's mezzanine."""
        return RenditionKey(original.image_id, original.file_version, "mezzanine", self.revision, "pixels")

    @contextlib.asynccontextmanager
    async def start(
        self, original: Original, transform: Transform, limits: Limits, *, off: bool = False
    ) -> AsyncIterator[Start]:
        """Yield the input of a rendering, after waiting for a useful mezzanine that is being made.

        With `off` that is the original, which may still be written, and no mezzanine is stored.
        """
        key = self.key(original)
        from_original = Start(megapixels=_megapixels(original, limits))
        if off or not is_useful(original, transform, limits):
            yield from_original
            return
        while key.path not in self._failed:
            found = await self._cache.mezzanine(key)
            if found is not None:
                yield _start_from(found, original)
                return
            made = self._making.get(key.path)
            if made is None:
                break
            await made.wait()
        place = None if key.path in self._failed else self._cache.mezzanine_place()
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
                yield _start_from(found, original)
                return
            start = Start(None, place, await self._is_full(), from_original.megapixels)
            try:
                yield start
            finally:
                # Without a slot nothing was written, and the next request tries again. With one, the caller has its
                # picture, has failed or has left, and the mezzanine may still be being written.
                if start.stored is not None:
                    self._adopt(original, place, start.stored, stack.pop_all())

    async def peek(self, original: Original, transform: Transform, limits: Limits) -> Start:
        """Return the input of a rendering that makes no mezzanine, after waiting for one that is being made."""
        if is_useful(original, transform, limits):
            made = self._making.get(self.key(original).path)
            if made is not None:
                await made.wait()
            found = await self._cache.mezzanine(self.key(original))
            if found is not None:
                return _start_from(found, original)
        return Start(megapixels=_megapixels(original, limits))

    @contextlib.asynccontextmanager
    async def ahead(self, original: Original, limits: Limits) -> AsyncIterator[Start]:
        """Yield where to write a mezzanine in the background; nowhere if there is one, or none is useful.

        It may wait for its slot for long, so no request waits for it until `claim`: a client's picture overtakes it.
        """
        key, start = self.key(original), Start(megapixels=_megapixels(original, limits))
        worthwhile = is_worthwhile(original.format, Size(original.width, original.height))
        if not worthwhile or await self._cache.mezzanine(key) is not None:
            yield start
            return
        start.compact = await self._is_full()
        if not any(key.path in known for known in (self._ahead, self._making, self._failed)):
            start.store = self._cache.mezzanine_place()
        if start.store is None:
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
            if start.stored is not None:
                self._adopt(original, start.store, start.stored)

    def adopt(self, original: Original, place: Path, written: asyncio.Future[int]) -> None:
        """Enter a mezzanine that is being written while its original was inspected, when that is in its place."""
        key = self.key(original)
        if key.path in self._making:
            self.abandon(place, written)
            return
        self._ahead.pop(key.path, None)
        self._making[key.path] = asyncio.Event()
        self._adopt(original, place, written)

    def abandon(self, place: Path, written: asyncio.Future[int]) -> None:
        """Remove a mezzanine that is being written for an original that was not accepted."""

        async def drop() -> None:
            await written
            await self._cache.drop_mezzanine(place)

        self._begin(drop())

    def claim(self, original: Original, start: Start, stored: asyncio.Future[int]) -> None:
        """Begin background work that has its slot now, or raise OvertakenError if it is not needed any more."""
        path = self.key(original).path
        if self._ahead.get(path) is not start:
            raise OvertakenError
        start.stored = stored
        self._making[path] = asyncio.Event()

    async def _is_full(self) -> bool:
        """Return whether a new mezzanine is stored in the compact form."""
        if not self._compact:
            return False
        tier = await self._cache.mezzanine_stats()
        return tier.bytes > FULL * tier.limit_bytes

    def _adopt(
        self,
        original: Original,
        place: Path,
        written: asyncio.Future[int],
        stack: contextlib.AsyncExitStack | None = None,
    ) -> None:
        """Start a task that stores a mezzanine as soon as it is written, and then closes `stack`.

        By default, waiting requests start then.
        """
        if stack is None:
            stack = contextlib.AsyncExitStack()
            stack.callback(self._done, self.key(original))
        self._begin(self._enter(original, place, written, stack))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin work for which `close` waits."""
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)

    async def _enter(
        self, original: Original, place: Path, written: asyncio.Future[int], stack: contextlib.AsyncExitStack
    ) -> None:
        key, result = self.key(original), "none"
        async with stack:
            try:
                if await written:
                    kept = await self._cache.keep_mezzanine(key, place, partial(_is_current, original))
                    result = "kept" if kept else "not_kept"
            finally:
                if result == "none":
                    await self._cache.drop_mezzanine(place)
                if result != "kept":
                    self._failed[key.path] = None
            self._metrics.mezzanines.labels(result).inc()

    async def close(self) -> None:
        """Store what was written and remove the rest; nothing may be writing any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, key: RenditionKey) -> None:
        self._making.pop(key.path).set()


def _is_current(original: Original) -> bool:
    """Return whether an original is still in its place."""
    try:
        state = Path(original.path).stat()
    except OSError:
        return False
    return file_version(state.st_mtime_ns, state.st_size) == original.file_version


def is_useful(original: Original, transform: Transform, limits: Limits) -> bool:
    """Return whether a mezzanine would serve a rendition."""
    return expects_mezzanine(
        original.format,
        Size(original.width, original.height),
        transform,
        max_side=limits.output_side,
        max_pixels=limits.output_pixels,
    )


def _megapixels(original: Original, limits: Limits) -> float:
    estimate = original.megapixels or original.size / _BYTES_PER_PIXEL / 1e6
    # Beyond the limit the header is refused, which takes no time.
    return estimate if estimate * 1e6 <= limits.original_pixels else 0.0


def _start_from(mezzanine: Path, original: Original) -> Start:
    return Start(mezzanine, megapixels=min(original.megapixels, MAX_MEZZANINE_PIXELS / 1e6))
