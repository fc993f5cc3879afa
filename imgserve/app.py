"""Builds every part once, in order; the lifespan opens and closes them. The only place that reads the settings."""

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import anyio
from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from imgserve import __version__
from imgserve.cache import DiskTier, KeyLocks, MemoryTier, MezzanineTier, TieredCache
from imgserve.config import Config
from imgserve.metrics import Metrics
from imgserve.originals.folder import FolderOriginals
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.process import Discipline
from imgserve.services.admission import Admission
from imgserve.services.failures import Failures
from imgserve.services.finding import Finder
from imgserve.services.mezzanines import Mezzanines
from imgserve.services.renditions import Recipe, Renditions
from imgserve.services.staff import Wear
from imgserve.services.stand_ins import StandIns
from imgserve.services.upkeep import Upkeep
from imgserve.services.workers import Workers
from imgserve.web.access_log import AccessLog
from imgserve.web.assets import static_folder
from imgserve.web.cache_headers import CachePolicy
from imgserve.web.cors import Cors
from imgserve.web.exchange import ExchangeMiddleware
from imgserve.web.figures import RequestFigures
from imgserve.web.hot import HotPath
from imgserve.web.hot_entry import without_origin
from imgserve.web.hot_table import HotTable
from imgserve.web.image import ImageEndpoint
from imgserve.web.ops import Operations
from imgserve.web.pages import Pages
from imgserve.web.request_ids import RequestIds
from imgserve.web.routes import PictureDispatch, as_our_error, routes
from imgserve.web.wanted import Identifier, UrlOptions


@dataclass(frozen=True, slots=True)
class Parts:
    """What was built from one configuration."""

    originals: FolderOriginals
    cache: TieredCache
    workers: Workers
    renditions: Renditions
    stand_ins: StandIns
    finder: Finder
    metrics: Metrics
    figures: RequestFigures
    access_log: AccessLog

    async def check(self) -> Mapping[str, str]:
        """Tell the state of each part, for readiness."""
        tiers = (await self.cache.stats()).values()
        return {
            "originals": "ok" if await to_thread.run_sync(self.originals.readable) else "failed: folder not readable",
            "rendering": "ok" if self.workers.started else "failed: no rendering process",
            "cache": "degraded: see the log" if any(tier.degraded for tier in tiers) else "ok",
        }


def create_app(config: Config | None = None) -> Starlette:
    """Build the application; without a configuration, from IMGSERVE_CONFIG, `config.yaml` or defaults."""
    config = config or Config.load()
    parts = _build(config)
    cors = Cors(tuple(config.http.cors_origins), int(config.http.cors_max_age))
    identifier = Identifier(parts.finder, parts.renditions, _url_options(config))
    table = HotTable(None if cors.uniform else without_origin)
    image = ImageEndpoint(
        identifier, parts.renditions, parts.stand_ins, cors, table, timing_headers=config.http.timing_header
    )
    ids = RequestIds()
    ops = Operations(
        parts.check,
        _collected(parts.metrics),
        parts.figures.fold,
        metrics=config.metrics.enabled,
        open_metrics=config.metrics.open_to == "everyone",
    )
    pages = Pages(static_folder(), parts.originals, config.urls.prefix, __version__)
    exchange = Middleware(
        ExchangeMiddleware,
        metrics=parts.metrics,
        figures=parts.figures,
        ids=ids,
        access_log=parts.access_log,
        allowed_hosts=config.server.allowed_hosts,
        not_found_max_age=int(config.http.not_found_max_age),
    )
    others = routes(ops, pages)
    dispatch = Middleware(PictureDispatch, prefix=config.urls.prefix, pictures=image, others=others)
    app = Starlette(
        routes=others,
        middleware=[exchange, dispatch],
        exception_handlers={HTTPException: as_our_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.parts = parts
    app.state.hot_path = HotPath(
        table,
        parts.cache.get_ready,
        cors,
        figures=parts.figures,
        ids=ids,
        access_log=parts.access_log,
        allowed_hosts=config.server.allowed_hosts,
        timing_headers=config.http.timing_header,
    )
    return app


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open every part, look after them while serving, close them; a host that mounts the app calls this itself."""
    parts: Parts = app.state.parts
    try:
        await parts.renditions.open()
        async with anyio.create_task_group() as group:
            group.start_soon(Upkeep(parts.cache, parts.metrics).run)
            yield
            group.cancel_scope.cancel()
    finally:
        parts.figures.fold()
        await parts.renditions.close()
        await parts.cache.close()
        parts.access_log.close()


@dataclass(frozen=True, slots=True)
class AppFactory:
    """Builds the application in whichever server process calls it; can be pickled."""

    config: Config

    def __call__(self) -> Starlette:
        """Build the application, with logging, which a process of its own does not have yet."""
        configure_logging(self.config)
        return create_app(self.config)


def configure_logging(config: Config) -> None:
    """Log to standard error, as the settings say."""
    logging.basicConfig(
        level=config.log.level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def _build(config: Config) -> Parts:
    metrics = Metrics(CollectorRegistry())
    cache = TieredCache(
        MemoryTier(config.cache.memory_bytes),
        DiskTier(
            config.cache.folder,
            config.cache.disk_bytes,
            config.cache.disk_entries,
            most_per_image=config.cache.renditions_per_original,
        ),
        MezzanineTier(config.cache.folder, config.cache.mezzanine_bytes),
    )
    processes = _processes(config)
    admission = Admission(
        processes,
        waiting=config.rendering.waiting,
        waiting_megapixels=config.rendering.waiting_megapixels,
    )
    workers = Workers(
        processes,
        admission,
        time_limit=config.rendering.time_limit,
        discipline=discipline(config),
        metrics=metrics,
        wear=Wear(config.rendering.pictures_per_process, config.rendering.growth_bytes),
    )
    renditions = Renditions(
        cache,
        workers,
        recipe(config),
        locks=_locks(config, "locks", config.cache.disk_bytes),
        mezzanines=Mezzanines(cache, _locks(config, "locks/mezzanines", config.cache.mezzanine_bytes), metrics),
        failures=Failures(config.rendering.crash_memory),
        metrics=metrics,
    )
    originals = FolderOriginals(
        config.originals.folder,
        settle=config.originals.settle,
        follow_links=config.originals.follow_links,
        refused=("svg",) if config.formats.svg == "off" else (),
    )
    presets = {name.lower() for name in config.presets}
    return Parts(
        originals,
        cache,
        workers,
        renditions,
        StandIns(
            renditions,
            cache,
            after=config.rendering.stand_in,
            limits=config.limits.plain(),
            loaded=lambda: admission.waiting > 0,
        ),
        Finder(originals, recheck=config.originals.recheck, presets=presets),
        metrics,
        RequestFigures(metrics),
        AccessLog(config.log.access, config.log.access_style),
    )


def _locks(config: Config, folder: str, budget: int) -> KeyLocks:
    """Keep server processes from making the same thing, where there are several and they share what is made."""
    shared = config.server.workers > 1 and budget > 0
    return KeyLocks(config.cache.folder / folder if shared else None, 2 * config.rendering.time_limit)


def _processes(config: Config) -> int:
    """Share the cores among the server processes."""
    wanted = config.rendering.processes or len(os.sched_getaffinity(0))
    return max(1, wanted // config.server.workers)


def discipline(config: Config) -> Discipline:
    """Read what a rendering process may take from the machine."""
    rendering = config.rendering
    return Discipline(rendering.niceness, rendering.memory_bytes, tuple(config.formats.allow_untrusted))


def recipe(config: Config) -> Recipe:
    """Read how pictures are rendered."""
    formats = config.formats
    return Recipe(
        discipline(config),
        config.limits.plain(),
        EncoderSettings(formats.quality.model_dump(), formats.efforts.model_dump()),
        damaged=formats.on_damage == "decode",
        settle=config.originals.settle,
    )


def _url_options(config: Config) -> UrlOptions:
    http = config.http
    policy = CachePolicy(
        max_age=int(http.max_age),
        s_maxage=None if http.s_maxage is None else int(http.s_maxage),
        stale_while_revalidate=int(http.stale_while_revalidate) or None,
        stale_if_error=int(http.stale_if_error) or None,
        immutable=http.immutable,
    )
    return UrlOptions(
        config.urls.prefix,
        config.plain_presets(),
        config.urls.strict,
        config.limits.output_side,
        config.limits.avif_pixels,
        config.formats.quality.model_dump(),
        policy,
        sizes=tuple(sorted(config.urls.sizes)),
        pass_svg=config.formats.svg == "sanitize",
    )


def _collected(metrics: Metrics) -> CollectorRegistry:
    """Choose what /metrics reads: this process, or the files of all where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return metrics.registry
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    return registry
