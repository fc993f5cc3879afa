"""Build the parts of bulk imports."""

import importlib
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from imgserve.access.sites import Sites
from imgserve.app.management import Management
from imgserve.app.pictures import Parts, processes
from imgserve.app.settings import fetch_rules
from imgserve.cache import LeaderLock
from imgserve.catalog import Catalog
from imgserve.config import Config
from imgserve.download import Downloader, FetchRules
from imgserve.errors import ConfigError
from imgserve.images.convert import Converter
from imgserve.images.warm import Warmer
from imgserve.jobs.export import Export, OutputUrls
from imgserve.jobs.fetch import ImageFetcher
from imgserve.jobs.imports import ImportService
from imgserve.jobs.pace import Pace
from imgserve.jobs.runner import ImportRunner
from imgserve.jobs.table import TableLimits
from imgserve.jobs.webhooks import Webhooks
from imgserve.library.invalidation import restart_on_failure
from imgserve.library.upload import UploadReceiver
from imgserve.web.api.import_input import ImportInput
from imgserve.web.api.import_results import ImportResults
from imgserve.web.api.imports import Imports

_WEBHOOK_BYTES = 1_000_000
_WEBHOOK_SECONDS = 20.0


class ImportWork:
    """Imports: the background work, which one process of a node does, and the endpoints."""

    def __init__(self, config: Config, parts: Parts, management: Management, sites: Sites, data: Path) -> None:
        """Build the parts, without opening them."""
        settings, catalog = config.imports, management.catalog
        max_bytes = min(settings.image_bytes, config.limits.original_bytes)
        rules = replace(
            fetch_rules(config),
            max_bytes=max_bytes,
            seconds=settings.timeout,
            idle_seconds=settings.read_timeout,
            least_rate=0,
            connections=settings.concurrency,
        )
        hook_rules = FetchRules(
            _WEBHOOK_BYTES,
            seconds=_WEBHOOK_SECONDS,
            ports=frozenset(settings.webhook_ports),
            networks=tuple(map(str, settings.webhook_networks)),
        )
        self._downloaders = downloader, sender = Downloader(rules), Downloader(hook_rules)
        converter = Converter(parts.locator, parts.resolver, parts.renditions)
        warmer = Warmer(parts.locator, parts.resolver, parts.renditions, catalog.search, at_once=processes(config))
        receiver = UploadReceiver(parts.originals, None, max_bytes=max_bytes)
        fetcher = ImageFetcher(catalog, management.ingest, receiver, downloader, warmer, settings.path)
        pace = Pace(**{name: getattr(settings, name) for name in Pace.__slots__})
        limits, file_bytes = TableLimits(settings.rows, 2 * settings.rows), settings.file_bytes
        urls = OutputUrls(sites, config.urls.public, config.urls.prefix)
        self._webhooks = Webhooks(catalog, sender, settings.webhook_secret.get_secret_value(), urls.url)
        service = ImportService(catalog, management.ingest, warmer, limits, enabled=config.uploads.fetch)
        self.endpoints = (
            ImportInput(limits, file_bytes),
            Imports(service, catalog, self._webhooks, file_bytes),
            ImportResults(service, catalog, converter, Export(catalog.imports, urls), urls),
        )
        self._runner = _runner(catalog, fetcher, pace, f"{socket.gethostname()}:{data}", config.jobs.queue)
        self._leader = LeaderLock(data / "imports.lock")

    def start(self, group: TaskGroup) -> None:
        """Start the background work; it ends with the group."""
        group.start_soon(restart_on_failure, partial(self._leader.run, self._run))

    async def close(self) -> None:
        """Close idle connections."""
        for one in self._downloaders:
            await one.close()

    async def _run(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(restart_on_failure, self._runner.run)
            group.start_soon(restart_on_failure, self._webhooks.run)


def _runner(catalog: Catalog, fetcher: ImageFetcher, pace: Pace, owner: str, queue: str) -> ImportRunner:
    """Return what fetches images; raise ConfigError if it needs an extra that is missing."""
    if not queue:
        return ImportRunner(catalog, fetcher, pace, owner)
    try:
        spread = importlib.import_module("imgserve.jobs.spread")
    except ModuleNotFoundError as error:
        raise ConfigError(["jobs.queue: a queue needs SAQ: pip install 'imgserve[queue]'"]) from error
    runner: ImportRunner = spread.SpreadRunner(catalog, fetcher, pace, owner, queue)
    return runner
