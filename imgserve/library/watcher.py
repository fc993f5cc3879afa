"""Keep the catalog in step with the folders of originals."""

import logging
import math
import time
from collections.abc import Iterable

import anyio
from anyio import to_thread

from imgserve.cache import LeaderLock
from imgserve.errors import CatalogUnavailable
from imgserve.library.changes import ChangeQueue, CircuitBreaker, IngestService, Known
from imgserve.library.deletions import DeletionQueue
from imgserve.library.recorder import Recorder, Scanner
from imgserve.metrics import Metrics
from imgserve.originals.tree import Kind, Look, OriginalsTree
from imgserve.originals.watch import FolderWatch

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 5.0
"""Between two scans where the system does not tell of changes."""
_LEAST_SECONDS = 1.0
"""Between two scans in any case."""
_REST = 10.0
"""The same as a multiple of what a scan takes: looking through a large folder is work."""
_QUIET_SECONDS = 2.0
"""Without changes for so long, a flood of them is over."""
_LOOK_SECONDS = 0.5
_MOST = 50_000
"""Files that are told of and wait; memory for more is not taken."""


class Watcher:
    """Records, in one process of those that share the folders, what is put there, replaced and taken away."""

    def __init__(
        self,
        tree: OriginalsTree,
        ingest: IngestService,
        known: Known,
        duty: LeaderLock,
        metrics: Metrics,
        *,
        at_once: int,
        rescan: float,
    ) -> None:
        """Take the folders, where changes go and what is known.

        Args:
            tree: the folders of originals.
            ingest: the one door.
            known: what the catalog knows.
            duty: decides which process watches.
            metrics: where figures go.
            at_once: how many files are read at a time, as many as there are rendering processes.
            rescan: seconds between scans for changes that nobody told of; 0 for none after the first.
        """
        self._tree, self._ingest, self._known = tree, ingest, known
        self._duty, self._metrics = duty, metrics
        self._at_once, self._rescan = at_once, rescan
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what came before."""
        self._watch = FolderWatch(self._tree)
        self._pending, self._outage = ChangeQueue(), CircuitBreaker()
        self._vanishing = DeletionQueue(self._pending, self._tree, self._ingest, self._known, self._outage)
        self._scanner = Scanner(self._pending, self._vanishing, self._tree, self._known)
        self._folders = set[str]()
        self._wanted, self._followed = anyio.Event(), anyio.Event()
        self._flooded_at = self._changed_at = -math.inf
        self._scan_seconds, self._scanned_at = 0.0, -math.inf

    @property
    def state(self) -> str:
        """Tell how it goes, for readiness: `ok`, or `degraded: ` and why."""
        missing, empty = set(self._tree.missing()), self._scanner.empty
        if not self._duty.mine:
            return "ok"
        if missing or empty:
            paths = ", ".join(self._tree.path_of(prefix) for prefix in sorted(missing | empty))
            return f"degraded: nothing lies in {paths}, where images were"
        if self._outage.restart_on_failure:
            return "degraded: changes wait for the catalog"
        if self._watch.polling:
            return "degraded: the system does not tell of changes, which are found by looking"
        return "ok"

    @property
    def idle(self) -> bool:
        """Tell whether everything that was told of and found is recorded."""
        return self._scanned_at > 0 and not (self._pending or self._vanishing or self._folders or self._wanted.is_set())

    async def run(self) -> None:
        """Watch until cancelled, whenever it is this process's turn."""
        await self._duty.run(self._on_duty)

    async def _on_duty(self) -> None:
        self._begin()
        recorder = Recorder(self._pending, self._vanishing, self._tree, self._ingest, self._outage, self._metrics)
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch.run)
            group.start_soon(self._hear)
            group.start_soon(self._follow)
            group.start_soon(self._scan)
            group.start_soon(self._vanishing.run)
            group.start_soon(self._publish)
            for _ in range(self._at_once):
                group.start_soon(recorder.run)
            group.start_soon(recorder.run_many)

    async def _hear(self) -> None:
        """Hand on what the system tells."""
        while True:
            changes = await self._watch.next()
            self._metrics.watch_events.inc(len(changes.ids) + len(changes.folders))
            if changes.ids:
                self._changed_at = anyio.current_time()
                for image_id, look in await to_thread.run_sync(self._looked, changes.ids):
                    if look.kind is Kind.FILE and len(self._pending) < _MOST:
                        self._pending.add(image_id, look.version)
                    elif look.kind is Kind.FILE:
                        self._flooded_at = anyio.current_time()  # a scan finds it, and waits for room
                    elif look.kind is Kind.GONE:
                        self._vanishing.add(image_id)
            if changes.folders:
                self._folders |= changes.folders
                self._followed.set()
            if changes.flood:
                self._flooded_at = anyio.current_time()
            if changes.everything:
                self._wanted.set()

    def _looked(self, ids: Iterable[str]) -> list[tuple[str, Look]]:
        return [(image_id, self._tree.look(image_id)) for image_id in ids]

    async def _follow(self) -> None:
        """Walk folders that are new in their place: of what lies in them nothing was told."""
        while True:
            self._followed = anyio.Event()
            while self._folders:
                await self._outage.over()
                folder = min(self._folders)
                try:
                    await self._scanner.follow(folder)
                except CatalogUnavailable:
                    self._outage.begin()
                else:
                    self._folders.discard(folder)
            await self._followed.wait()

    async def _scan(self) -> None:
        """Look through everything when that is due."""
        while True:
            unasked = await self._until_due()
            began = time.perf_counter()
            try:
                found = [await self._scanner.scan(prefix) for prefix in self._present()]
            except CatalogUnavailable:
                self._outage.begin()
                continue
            seconds = time.perf_counter() - began - sum(one.waited for one in found)
            self._metrics.watch_scan_seconds.observe(seconds)
            self._outage.end()
            self._scanned_at, self._scan_seconds = anyio.current_time(), seconds
            if unasked and any(one.added for one in found):
                _logger.warning("there were changes of originals that the system had not told of")
                self._watch.reopen()

    def _present(self) -> list[str]:
        missing = self._tree.missing()
        return [prefix for prefix in self._tree.prefixes if prefix not in missing]

    async def _until_due(self) -> bool:
        """Wait until a scan is due; tell whether only because of the time that has passed."""
        if self._scanned_at == -math.inf:
            await self._wanted.wait()  # not before changes are heard of, or some would be told of by nobody
        while True:
            await self._outage.over()
            now, rest = anyio.current_time(), _REST * self._scan_seconds
            flooded = now - _QUIET_SECONDS > self._changed_at and self._flooded_at > -math.inf
            asked = self._outage.restart_on_failure or self._wanted.is_set() or flooded
            unasked = max(_POLL_SECONDS, rest) if self._watch.polling else self._rescan or math.inf
            if now > self._scanned_at + (max(_LEAST_SECONDS, rest) if asked else unasked):
                self._wanted, self._flooded_at = anyio.Event(), -math.inf
                return not asked and not self._watch.polling
            with anyio.move_on_after(_LOOK_SECONDS):
                await (self._wanted.wait() if not self._wanted.is_set() else anyio.sleep(_LOOK_SECONDS))

    async def _publish(self) -> None:
        """Tell how much is pending."""
        try:
            while True:
                self._metrics.watch_pending.set(len(self._pending) + len(self._vanishing))
                await anyio.sleep(_LOOK_SECONDS)
        finally:
            self._metrics.watch_pending.set(0)
