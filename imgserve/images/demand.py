"""Encode popular renditions again, with more effort, while the machine is idle."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cachetools import LRUCache, TTLCache

from imgserve.cache import KeyLocks, RenditionKey, TieredCache
from imgserve.errors import ImgserveError, RenderTimeout, Unavailable
from imgserve.images.renditions import Renditions
from imgserve.images.resolve import RenditionRequest
from imgserve.metrics import Metrics
from imgserve.rendering.workers import Workers

_logger = logging.getLogger(__name__)
_EVERY = 5.0
"""Seconds between two looks at what was sent."""
_MOST_AT_ONCE = 20
"""Renditions that are encoded before hits are counted again."""
_MOST_IMPROVED = 100_000
_PAUSE = 600.0
"""Seconds until a rendition is encoded again that could not be read, encoded in time or stored."""
_LEAST_SAVED = 0.02
"""Share of the bytes; for less, caches would store another version in vain."""


@dataclass(frozen=True, slots=True)
class Hits:
    """How often the picture of a request was sent."""

    request: RenditionRequest
    crc32: int
    """Of the bytes that were sent."""
    number: int


class DemandEncoder:
    """Counts hits, and replaces the renditions for which more effort pays.

    The counts are those of all processes of the machine, in the ledger of the disk tier. A process that still has the
    first version in memory learns there that it was replaced. A rendition that was evicted begins anew.
    """

    def __init__(
        self,
        renditions: Renditions,
        cache: TieredCache,
        workers: Workers,
        *,
        locks: KeyLocks,
        metrics: Metrics,
        take_hits: Callable[[], Iterable[Hits]],
        every: float = _EVERY,
    ) -> None:
        """Encode in these workers, which nobody else waits for."""
        self._renditions = renditions
        self._cache = cache
        self._workers = workers
        self._locks = locks
        self._metrics = metrics
        self._take_hits = take_hits
        self._every = every
        self._settings = replace(renditions.settings, encoders=renditions.settings.encoders.thorough())
        self._improved: LRUCache[str, int] = LRUCache(_MOST_IMPROVED)
        self._postponed: TTLCache[RenditionKey, None] = TTLCache(_MOST_IMPROVED, _PAUSE)

    def is_outdated(self, tag: str, crc32: int) -> bool:
        """Return whether a rendition, by the tag of its key, is known to have replaced the bytes with a checksum."""
        return self._improved.get(tag, crc32) != crc32

    async def run(self) -> None:
        """Look for popular renditions until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except ImgserveError as error:
                _logger.debug("popular renditions have to wait: %r", error)

    async def look(self) -> None:
        """Count the hits since the last call, and encode the most popular renditions."""
        hits, requests = defaultdict[RenditionKey, int](int), dict[RenditionKey, Hits]()
        for one in self._take_hits():
            if self._pays_after(one.request) is not None:
                hits[one.request.key] += one.number
                requests[one.request.key] = one
        if not hits:
            return
        popular = list[tuple[int, RenditionRequest]]()
        counted = await self._cache.count_hits(hits)
        for key in list(hits.keys() - counted.keys())[:_MOST_AT_ONCE]:
            # Rendered while the disk was full, or evicted from there.
            await self._cache.restore(key)
        for key, found in counted.items():
            request, pays = requests[key].request, self._pays_after(requests[key].request)
            if found.saved:
                self._note(key, requests[key], found.crc32, found.saved * hits[key])
                continue
            self._improved.pop(key.tag, None)  # it was purged or evicted, and begins anew
            if found.saved is None and pays is not None and found.hits >= pays and key not in self._postponed:
                popular.append((found.hits, request))
        popular.sort(key=lambda one: one[0], reverse=True)
        for _, request in popular[:_MOST_AT_ONCE]:
            await self._improve(request)

    async def close(self) -> None:
        """End the workers."""
        await self._workers.close()

    def _pays_after(self, request: RenditionRequest) -> int | None:
        return self._renditions.settings.encoders.hits_to_pay(request.transform)

    def _note(self, key: RenditionKey, sent: Hits, crc32: int | None, saved: int) -> None:
        """Count what a replaced rendition saved, or read it from disk if this process has the first version."""
        if crc32 is None:
            return
        self._improved[key.tag] = crc32
        if sent.crc32 == crc32:
            self._metrics.demand_saved_bytes.labels(key.extension).inc(saved)
        else:
            self._cache.reload(key)

    async def _improve(self, request: RenditionRequest) -> None:
        """Encode a rendition again and replace it, unless another process has done so or nothing is saved."""
        key, original = request.key, request.original
        # Another lock than that of requests, which do not wait for this.
        async with self._locks.hold(f"{key.path}.demand"):
            known, hit = await self._cache.count_hits({key: 0}), await self._cache.recheck(key, on_disk=True)
            if hit is None or key not in known or known[key].saved is not None:
                return
            first, _ = hit
            if first.crc32 != known[key].crc32:
                # It was evicted from disk, and another process has rendered it again.
                self._cache.reload(key)
                return
            transform, *then = (*request.earlier, request.transform)
            start = await self._renditions.start(original, transform)
            try:
                job = self._settings.job(original, transform, start, tuple(then))
                rendered = await self._workers.render(job, megapixels=start.megapixels)
            except ImgserveError as error:
                _logger.debug("a popular rendition of %s stays as it is: %r", original.image_id, error)
                # A machine that is never idle may have left it no time.
                if isinstance(error, Unavailable | RenderTimeout):
                    self._postponed[key] = None
                else:
                    await self._cache.keep_encoding(key, first)
                self._metrics.demand_renders.labels(error.code).inc()
                return
            again = rendered.rendition
            self._metrics.demand_seconds.labels(key.extension).inc(rendered.seconds)
            if len(first.data) - len(again.data) < _LEAST_SAVED * len(first.data):
                await self._cache.keep_encoding(key, first)
                self._metrics.demand_renders.labels("no_gain").inc()
            elif await self._cache.replace(key, first, again):
                self._improved[key.tag] = again.crc32
                self._metrics.demand_renders.labels("ok").inc()
            else:
                self._postponed[key] = None
                self._metrics.demand_renders.labels("not_kept").inc()
