"""Synchronize the catalog with the folders of originals."""

import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.cache import LeaderLock
from imgserve.catalog import Catalog
from imgserve.errors import CatalogUnavailable, ImgserveError, Unavailable
from imgserve.library.changes import ChangeQueue, CircuitBreaker, DeletionQueue, Item
from imgserve.library.ingest import IngestService
from imgserve.library.inspect import Recording
from imgserve.library.record import Recorded
from imgserve.library.scanner import Scanner
from imgserve.metrics import Metrics
from imgserve.originals.tree import Kind, Look, OriginalsTree, Walked
from imgserve.originals.watch import FolderWatch

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 5.0
"""Between two scans where the system does not report changes."""
_LEAST_SECONDS = 1.0
"""Between two scans in any case."""
_REST = 10.0
"""The same as a multiple of the duration of a scan, because the scan of a large folder is work."""
_QUIET_SECONDS = 2.0
"""Without changes for so long, a flood of them is over."""
_LOOK_SECONDS = 0.5
_MOST = 50_000
"""Reported files that may wait, which bounds the memory."""
_SETTLED_SECONDS = 0.25
"""A file that has not changed for so long is tried. A writer may pause for longer: damaged files are tried again."""
_LONGEST_PAUSE = 5.0
_TRIES = 8
"""How often a file is tried that fails for an unknown reason, before it is left to the next scan."""
_MANY = 50


@dataclass(frozen=True, slots=True)
class WatchRecorder:
    """Records the files of the change queue."""

    changes: ChangeQueue
    deletions: DeletionQueue
    """Receives the files that are gone."""
    tree: OriginalsTree
    ingest: IngestService
    breaker: CircuitBreaker
    metrics: Metrics

    async def run(self) -> None:
        """Record reported files until cancelled, one by one or many together; several such tasks may run."""
        while True:
            await self.breaker.closed()
            await self._work(await self.changes.take(_MANY))

    async def run_many(self) -> None:
        """Record files that a scan has found, many together, until cancelled."""
        while True:
            await self.breaker.closed()
            await self._work(await self.changes.take_many(_MANY))

    async def _work(self, items: Sequence[Item]) -> None:
        """Look at files, record those that are complete, and put off the others."""
        looks = await to_thread.run_sync(looked, self.tree, [item.image_id for item in items])
        ready = list[Item]()
        for item, look in zip(items, looks, strict=True):
            self.changes.saw(item, look.version or item.version)
            if look.kind is Kind.GONE:
                self.deletions.add(item.image_id)
            if look.kind is not Kind.FILE:
                self.changes.done(item)
            elif (wait := _until_settled(item, look)) > 0:
                self.changes.put_off(item, wait)
            else:
                ready.append(item)
        if ready:
            results = await self._record(ready)
            now = await to_thread.run_sync(looked, self.tree, [item.image_id for item in ready])
            for item, result, look in zip(ready, results, now, strict=True):
                self._finish(item, result, look)

    async def _record(self, items: Sequence[Item]) -> list[Recorded | Exception]:
        """Record files; return the outcome of each, or the error."""
        try:
            if len(items) == 1:
                item = items[0]
                return [await self.ingest.record(item.image_id, background=True, version=item.version)]
            walked = [Walked(item.image_id, item.version) for item in items]
            recorded = {one.image_id: one for one in await self.ingest.record_many(walked, background=True)}
        except Exception as error:  # noqa: BLE001  the edge of a task: each file is put off by what went wrong
            return [error] * len(items)
        left_out = Recorded("", Recording.UNCHANGED)
        return [recorded.get(item.image_id, left_out) for item in items]

    def _finish(self, item: Item, result: Recorded | Exception, now: Look) -> None:
        """Remove a file from the queue if it is recorded; put it off otherwise."""
        error = result if isinstance(result, Exception) else result.error
        if error is not None:
            self._put_off(item, error)
        elif now.kind is Kind.FILE and now.version != item.version:
            self.changes.put_off(item, _SETTLED_SECONDS)  # it grew while it was read
        else:
            if isinstance(result, Recorded) and result.problem is not None:
                self.metrics.watch_problems.inc()
            self.breaker.written = True
            self.changes.done(item)

    def _put_off(self, item: Item, error: Exception) -> None:
        if isinstance(error, CatalogUnavailable):
            self.breaker.trip()
            self.changes.put_off(item, 0.0)
        elif isinstance(error, Unavailable):
            self.changes.put_off(item, min(_LONGEST_PAUSE, error.retry_after or 1))
        else:
            # The traceback matters only where the error is not one of ours.
            _logger.error(
                "%r cannot be recorded", item.image_id, exc_info=None if isinstance(error, ImgserveError) else error
            )
            item.failures += 1
            if item.failures < _TRIES:
                self.changes.put_off(item, min(_LONGEST_PAUSE, 0.5 * 2**item.failures))
            else:
                self.changes.done(item)


def looked(tree: OriginalsTree, ids: Iterable[str]) -> list[Look]:
    """Look at files; blocks."""
    return [tree.look(image_id) for image_id in ids]


def _until_settled(item: Item, look: Look) -> float:
    """Return for how many seconds a file is to be left alone; 0 if it has not changed for a while.

    The time of change decides, whatever modification time a copy sets; where clocks differ, two looks decide.
    """
    age, now, state = time.time() - look.changed_ns / 1e9, anyio.current_time(), (look.version, look.changed_ns)
    if item.seen != state:
        item.seen, item.seen_at = state, now
    if age >= _SETTLED_SECONDS or now - item.seen_at >= _SETTLED_SECONDS:
        return 0.0
    return _SETTLED_SECONDS - max(0.0, age)


class Watcher:
    """Records, in one of the processes that share the folders, which files are added, replaced and removed."""

    def __init__(
        self,
        tree: OriginalsTree,
        ingest: IngestService,
        catalog: Catalog,
        leader: LeaderLock,
        metrics: Metrics,
        *,
        at_once: int,
        rescan: float,
    ) -> None:
        """Create a watcher that reads `at_once` files at a time, as many as there are rendering processes.

        `rescan` are the seconds between scans for changes that were not reported; 0 for none after the first.
        """
        self._tree, self._ingest, self._catalog = tree, ingest, catalog
        self._leader, self._metrics = leader, metrics
        self._at_once, self._rescan = at_once, rescan
        self._reset()

    def _reset(self) -> None:
        """Start with empty queues."""
        self._watch = FolderWatch(self._tree)
        self._changes, self._breaker = ChangeQueue(), CircuitBreaker()
        self._deletions = DeletionQueue(self._changes, self._tree, self._ingest, self._catalog, self._breaker)
        self._scanner = Scanner(self._changes, self._deletions, self._tree, self._catalog)
        self._folders = set[str]()
        self._requested, self._followed = anyio.Event(), anyio.Event()
        self._flooded_at = self._changed_at = -math.inf
        self._scan_seconds, self._scanned_at = 0.0, -math.inf

    @property
    def state(self) -> str:
        """The state for the readiness check: `ok`, or `degraded: ` and the reason."""
        missing, empty = set(self._tree.missing()), self._scanner.empty
        if not self._leader.mine:
            return "ok"
        if missing or empty:
            paths = ", ".join(self._tree.path_of(prefix) for prefix in sorted(missing | empty))
            return f"degraded: no files in {paths}, though images of it are recorded; is its disk mounted?"
        if self._breaker.open:
            return "degraded: changes wait for the catalog"
        if self._watch.polling:
            return "degraded: the system does not report changes, which are found by polling"
        return "ok"

    @property
    def idle(self) -> bool:
        """Whether everything that was reported and found is recorded."""
        return self._scanned_at > 0 and not (
            self._changes or self._deletions or self._folders or self._requested.is_set()
        )

    async def run(self) -> None:
        """Watch until cancelled, whenever this process is the leader."""
        await self._leader.run(self._lead)

    async def _lead(self) -> None:
        self._reset()
        recorder = WatchRecorder(self._changes, self._deletions, self._tree, self._ingest, self._breaker, self._metrics)
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch.run)
            group.start_soon(self._receive)
            group.start_soon(self._follow)
            group.start_soon(self._scan)
            group.start_soon(self._deletions.run)
            group.start_soon(self._publish)
            for _ in range(self._at_once):
                group.start_soon(recorder.run)
            group.start_soon(recorder.run_many)

    async def _receive(self) -> None:
        """Queue what the system reports."""
        while True:
            changes = await self._watch.next()
            self._metrics.watch_events.inc(len(changes.ids) + len(changes.folders))
            if changes.ids:
                self._changed_at = anyio.current_time()
                ids = list(changes.ids)
                for image_id, look in zip(ids, await to_thread.run_sync(looked, self._tree, ids), strict=True):
                    if look.kind is Kind.FILE and len(self._changes) < _MOST:
                        self._changes.add(image_id, look.version)
                    elif look.kind is Kind.FILE:
                        self._flooded_at = anyio.current_time()  # a scan finds it, and waits for room
                    elif look.kind is Kind.GONE:
                        self._deletions.add(image_id)
            if changes.folders:
                self._folders |= changes.folders
                self._followed.set()
            if changes.flood:
                self._flooded_at = anyio.current_time()
            if changes.everything:
                self._requested.set()

    async def _follow(self) -> None:
        """Walk folders that are new in their place, because nothing was reported of their files."""
        while True:
            self._followed = anyio.Event()
            while self._folders:
                await self._breaker.closed()
                folder = min(self._folders)
                try:
                    await self._scanner.follow(folder)
                except CatalogUnavailable:
                    self._breaker.trip()
                else:
                    self._folders.discard(folder)
            await self._followed.wait()

    async def _scan(self) -> None:
        """Scan all folders when that is due."""
        while True:
            periodic = await self._until_due()
            began = time.perf_counter()
            try:
                missing = self._tree.missing()
                found = [await self._scanner.scan(prefix) for prefix in self._tree.prefixes if prefix not in missing]
            except CatalogUnavailable:
                self._breaker.trip()
                continue
            seconds = time.perf_counter() - began - sum(one.waited for one in found)
            self._metrics.watch_scan_seconds.observe(seconds)
            if self._breaker.written or not self._changes:  # while nothing can be written, reading proves nothing
                self._breaker.reset()
            self._scanned_at, self._scan_seconds = anyio.current_time(), seconds
            if periodic and any(one.added for one in found):
                _logger.warning("there were changes of originals that the system had not reported")
                self._watch.reopen()

    async def _until_due(self) -> bool:
        """Wait until a scan is due; return whether only because of the time that has passed."""
        if self._scanned_at == -math.inf:
            await self._requested.wait()  # not before changes are reported, or some would be missed
        while True:
            await self._breaker.closed()
            now, rest = anyio.current_time(), _REST * self._scan_seconds
            flooded = now - _QUIET_SECONDS > self._changed_at and self._flooded_at > -math.inf
            requested = self._breaker.open or self._requested.is_set() or flooded
            periodic = max(_POLL_SECONDS, rest) if self._watch.polling else self._rescan or math.inf
            if now > self._scanned_at + (max(_LEAST_SECONDS, rest) if requested else periodic):
                self._requested, self._flooded_at = anyio.Event(), -math.inf
                return not requested and not self._watch.polling
            with anyio.move_on_after(_LOOK_SECONDS):
                await (self._requested.wait() if not self._requested.is_set() else anyio.sleep(_LOOK_SECONDS))

    async def _publish(self) -> None:
        """Update the metric of what waits."""
        try:
            while True:
                self._metrics.watch_pending.set(len(self._changes) + len(self._deletions))
                await anyio.sleep(_LOOK_SECONDS)
        finally:
            self._metrics.watch_pending.set(0)
