"""Background maintenance of cache, processes and metrics."""

import logging
import os
from collections.abc import Awaitable, Callable

import anyio
import psutil
from anyio import to_thread

from imgserve.cache import TieredCache, TierStats
from imgserve.metrics import Metrics

_logger = logging.getLogger("imgserve.upkeep")
_EVERY = 1.0
_FIGURES_EVERY = 5.0


class Upkeep:
    """Repeats the chores of one server process until it is cancelled."""

    def __init__(self, cache: TieredCache, metrics: Metrics) -> None:
        """Take the cache to look after and the metrics to publish its figures in."""
        self._cache = cache
        self._metrics = metrics
        self._before: dict[str, TierStats] = {}

    async def run(self) -> None:
        """Do every chore at its own pace."""
        async with anyio.create_task_group() as group:
            group.start_soon(_repeat, self._cache.maintain, _EVERY)
            group.start_soon(_repeat, self.publish, _FIGURES_EVERY)

    async def publish(self) -> None:
        """Bring the metrics of cache and memory up to date."""
        for tier, stats in (await self._cache.stats()).items():
            self._publish_tier(tier, stats)
        for kind, size in (await to_thread.run_sync(_resident)).items():
            self._metrics.memory_bytes.labels(kind).set(size)

    def _publish_tier(self, tier: str, stats: TierStats) -> None:
        metrics, before = self._metrics, self._before.get(tier, TierStats())
        self._before[tier] = stats
        for counter, now, then in (
            (metrics.cache_hits, stats.hits, before.hits),
            (metrics.cache_misses, stats.misses, before.misses),
            (metrics.cache_evictions, stats.evictions, before.evictions),
            (metrics.cache_errors, stats.errors, before.errors),
        ):
            counter.labels(tier).inc(now - then)
        # Server processes share one disk tier, and their gauges are added up: one of them tells.
        own = 1 if stats.mine else 0
        metrics.cache_bytes.labels(tier).set(stats.bytes * own)
        metrics.cache_entries.labels(tier).set(stats.entries * own)
        metrics.cache_limit_bytes.labels(tier).set(stats.limit_bytes * own)


def _resident() -> dict[str, int]:
    """Measure this process and the rendering processes below it."""
    own = psutil.Process(os.getpid())
    sizes = {"server": own.memory_info().rss, "render": 0}
    for child in own.children():
        try:
            sizes["render"] += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended between the list and the look
    return sizes


async def _repeat(chore: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await chore()
        except Exception:
            # The edge of a background task: a chore that fails once must not end the others.
            _logger.exception("a chore failed and is tried again")
        await anyio.sleep(seconds)
