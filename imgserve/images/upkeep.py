"""Background maintenance of cache, processes and metrics."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping

import anyio
import psutil
from anyio import to_thread

from imgserve.cache import TieredCache, TierStats
from imgserve.metrics import Metrics

_logger = logging.getLogger("imgserve.upkeep")
_EVERY = 1.0
_METRICS_EVERY = 5.0


class Upkeep:
    """Repeats the background tasks of one server process until cancelled."""

    def __init__(self, cache: TieredCache, metrics: Metrics) -> None:
        self._cache = cache
        self._metrics = metrics
        self._before: Mapping[str, TierStats] = {}

    async def run(self) -> None:
        """Run every task at its interval."""
        async with anyio.create_task_group() as group:
            group.start_soon(_repeat, self._cache.maintain, _EVERY)
            group.start_soon(_repeat, self.publish, _METRICS_EVERY)

    async def publish(self) -> None:
        """Update the metrics of cache and memory."""
        metrics, before = self._metrics, self._before
        self._before = await self._cache.stats()
        for tier, stats in self._before.items():
            last = before.get(tier, TierStats())
            metrics.cache_hits.labels(tier).inc(stats.hits - last.hits)
            metrics.cache_misses.labels(tier).inc(stats.misses - last.misses)
            metrics.cache_evictions.labels(tier).inc(stats.evictions - last.evictions)
            metrics.cache_errors.labels(tier).inc(stats.errors - last.errors)
            # Server processes share one disk tier and their gauges are summed: only one of them reports it.
            own = 1 if stats.mine else 0
            metrics.cache_bytes.labels(tier).set(stats.bytes * own)
            metrics.cache_entries.labels(tier).set(stats.entries * own)
            metrics.cache_limit_bytes.labels(tier).set(stats.limit_bytes * own)
        for kind, size in (await to_thread.run_sync(_resident)).items():
            metrics.memory_bytes.labels(kind).set(size)


def _resident() -> dict[str, int]:
    """Return the resident memory of this process and of its rendering processes."""
    own = psutil.Process(os.getpid())
    sizes = {"server": own.memory_info().rss, "render": 0}
    for child in own.children():
        try:
            sizes["render"] += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile
    return sizes


async def _repeat(task: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await task()
        except Exception:
            # The edge of a background task: one failure must not end the others.
            _logger.exception("a background task failed and is tried again")
        await anyio.sleep(seconds)
