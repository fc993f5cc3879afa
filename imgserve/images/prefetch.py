"""Make mezzanines ahead of the first request, in idle time."""

import asyncio
import heapq
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection

from imgserve.cache import TierStats
from imgserve.errors import Busy, ImgserveError, Unavailable
from imgserve.geometry.reduction import mezzanine_bytes
from imgserve.images.renditions import Renditions
from imgserve.model import Original

_logger = logging.getLogger(__name__)
_MOST = 10_000
"""Originals that wait; a mezzanine of each would fill many times the usual budget."""
_NEW_SECONDS = 600.0
"""An original is new for so long: it is about to be asked for, so others may go for it."""
_CROWD, _CROWD_SECONDS = 20, 2.0
"""So many originals within this time are a crowd: it is recorded first, since mezzanines take far longer."""
_SHARE = 4
"""New originals take no more than such a part of a full tier in that time, so that a mass of them empties nothing."""


class MezzaninePrefetcher:
    """Hears of originals and has their mezzanines made, one at a time.

    Where the tier is full, only new originals push out what has not been used for longest, and they only a part of it.
    What still waits when the server ends is made on demand.
    """

    def __init__(
        self,
        renditions: Renditions,
        mezzanines: Callable[[], Awaitable[TierStats]],
        *,
        most: int = _MOST,
        new_seconds: float = _NEW_SECONDS,
    ) -> None:
        """Take who makes them, who tells how full their tier is, how many may wait, and how long one counts as new."""
        self._renditions = renditions
        self._mezzanines = mezzanines
        self._most = most
        self._new_seconds = new_seconds
        self._ready: OrderedDict[str, Original] = OrderedDict()
        """Newest last."""
        self._young: list[tuple[float, int, Original]] = []
        """Those that may still be written, by when they are settled."""
        self._number = 0
        self._came: deque[float] = deque(maxlen=_CROWD)
        """When the last originals were added."""
        self._told = asyncio.Event()
        self._taken: deque[tuple[float, int]] = deque()
        """When new originals took how many bytes of a full tier."""

    @property
    def waiting(self) -> int:
        """How many originals wait."""
        return len(self._ready) + len(self._young)

    def add(self, original: Original) -> None:
        """Have a mezzanine made of an original, before all that were added earlier; the oldest of too many fall out."""
        self._came.append(time.monotonic())
        settled_in = self._renditions.settles_in(original)
        if settled_in > 0:
            self._number += 1
            heapq.heappush(self._young, (time.monotonic() + settled_in, self._number, original))
        else:
            self._push(original)
        if len(self._young) > self._most:
            heapq.heappop(self._young)
        self._told.set()

    async def on_recorded(self, original: Original) -> None:
        """Hear of a new original, or a new version of one."""
        self.add(original)

    async def on_purged(self, ids: Collection[str] | None, tags: Collection[str]) -> None:
        """Hear of purges, which change nothing here: what is made again is made on demand."""

    async def run(self) -> None:
        """Make mezzanines until cancelled."""
        while True:
            original = await self._next()
            try:
                await self._prepare(original)
            except Exception:
                # The edge of a background task: the next original is another matter.
                _logger.exception("the mezzanine of %s could not be prepared", original.image_id)

    def _push(self, original: Original) -> None:
        self._ready.pop(original.image_id, None)
        self._ready[original.image_id] = original
        if len(self._ready) > self._most:
            self._ready.popitem(last=False)

    async def _next(self) -> Original:
        """Wait for the newest that is settled, until a crowd is over."""
        while True:
            now = time.monotonic()
            while self._young and self._young[0][0] <= now:
                self._push(heapq.heappop(self._young)[2])
            crowded = self._crowded_for(now)
            if self._ready and crowded <= 0:
                return self._ready.popitem()[1]
            self._told.clear()
            settles = self._young[0][0] - now if self._young else None
            try:
                async with asyncio.timeout(crowded if self._ready else settles):
                    await self._told.wait()
            except TimeoutError:
                continue

    def _crowded_for(self, now: float) -> float:
        """Tell how many seconds a crowd lasts if nothing more comes."""
        if len(self._came) < _CROWD or self._came[-1] - self._came[0] > _CROWD_SECONDS:
            return 0.0
        return self._came[-1] + _CROWD_SECONDS - now

    async def _prepare(self, original: Original) -> None:
        if not self._renditions.pays_ahead(original):
            return
        size, tier = mezzanine_bytes(original.format, original.width, original.height), await self._mezzanines()
        full = tier.bytes + size > tier.limit_bytes
        if full and not self._may_push_out(original, size, tier.limit_bytes):
            return
        try:
            if await self._renditions.prepare(original) and full:
                self._taken.append((time.time(), size))
        except (Busy, Unavailable) as error:
            _logger.debug("the mezzanine of %s has to wait: %r", original.image_id, error)
            if original.image_id not in self._ready:
                self._push(original)
            await asyncio.sleep(error.retry_after or 1)
        except ImgserveError as error:
            # Whoever asks for a picture of it is told; here it only means that there is no mezzanine.
            _logger.debug("no mezzanine of %s: %r", original.image_id, error)

    def _may_push_out(self, original: Original, size: int, limit: int) -> bool:
        """Tell whether a mezzanine is worth others."""
        now = time.time()
        while self._taken and self._taken[0][0] < now - self._new_seconds:
            self._taken.popleft()
        new = abs(now - original.modified_ns / 1e9) <= self._new_seconds
        return new and sum(taken for _, taken in self._taken) + size <= limit // _SHARE
