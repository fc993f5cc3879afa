"""Make mezzanines ahead of the first request: while an original is inspected, or in idle time."""

import asyncio
import heapq
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from imgserve.cache import TierStats
from imgserve.errors import Busy, ImgserveError, Unavailable
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import MAX_MEZZANINE_PIXELS, is_worthwhile, mezzanine_bytes
from imgserve.images.mezzanines import FULL
from imgserve.images.renditions import Renditions
from imgserve.model import Original

_logger = logging.getLogger(__name__)
_MAX_WAITING = 10_000
"""Originals; their mezzanines would fill many times the usual budget."""
_NEW_SECONDS = 600.0
"""Age up to which an original is new: it will be requested soon, so older mezzanines may be evicted for it."""
_BULK, _BULK_SECONDS = 8, 2.0
"""So many originals in so many seconds are a bulk upload: they are recorded first, as mezzanines take far longer."""
_SHARE = 4
"""New originals take at most such a part of a full tier in that time, so that a bulk upload does not evict the rest."""


_LEAST_BYTES = 150_000
"""A smaller file has hardly the pixels for which a mezzanine is worthwhile."""
_LARGEST_BYTES = 4 * MAX_MEZZANINE_PIXELS
_ROOM_SECONDS = 1.0
"""How long the free space of the tier is remembered."""


class EarlyMezzanine:
    """A mezzanine that is written while an original is inspected, from the same decoded pixels.

    As a context manager it is removed at the end, unless it was adopted.
    """

    def __init__(
        self, renditions: Renditions, store: Path | None, running: set["EarlyMezzanine"], ended: asyncio.Event
    ) -> None:
        self._renditions = renditions
        self._running, self._ended = running, ended
        """The inspections of uploads in this process, and what is set when one of them ends."""
        self.store = store
        """The file to write; None for no mezzanine."""
        self._written: asyncio.Future[int] | None = None

    def begin(self, written: asyncio.Future[int]) -> None:
        """Note that the inspection begins, and its number of bytes when it is written."""
        self._written = written

    def adopt(self, original: Original) -> None:
        """Store it as the mezzanine of an original that has its place now."""
        if self._written is not None and self.store is not None:
            self._renditions.adopt(original, self.store, self._written)
            self._written = None

    def __enter__(self) -> Self:
        self._running.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.discard(self)
        self._ended.set()
        if self._written is not None and self.store is not None:
            self._renditions.abandon(self.store, self._written)


class MezzaninePrefetcher:
    """Makes the mezzanines of recorded originals, one at a time, if their inspection has not made them.

    In a full tier, only new originals evict older mezzanines, and only a part of them. What still waits when the server
    ends is made on demand.
    """

    def __init__(
        self,
        renditions: Renditions,
        tier_stats: Callable[[], Awaitable[TierStats]],
        *,
        max_waiting: int = _MAX_WAITING,
        new_seconds: float = _NEW_SECONDS,
    ) -> None:
        self._renditions = renditions
        self._tier_stats = tier_stats
        self._max_waiting = max_waiting
        self._new_seconds = new_seconds
        self._ready: OrderedDict[str, Original] = OrderedDict()
        """Settled originals, newest last."""
        self._young: list[tuple[float, int, Original]] = []
        """Originals that may still be written, by the time when they are settled."""
        self._number = 0
        self._arrivals: deque[float] = deque(maxlen=_BULK)
        """Times of the last additions."""
        self._changed = asyncio.Event()
        self._evicting: deque[tuple[float, int]] = deque()
        """Times and bytes of mezzanines that were made in a full tier."""
        self._room, self._room_until = 0.0, 0.0
        self._inspecting = set[EarlyMezzanine]()

    @property
    def waiting(self) -> int:
        """Return the number of waiting originals."""
        return len(self._ready) + len(self._young)

    async def early(self, size: int) -> EarlyMezzanine:
        """Return the mezzanine to write while a file of so many bytes is inspected.

        There is none in a nearly full tier, and none while others are inspected: many are recorded first.
        """
        if size < _LEAST_BYTES or self._inspecting:
            return EarlyMezzanine(self._renditions, None, self._inspecting, self._changed)
        if time.monotonic() > self._room_until:
            tier = await self._tier_stats()
            self._room, self._room_until = FULL * tier.limit_bytes - tier.bytes, time.monotonic() + _ROOM_SECONDS
        place = self._renditions.mezzanine_place() if self._room >= _LARGEST_BYTES else None
        return EarlyMezzanine(self._renditions, place, self._inspecting, self._changed)

    def add(self, original: Original) -> None:
        """Add an original for which a mezzanine is worthwhile ahead of those added earlier; drop the oldest of many."""
        self._arrivals.append(time.monotonic())
        if not is_worthwhile(original.format, Size(original.width, original.height)):
            return
        settled_in = self._renditions.settles_in(original)
        if settled_in > 0:
            self._number += 1
            heapq.heappush(self._young, (time.monotonic() + settled_in, self._number, original))
        else:
            self._push(original)
        if len(self._young) > self._max_waiting:
            heapq.heappop(self._young)
        self._changed.set()

    async def run(self) -> None:
        """Make mezzanines until cancelled."""
        while True:
            original = await self._next()
            try:
                await self._prepare(original)
            except Exception:
                # The edge of a background task: the next original may succeed.
                _logger.exception("the mezzanine of %s could not be prepared", original.image_id)

    def _push(self, original: Original) -> None:
        self._ready.pop(original.image_id, None)
        self._ready[original.image_id] = original
        if len(self._ready) > self._max_waiting:
            self._ready.popitem(last=False)

    async def _next(self) -> Original:
        """Return the newest settled original when no upload is inspected, and after a bulk upload is over."""
        while True:
            now = time.monotonic()
            while self._young and self._young[0][0] <= now:
                self._push(heapq.heappop(self._young)[2])
            bulk = len(self._arrivals) == _BULK and self._arrivals[-1] - self._arrivals[0] <= _BULK_SECONDS
            bulk_seconds = self._arrivals[-1] + _BULK_SECONDS - now if bulk else 0.0
            idle = bool(self._ready) and not self._inspecting
            if idle and bulk_seconds <= 0:
                return self._ready.popitem()[1]
            self._changed.clear()
            settles = self._young[0][0] - now if self._young else None
            try:
                async with asyncio.timeout(bulk_seconds if idle else settles):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _prepare(self, original: Original) -> None:
        size, tier = mezzanine_bytes(original.format, original.width, original.height), await self._tier_stats()
        full = tier.bytes + size > tier.limit_bytes
        if full:
            now = time.time()
            while self._evicting and self._evicting[0][0] < now - self._new_seconds:
                self._evicting.popleft()
            new = abs(now - original.modified_ns / 1e9) <= self._new_seconds
            if not new or sum(made for _, made in self._evicting) + size > tier.limit_bytes // _SHARE:
                return
        try:
            if await self._renditions.prepare(original) and full:
                self._evicting.append((time.time(), size))
        except (Busy, Unavailable) as error:
            _logger.debug("the mezzanine of %s has to wait: %r", original.image_id, error)
            if original.image_id not in self._ready:
                self._push(original)
            await asyncio.sleep(error.retry_after or 1)
        except ImgserveError as error:
            # A client that requests a picture of it gets the error; here it only means that there is no mezzanine.
            _logger.debug("no mezzanine of %s: %r", original.image_id, error)
