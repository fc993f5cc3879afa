"""Record watched files once they are complete; compare folders with the catalog and queue the differences."""

import itertools
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.catalog import Catalog, Images, Problems
from imgserve.errors import CatalogUnavailable, ImgserveError, Unavailable
from imgserve.library.changes import ChangeQueue, CircuitBreaker, DeletionQueue, Item
from imgserve.library.ingest import IngestService
from imgserve.library.results import Recorded, Recording
from imgserve.metrics import Metrics
from imgserve.model import bytes_version
from imgserve.originals.tree import Kind, Look, OriginalsTree, Walked

_logger = logging.getLogger(__name__)
_SETTLED_SECONDS = 0.25
"""A file that has not changed for so long is tried. A writer may pause for longer: damaged files are tried again."""
_LONGEST_PAUSE = 5.0
_TRIES = 8
"""How often a file is tried that fails for an unknown reason, before it is left to the next scan."""
_MANY = 50
_WALKED, _RECORDED = 200, 1000
"""Size of the pieces in which both sides are read; the event loop is blocked while one is compared."""


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
        looks = await to_thread.run_sync(self._look, items)
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
            now = await to_thread.run_sync(self._look, ready)
            for item, result, look in zip(ready, results, now, strict=True):
                self._finish(item, result, look)

    def _look(self, items: Sequence[Item]) -> list[Look]:
        return [self.tree.look(item.image_id) for item in items]

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


@dataclass(frozen=True, slots=True)
class Difference:
    """An id about which the originals and the catalog differ."""

    image_id: str
    version: str | None
    """Of the file; None if the walk has not met one."""


async def differences(tree: OriginalsTree, catalog: Catalog, folder: str = "") -> AsyncIterator[Difference]:
    """Compare the files below a folder, given by its id, with the catalog.

    The main folder is compared without those of other prefixes, which are compared by their own.

    Raises:
        CatalogUnavailable: the catalog cannot be read now.
    """
    below = f"{folder}/" if folder else ""
    sides = (_walked(tree.walk(folder)), _recorded(catalog.images, below), _recorded(catalog.problems, below))
    heads = [await anext(side, None) for side in sides]
    while ids := [head[0] for head in heads if head is not None]:
        least = min(ids, key=os.fsencode)
        versions = list[str | None]()
        for number, (side, head) in enumerate(zip(sides, heads, strict=True)):
            if head is not None and head[0] == least:
                versions.append(head[1])
                heads[number] = await anext(side, None)
            else:
                versions.append(None)
        version, *recorded = versions
        if version is None:
            if tree.prefix_of(least) == tree.prefix_of(folder):
                yield Difference(least, None)
        elif version not in {bytes_version(one) for one in recorded if one is not None}:
            yield Difference(least, version)


async def _walked(files: Iterator[Walked]) -> AsyncIterator[tuple[str, str]]:
    while piece := await to_thread.run_sync(lambda: list(itertools.islice(files, _WALKED))):
        for file in piece:
            yield file.image_id, file.version


async def _recorded(table: Images | Problems, prefix: str) -> AsyncIterator[tuple[str, str]]:
    after = ""
    while piece := await table.versions(prefix, after, _RECORDED):
        for image_id, version in piece.items():
            yield image_id, version
            after = image_id


@dataclass(slots=True)
class Scanned:
    """The result of a scan."""

    added: int = 0
    """Files that were added to the queue."""
    gone: int = 0
    """Known ids without a file; `DeletionQueue` checks them again."""
    waited: float = 0.0
    """Seconds in which the queue was full."""
    last: int = 0
    """The position of the last file that was added."""


class Scanner:
    """Compares folders with the catalog, and queues the differences."""

    def __init__(self, changes: ChangeQueue, deletions: DeletionQueue, tree: OriginalsTree, catalog: Catalog) -> None:
        self._changes = changes
        self._deletions = deletions
        self._tree = tree
        self._catalog = catalog
        self.empty = set[str]()
        """Prefixes of folders that are empty although images of them are known: maybe a disk is not mounted."""

    async def scan(self, prefix: str) -> Scanned:
        """Compare one of the folders of originals.

        New files come first, and deletions after they are recorded, because a file may only have moved.

        Raises:
            CatalogUnavailable: the catalog cannot be read; the differences until then are queued.
        """
        scanned = await self._queue_new(prefix, urgent=False)
        if scanned.gone and not await self._is_empty(prefix):
            await self._changes.found_tried(scanned.last)
            await self._queue_gone(prefix)
        return scanned

    async def follow(self, folder: str) -> None:
        """Compare a folder that is new in its place, given by its id, with priority over what a scan finds.

        Raises:
            CatalogUnavailable: as for `scan`.
        """
        if (await self._queue_new(folder, urgent=True)).gone:
            await self._queue_gone(folder)

    async def _queue_new(self, folder: str, *, urgent: bool) -> Scanned:
        scanned = Scanned(last=self._changes.order)
        async for difference in differences(self._tree, self._catalog, folder):
            if difference.version is None:
                scanned.gone += 1
                continue
            scanned.added += difference.image_id not in self._changes
            began = anyio.current_time()
            await self._changes.add_found(difference.image_id, difference.version, urgent=urgent)
            scanned.waited += anyio.current_time() - began
            scanned.last = self._changes.order
        return scanned

    async def _queue_gone(self, folder: str) -> None:
        async for difference in differences(self._tree, self._catalog, folder):
            if difference.version is None:
                self._deletions.add(difference.image_id)
                await self._deletions.room()

    async def _is_empty(self, folder: str) -> bool:
        """Return whether a whole folder of originals is empty; nothing counts as deleted then."""
        if await to_thread.run_sync(lambda: next(self._tree.walk(folder), None)) is not None:
            self.empty.discard(folder)
            return False
        if folder not in self.empty:
            _logger.warning(
                "%s is empty although images of it are known: is a disk not mounted? No record is removed.",
                self._tree.path_of(folder),
            )
        self.empty.add(folder)
        return True
