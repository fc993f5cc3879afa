"""The application: its parts are assembled here, and opened and closed by the lifespan."""

import asyncio
import contextlib
import functools
import importlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from imgserve import __version__
from imgserve.access.access import Access
from imgserve.access.admin_key import admin_digest, announce_admin_key
from imgserve.access.sites import Sites
from imgserve.app.access import build_access, cors_of, sites_of
from imgserve.app.admin import Admin
from imgserve.app.doctor import diagnose
from imgserve.app.imports import ImportWork
from imgserve.app.logs import configure_logging
from imgserve.app.management import Management, build_api
from imgserve.app.pictures import Parts
from imgserve.app.settings import catalog_url, create_data_folder, data_folder, query_settings, url_options
from imgserve.cache import FailureCache
from imgserve.catalog import Catalog, Database
from imgserve.config import Config
from imgserve.errors import ConfigError
from imgserve.images.explain import Explainer
from imgserve.images.facts import FactsReader
from imgserve.library.invalidation import restart_on_failure
from imgserve.metrics import Metrics, SharedMetrics
from imgserve.server.hot import HotPath
from imgserve.tracing import Tracing
from imgserve.web.admin.filters import PictureUrls
from imgserve.web.api.docs import ApiDocument
from imgserve.web.error_pictures import ErrorPictures
from imgserve.web.facts import explanation, fact_documents
from imgserve.web.image import ImageEndpoint
from imgserve.web.markup import markup_documents
from imgserve.web.middleware import PictureDispatch, RequestMiddleware, as_our_error
from imgserve.web.operations import Gauges, MetricsAccess, Operations, SystemCheck
from imgserve.web.original import PublicOriginals
from imgserve.web.pages import Pages, routes, static_folder
from imgserve.web.parameters import ParameterReference
from imgserve.web.published import PublishedPictures


def create_app(config: Config | None = None) -> Starlette:
    """Return the application; without a config, of IMGSERVE_CONFIG, `imgserve.yaml` or the built-in defaults.

    Nothing is written or printed before its lifespan begins.
    """
    config = config or Config.load()
    data = data_folder(config)
    catalog = Catalog(Database(catalog_url(config, data), patience=config.catalog.patience))
    sites = sites_of(config)
    parts = Parts(config, catalog, sites)
    management = Management(config, parts, data)
    access = build_access(config, parts, sites, data)
    parts.presets.on_change.append(parts.hot.clear)
    image = _image_endpoint(config, parts, access, sites)
    check = functools.partial(_check, parts, management, access)
    registry = _collected(parts.metrics)
    tracing = _tracing(config)
    ops = Operations(
        check,
        registry,
        parts.requests.metrics.fold,
        MetricsAccess(config.metrics.enabled, config.metrics.open_to, config.metrics.token.get_secret_value()),
        exemplars=tracing is not None and registry is parts.metrics.registry,
    )
    admin_page = config.access.admin != "off"
    pages = Pages(
        static_folder(),
        parts.originals,
        sites,
        config.urls.prefix,
        __version__,
        problems=parts.catalog.problems.get_many,
        admin=admin_page,
    )
    recording = Middleware(
        RequestMiddleware,
        requests=parts.requests,
        allowed_hosts=config.server.allowed_hosts,
        not_found_max_age=config.http.not_found_max_age,
        tracing=tracing,
    )
    admin = Admin(config, parts, access.limiter, registry)
    imports = ImportWork(config, parts, management, sites, data)
    api = build_api(config, parts, management, access, admin.visitors, more=imports.endpoints)
    document = ApiDocument(api.endpoints, static_folder(), prefix=config.urls.prefix, version=__version__)
    readers = config.access
    diagnosis = functools.partial(diagnose, config, data)
    checks = SystemCheck(access, diagnosis)
    reference = _reference(config, parts, sites, access)
    more = (
        api,
        *document.routes(access, readers.docs),
        *reference.routes(readers.docs),
        Route("/system-check", checks.respond),
    )
    below_admin = admin.routes(access, api, PictureUrls(sites, config.urls.prefix), config, diagnosis)
    others = routes(ops, pages, *more, *below_admin, access=access, welcome=readers.welcome)
    dispatch = Middleware(PictureDispatch, prefix=config.urls.prefix, pictures=image, others=others)
    app = Starlette(
        routes=others,
        middleware=[recording, dispatch],
        exception_handlers={HTTPException: as_our_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.parts = parts
    app.state.management = management
    app.state.imports = imports
    app.state.access = access
    app.state.tracing = tracing
    app.state.gauges = Gauges(parts.cache, parts.metrics, check, {"cache": config.cache.folder, "data": data})
    app.state.admin = admin if admin_page else None
    app.state.prepare = functools.partial(_prepare, config, data, access)
    app.state.hot_path = HotPath(
        parts.hot,
        parts.cache.get_ready,
        requests=parts.requests,
        allowed_hosts=config.server.allowed_hosts,
        timing_headers=config.http.timing_header,
    )
    return app


def _image_endpoint(config: Config, parts: Parts, access: Access, sites: Sites) -> ImageEndpoint:
    """Return the endpoint of pictures, originals and documents about them."""
    cors, options, prefix = cors_of(config, sites), url_options(config), config.urls.prefix
    explainer = Explainer(parts.renditions, parts.facts, parts.metrics)
    documents = {
        **fact_documents(parts.facts),
        "explain": explanation(explainer, query_settings(config), access, config.access.explain),
        **markup_documents(parts.facts, access, base=config.urls.public, prefix=prefix),
    }
    settled = parts.renditions.is_settled
    return ImageEndpoint(
        access,
        parts.resolver,
        parts.renditions,
        parts.fallback,
        parts.hot,
        published=None if parts.links.off else PublishedPictures(parts.links, options, cors[""]),
        cors=cors,
        options=options,
        originals=PublicOriginals(parts.locator, options, allowed=config.urls.originals, is_settled=settled),
        errors=ErrorPictures(access, parts.resolver, parts.renditions, prefix),
        documents=documents,
        demand=parts.demand,
        timing_headers=config.http.timing_header,
    )


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open every part, run the background work, and close the parts. An app that mounts this one must call it."""
    parts: Parts = app.state.parts
    management: Management = app.state.management
    imports: ImportWork = app.state.imports
    access: Access = app.state.access
    admin: Admin | None = app.state.admin
    try:
        app.state.prepare()
        parts.requests.access_log.open()
        if app.state.tracing is not None:
            app.state.tracing.open()
        await asyncio.gather(parts.renditions.open(), management.open())
        await access.ring.refresh()
        await parts.presets.refresh()
        if admin is not None:
            await admin.accounts.refresh()
        async with anyio.create_task_group() as group:
            works = [*parts.works(), app.state.gauges.run, access.ring.run]
            if admin is not None:
                works += [admin.accounts.run, admin.activity.run]
            for work in works:
                group.start_soon(restart_on_failure, work)
            management.start(group)
            imports.start(group)
            yield
            group.cancel_scope.cancel()
    finally:
        parts.requests.metrics.fold()
        await access.ring.note_use()
        if parts.requests.abuse is not None:
            await parts.requests.abuse.close()
        await access.limiter.close()
        await imports.close()
        await management.close()
        await parts.close_rendering()
        await parts.cache.close()
        await to_thread.run_sync(parts.links.clear)
        parts.requests.access_log.close()
        if app.state.tracing is not None:
            with anyio.move_on_after(_EXPORT_SECONDS, shield=True):
                await to_thread.run_sync(app.state.tracing.close, abandon_on_cancel=True)


_EXPORT_SECONDS = 5.0
"""Time limit for the last traces at the end."""


def _tracing(config: Config) -> Tracing | None:
    """Return what traces requests, or None if that is off; raise ConfigError without the extra."""
    if not config.tracing.endpoint:
        return None
    try:
        module = importlib.import_module("imgserve.web.tracing")
    except ModuleNotFoundError as error:
        raise ConfigError(["tracing.endpoint: traces need OpenTelemetry: pip install 'imgserve[otel]'"]) from error
    tracing: Tracing = module.RequestTracing(config.tracing.endpoint, config.tracing.sample_ratio)
    return tracing


def _prepare(config: Config, data: Path, access: Access) -> None:
    """Create the data folder, and at first start the admin key, which is printed."""
    create_data_folder(config, data)
    access.digest = admin_digest(config.access.admin_key.get_secret_value(), data, announce=announce_admin_key)


def _reference(config: Config, parts: Parts, sites: Sites, access: Access) -> ParameterReference:
    # The catalog may have records of other images with the ids of sample pictures.
    facts = FactsReader(_no_record, parts.workers, parts.renditions, FailureCache(config.rendering.crash_memory))
    return ParameterReference(
        static_folder(),
        parts.renditions,
        sites.default.rules.query,
        access,
        documents=fact_documents(facts),
        prefix=config.urls.prefix,
        version=__version__,
    )


async def _no_record(_image_id: str) -> None:
    return None


async def _check(parts: Parts, management: Management, access: Access) -> Mapping[str, str]:
    return {**await parts.check(), **management.check(), "api": access.state()}


@dataclass(frozen=True, slots=True)
class AppFactory:
    """Builds the application in the calling server process; picklable."""

    config: Config

    def __call__(self) -> Starlette:
        """Return the application, after configuring logging, which a new process lacks."""
        configure_logging(self.config)
        return create_app(self.config)


def _collected(metrics: Metrics) -> CollectorRegistry:
    """Return the registry of /metrics: this process, or the files of all server processes."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return metrics.registry
    registry = CollectorRegistry()
    registry.register(SharedMetrics(folder))
    return registry
