"""Build the parts that change originals, and the API."""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from imgserve import __version__
from imgserve.access.access import Access
from imgserve.app.machine import ClockWatch
from imgserve.app.pictures import Parts, processes, refused_formats, tree_of
from imgserve.app.settings import cdn_hooks, fetch_rules
from imgserve.cache import LeaderLock
from imgserve.config import Config
from imgserve.download import Downloader
from imgserve.errors import CatalogUnavailable
from imgserve.images.convert import BulkConverter, Converter
from imgserve.images.prefetch import MezzaninePrefetcher
from imgserve.images.warm import Warmer
from imgserve.library.cdn import CdnPurger
from imgserve.library.ingest import IngestService
from imgserve.library.inspect import Inspector, Rules
from imgserve.library.invalidation import (
    PURGES_KEPT,
    InvalidationListener,
    NodeFolder,
    NodeInvalidator,
    restart_on_failure,
)
from imgserve.library.record import ChangePublisher
from imgserve.library.upload import UploadReceiver
from imgserve.library.watcher import Watcher
from imgserve.web.api.access import KEPT as USAGE_KEPT
from imgserve.web.api.access import Audit, Keys, UsageReport
from imgserve.web.api.accounts import Accounts
from imgserve.web.api.addresses import Addresses
from imgserve.web.api.bulk import Bulk, Purges
from imgserve.web.api.convert import Conversions, Warming
from imgserve.web.api.images import Preconditions, Records
from imgserve.web.api.move import Moves
from imgserve.web.api.presets import Presets
from imgserve.web.api.router import Api, Auditor
from imgserve.web.api.server import Reports, Trash
from imgserve.web.api.uploads import UploadLimits, Uploads
from imgserve.web.visitors import Visitors

_logger = logging.getLogger(__name__)
_OPENING_SECONDS = 3.0
"""Time limit for opening the catalog at start; pictures are served without it."""
_KEPT = timedelta(days=1)
"""How long notices of changes and responses to idempotent requests are stored."""
_KEYS_KEPT = timedelta(days=30)
"""How long revoked and expired keys are stored."""
_TIDY_SECONDS = 600.0


class Management:
    """The parts that change originals."""

    def __init__(self, config: Config, parts: Parts, data: Path) -> None:
        """Build the parts, without opening them."""
        self.catalog, hooks = parts.catalog, cdn_hooks(config)
        self.purger = CdnPurger(hooks, parts.metrics, give_up=config.cdn.give_up)
        self.preparer = None
        if config.rendering.prepare == "ingest" and config.cache.mezzanine_bytes:
            self.preparer = MezzaninePrefetcher(parts.renditions, parts.cache.mezzanine_stats)
        rules = Rules(
            duplicates=config.uploads.duplicates,
            near=config.catalog.near,
            trash_seconds=config.originals.trash,
            redirect_seconds=config.originals.redirects,
            settle=config.originals.settle,
            refused=refused_formats(config),
            at_once=processes(config),
        )
        inspector = Inspector(
            parts.originals,
            parts.workers,
            config.limits.plain(),
            rules,
            damaged=config.formats.on_damage == "decode",
            prefetcher=self.preparer,
        )
        node, on_disk = NodeFolder(config.cache.folder), config.cache.disk_bytes or config.cache.mezzanine_bytes
        publisher = ChangePublisher(
            parts.cache,
            self.catalog.notices,
            parts.locator.forget,
            node if on_disk else None,
            on_purged=self.purger.purged if hooks else None,
            on_recorded=self.preparer.add if self.preparer else None,
        )
        self.ingest = IngestService(
            self.catalog,
            inspector,
            publisher,
            preset_keys=parts.resolver.preset_keys,
            metrics=parts.metrics,
        )
        watcher = Watcher(
            tree_of(config),
            self.ingest,
            self.catalog,
            LeaderLock(data / "watch.lock"),
            parts.metrics,
            at_once=processes(config),
            rescan=config.originals.rescan,
        )
        self.watcher = watcher if config.originals.watch else None
        self.following = InvalidationListener(
            self.catalog.notices, parts.cache, forget=parts.locator.forget, node=node if on_disk else None
        )
        self.following_nodes = NodeInvalidator(self.catalog.notices, parts.cache, node) if on_disk else None
        self.downloader = Downloader(fetch_rules(config)) if config.uploads.fetch else None
        self._tidying = LeaderLock(data / "tidy.lock")
        self._clock = ClockWatch()
        self._node = LeaderLock(config.cache.folder / "node.lock", parents=True)
        """Decides which process of this node follows other nodes."""
        self._audit_seconds, self._import_seconds = config.access.audit, config.imports.expire

    async def open(self) -> None:
        """Open the catalog, if that succeeds soon; otherwise its first use opens it."""
        with anyio.move_on_after(_OPENING_SECONDS):
            try:
                await self.catalog.database.open()
            except CatalogUnavailable:
                _logger.warning("starting without the catalog; pictures are served")

    def start(self, group: TaskGroup) -> None:
        """Start the background work; it ends with the group."""
        group.start_soon(restart_on_failure, self.purger.run)
        group.start_soon(restart_on_failure, self.following.run)
        group.start_soon(restart_on_failure, partial(self._tidying.run, self._tidy))
        if self.following_nodes is not None:
            group.start_soon(restart_on_failure, partial(self._node.run, self.following_nodes.run))
        for part in (self.watcher, self.preparer):
            if part is not None:
                group.start_soon(restart_on_failure, part.run)

    async def close(self) -> None:
        """Finish running changes, and close the catalog."""
        await self.ingest.close()
        if self.downloader is not None:
            await self.downloader.close()
        await self.catalog.database.close()

    def check(self) -> Mapping[str, str]:
        """Return the state of the parts, for readiness."""
        states = {"catalog": self.catalog.database.state}
        return states if self.watcher is None else {**states, "watch": self.watcher.state}

    async def _tidy(self) -> None:
        """Delete expired trash, notices, responses, sessions and redirects, in one of the server processes."""
        while True:
            if not self._clock.in_doubt():
                await self._delete_expired()
            await anyio.sleep(_TIDY_SECONDS)

    async def _delete_expired(self) -> None:
        try:
            await self.ingest.expire_trash()
            await to_thread.run_sync(self.ingest.sweep)
            now = datetime.now(UTC)
            await self.catalog.notices.prune(changed=now - _KEPT, purged=now - timedelta(seconds=PURGES_KEPT))
            await self.catalog.idempotency.prune(now - _KEPT)
            await self.catalog.audit.prune(now - timedelta(seconds=self._audit_seconds))
            await self.catalog.imports.prune(now - timedelta(seconds=self._import_seconds))
            await self.catalog.keys.prune(now - _KEYS_KEPT)
            await self.catalog.accounts.prune(now)
            await self.catalog.redirects.prune(now)
            await self.catalog.usage.prune(now - USAGE_KEPT)
        except CatalogUnavailable:
            _logger.debug("the catalog cannot be tidied now")
        except Exception:
            # The top of a background task, which continues.
            _logger.exception("expired data could not be deleted")


def build_api(
    config: Config,
    parts: Parts,
    management: Management,
    access: Access,
    visitors: Visitors,
    *,
    more: Iterable[object] = (),
) -> Api:
    """Return the API; `more` are further objects with endpoints."""
    catalog, ingest, prefix = management.catalog, management.ingest, config.urls.prefix
    converter = Converter(parts.locator, parts.resolver, parts.renditions)
    bulk = BulkConverter(catalog.search, at_once=2 * processes(config), most=config.limits.bulk_images)
    warmer = Warmer(parts.locator, parts.resolver, parts.renditions, catalog.search, at_once=processes(config))
    preconditions = Preconditions(catalog.images)
    receiving = UploadReceiver(parts.originals, management.downloader, max_bytes=config.limits.original_bytes)
    endpoints = (
        Uploads(
            access,
            ingest,
            preconditions,
            receiving,
            UploadLimits(config.uploads.files, config.uploads.request_bytes),
            prefix=prefix,
        ),
        Records(catalog.images, catalog.search, ingest, preconditions, prefix=prefix),
        Moves(ingest, catalog.search, bulk, preconditions, prefix=prefix),
        Bulk(ingest),
        Purges(ingest, catalog.images, parts.cache, presets=parts.presets.general),
        Trash(ingest, prefix=prefix),
        Conversions(converter, bulk, ingest, receiving, access, prefix=prefix),
        Addresses(catalog.images, parts.locator, parts.resolver, converter, access, prefix=prefix),
        Warming(warmer),
        Keys(catalog.keys, access.sites, parts.presets.general),
        Presets(parts.presets, partial(management.purger.purged, ()) if cdn_hooks(config) else None),
        Audit(catalog.audit),
        Accounts(catalog.accounts),
        Reports(catalog.search, catalog.problems, catalog.renders, version=__version__),
        UsageReport(catalog.usage),
        *more,
    )
    auditor = Auditor(catalog.audit, catalog.images)
    return Api(endpoints, access=access, keys=catalog.idempotency, audit=auditor, visitors=visitors)
