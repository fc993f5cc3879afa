"""Build the parts that render and cache pictures."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from anyio import to_thread
from prometheus_client import CollectorRegistry

from imgserve.access.abuse import AbuseWatch
from imgserve.access.presets import PresetBook
from imgserve.access.sites import Sites
from imgserve.app.settings import process_limits, render_settings
from imgserve.cache import DiskTier, FailureCache, KeyLocks, MemoryTier, MezzanineTier, TieredCache
from imgserve.cache.published import PublishedLinks
from imgserve.catalog import Catalog, RenderWatch
from imgserve.config import Config
from imgserve.images.demand import DemandEncoder
from imgserve.images.facts import FactsReader
from imgserve.images.fallback import FallbackRenditions
from imgserve.images.locate import Locator
from imgserve.images.mezzanines import Mezzanines
from imgserve.images.renditions import Renditions
from imgserve.images.resolve import Resolver
from imgserve.metrics import Metrics
from imgserve.originals.tree import OriginalsTree
from imgserve.originals.writable import WritableOriginals
from imgserve.rendering.admission import Admission
from imgserve.rendering.logs import JobLog
from imgserve.rendering.pool import RecyclePolicy
from imgserve.rendering.workers import Workers
from imgserve.web.access_log import AccessLog
from imgserve.web.hot_table import HotTable
from imgserve.web.middleware import RequestLog, RequestMetrics


def originals_of(config: Config) -> WritableOriginals:
    """Return the folders of originals: the main folder, and others below their prefixes."""
    return WritableOriginals(
        config.originals.folder,
        config.originals.folders,
        settle=config.originals.settle,
        follow_links=config.originals.follow_links,
        refused=refused_formats(config),
    )


def tree_of(config: Config) -> OriginalsTree:
    """Return the tree of the same folders, for watching."""
    folders = {"": config.originals.folder, **config.originals.folders}
    return OriginalsTree(folders, follow_links=config.originals.follow_links)


def refused_formats(config: Config) -> tuple[str, ...]:
    """Return the formats of originals that are not served."""
    return ("svg",) if config.formats.svg == "off" else ()


_LEAST_PRIORITY = 19
_IDLE_LIMIT = 600.0
"""Seconds for a rendition that is encoded only while the machine is idle."""


class Parts:
    """The parts that render and cache pictures."""

    def __init__(self, config: Config, catalog: Catalog, sites: Sites) -> None:
        """Build the parts, without opening them; focal points are read from the catalog."""
        self.catalog = catalog
        self.metrics = metrics = Metrics(CollectorRegistry())
        self.cache = _cache(config)
        self.originals = originals_of(config)
        admission = Admission(
            processes(config), waiting=config.rendering.waiting, waiting_megapixels=config.rendering.waiting_megapixels
        )
        self.watch = RenderWatch(catalog.renders)
        requests = RequestMetrics(metrics)
        self.hot = HotTable(requests.pictures)
        self.workers = Workers(
            processes(config),
            admission,
            time_limit=config.rendering.time_limit,
            process_limits=process_limits(config),
            metrics=metrics,
            recycle=RecyclePolicy(config.rendering.pictures_per_process, config.rendering.growth_bytes),
            log=JobLog(config.log.slow_render, self.watch.note),
        )
        failures = FailureCache(config.rendering.crash_memory)
        self.renditions = Renditions(
            self.cache,
            self.workers,
            render_settings(config),
            locks=_locks(config, "locks", config.cache.disk_bytes),
            mezzanines=Mezzanines(
                self.cache,
                _locks(config, "locks/mezzanines", config.cache.mezzanine_bytes),
                metrics,
                compact=config.cache.compact_mezzanines,
            ),
            failures=failures,
            metrics=metrics,
        )
        self.presets = PresetBook(catalog.presets, sites, config.limits.output_side)
        self.locator = Locator(
            self.originals,
            recheck=config.originals.recheck,
            presets=self.presets.names,
            focus=catalog.images.focus,
            redirects=catalog.redirects.targets if config.originals.redirects else None,
        )
        free = [site.rules.free for site in sites.others]
        self.resolver = Resolver(self.locator, self.renditions, sites.default.rules.query, free)
        urls = -(-config.cache.published_urls // server_processes(config))
        self.links = PublishedLinks(config.cache.folder, urls, self.cache)
        self.presets.on_change += [self.resolver.forget_presets, self.links.forget]
        self.fallback = FallbackRenditions(
            self.renditions,
            self.cache,
            after=config.rendering.stand_in,
            slow_pixels=config.rendering.slow_pixels,
            limits=config.limits.plain(),
            loaded=lambda: admission.waiting > 0,
        )
        on_demand = config.rendering.effort == "demand" and config.cache.disk_bytes
        self.demand = _demand(config, self.renditions, self.cache, metrics, self.hot) if on_demand else None
        self.facts = FactsReader(catalog.images.get, self.workers, self.renditions, failures)
        self.requests = RequestLog(
            requests,
            AccessLog(config.log.access, config.log.access_style, metrics.access_log_dropped.inc),
            abuse=AbuseWatch(catalog.usage),
        )

    def works(self) -> list[Callable[[], Awaitable[None]]]:
        """Return what runs in the background, each until cancelled."""
        works: list[Callable[[], Awaitable[None]]] = [self.cache.run, self.presets.run, self.watch.run]
        if not self.links.off:
            works.append(self.links.run)
        if self.demand is not None:
            works.append(self.demand.run)
        if self.requests.abuse is not None:
            works.append(self.requests.abuse.run)
        return works

    async def close_rendering(self) -> None:
        """End the rendering processes and their writing."""
        if self.demand is not None:
            await self.demand.close()
        await self.renditions.close()

    async def check(self) -> Mapping[str, str]:
        """Return the state of each part, for readiness."""
        tiers = (await self.cache.stats()).values()
        return {
            "originals": "ok" if await to_thread.run_sync(self.originals.readable) else "failed: folder not readable",
            "rendering": "ok" if self.workers.started else "failed: no rendering process",
            "cache": "degraded: see the log" if any(tier.degraded for tier in tiers) else "ok",
        }


def _demand(
    config: Config, renditions: Renditions, cache: TieredCache, metrics: Metrics, hot: HotTable
) -> DemandEncoder:
    limits = replace(process_limits(config), niceness=_LEAST_PRIORITY, idle=True)
    workers = Workers(
        1, Admission(1, waiting=0, waiting_megapixels=1), time_limit=_IDLE_LIMIT, process_limits=limits, metrics=metrics
    )
    return DemandEncoder(
        renditions,
        cache,
        workers,
        locks=_locks(config, "locks/demand", config.cache.disk_bytes, patience=2 * _IDLE_LIMIT),
        metrics=metrics,
        take_hits=hot.take_hits,
    )


def _cache(config: Config) -> TieredCache:
    return TieredCache(
        MemoryTier(config.cache.memory_bytes),
        DiskTier(
            config.cache.folder,
            config.cache.disk_bytes,
            config.cache.disk_entries,
            most_per_image=config.cache.renditions_per_original,
        ),
        MezzanineTier(config.cache.folder, config.cache.mezzanine_bytes),
    )


def _locks(config: Config, folder: str, budget: int, *, patience: float = 0.0) -> KeyLocks:
    """Return the locks by which several server processes avoid rendering the same thing."""
    shared = server_processes(config) > 1 and budget > 0
    return KeyLocks(config.cache.folder / folder if shared else None, patience or 2 * config.rendering.time_limit)


_CORES_PER_SERVER = 4


def server_processes(config: Config) -> int:
    """Return the number of server processes: as set, or about one per four cores."""
    workers = config.server.workers
    return max(1, _cores() // _CORES_PER_SERVER) if workers == "auto" else workers


def processes(config: Config) -> int:
    """Return the number of rendering processes per server process: as many as cores in all, unless set.

    On many cores each server process has a core for itself. On few it takes what it needs from the rendering processes,
    whose priority is lower.
    """
    servers, cores = server_processes(config), _cores()
    rendering = config.rendering.processes or (cores - servers if cores >= _CORES_PER_SERVER else cores)
    return max(1, rendering // servers)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
