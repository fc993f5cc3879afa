"""Record watched files once they are complete, and scan for missed ones."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.errors import CatalogUnavailable, ImgserveError, Unavailable
from imgserve.library.changes import ChangeQueue, CircuitBreaker, IngestService, Item, Known
from imgserve.library.deletions import DeletionQueue, differences
from imgserve.library.results import Recorded, Recording
from imgserve.metrics import Metrics
from imgserve.originals.base import Walked
from imgserve.originals.tree import Kind, Look, OriginalsTree

_logger = logging.getLogger(__name__)
_STILL_SECONDS = 0.25
"""A file that has not changed for so long is tried. A writer may pause for longer: damaged files are tried again."""
_LONGEST_PAUSE = 5.0
_TRIES = 8
"""So often is a file tried that fails for no reason known here, before it is left to the next scan."""
_MANY = 50


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records what is pending."""

    pending: ChangeQueue
    vanishing: DeletionQueue
    """Takes those that are gone."""
    tree: OriginalsTree
    ingest: IngestService
    outage: CircuitBreaker
    metrics: Metrics

    async def run(self) -> None:
        """Record what was told of, one after the other or a crowd together, until cancelled; beside others like it."""
        while True:
            await self.outage.over()
            await self._work(await self.pending.take(_MANY))

    async def run_many(self) -> None:
        """Record what is many, many together, until cancelled."""
        while True:
            await self.outage.over()
            await self._work(await self.pending.take_many(_MANY))

    async def _work(self, items: Sequence[Item]) -> None:
        """Look at files, and record those that are complete; the others are put off."""
        looks = await to_thread.run_sync(self._look, items)
        ready = list[Item]()
        for item, look in zip(items, looks, strict=True):
            self.pending.saw(item, look.version or item.version)
            if look.kind is Kind.GONE:
                self.vanishing.add(item.image_id)
            if look.kind is not Kind.FILE:
                self.pending.done(item)
            elif (wait := _until_still(item, look)) > 0:
                self.pending.put_off(item, wait)
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
        """Record files; tell of each what became of it, or why it cannot be told."""
        try:
            if len(items) == 1:
                item = items[0]
                return [await self.ingest.record(item.image_id, background=True, version=item.version)]
            walked = [_walked(item) for item in items]
            recorded = {one.image_id: one for one in await self.ingest.record_many(walked, background=True)}
        except Exception as error:  # noqa: BLE001  the edge of a task: each file is put off by what went wrong
            return [error] * len(items)
        left_out = Recorded("", Recording.UNCHANGED)
        return [recorded.get(item.image_id, left_out) for item in items]

    def _finish(self, item: Item, result: Recorded | Exception, now: Look) -> None:
        """Forget a file that is recorded, put off one that is not."""
        error = result if isinstance(result, Exception) else result.error
        if error is not None:
            self._put_off(item, error)
        elif now.kind is Kind.FILE and now.version != item.version:
            self.pending.put_off(item, _STILL_SECONDS)  # it grew while it was read
        else:
            if isinstance(result, Recorded) and result.problem is not None:
                self.metrics.watch_problems.inc()
            self.pending.done(item)

    def _put_off(self, item: Item, error: Exception) -> None:
        if isinstance(error, CatalogUnavailable):
            self.outage.begin()
            self.pending.put_off(item, 0.0)
        elif isinstance(error, Unavailable):
            self.pending.put_off(item, min(_LONGEST_PAUSE, error.retry_after or 1))
        else:
            _logger.error("%r cannot be recorded", item.image_id, exc_info=_unexpected(error))
            item.failures += 1
            if item.failures < _TRIES:
                self.pending.put_off(item, min(_LONGEST_PAUSE, 0.5 * 2**item.failures))
            else:
                self.pending.done(item)


def _until_still(item: Item, look: Look) -> float:
    """Tell how many seconds a file is to be left alone; 0 where it has not changed for a while.

    The time of change says so, whatever modification time a copy sets; where clocks differ, two looks do.
    """
    age, now, state = time.time() - look.changed_ns / 1e9, anyio.current_time(), (look.version, look.changed_ns)
    if item.seen != state:
        item.seen, item.seen_at = state, now
    if age >= _STILL_SECONDS or now - item.seen_at >= _STILL_SECONDS:
        return 0.0
    return _STILL_SECONDS - max(0.0, age)


def _walked(item: Item) -> Walked:
    modified, size = (int(part, 16) for part in item.version.split("_"))
    return Walked(item.image_id, item.version, size, modified)


def _unexpected(error: Exception) -> Exception | None:
    """Show where an error came from that is none of ours."""
    return None if isinstance(error, ImgserveError) else error


@dataclass(slots=True)
class Scanned:
    """What a scan met."""

    added: int = 0
    """Files that were to be recorded and not pending already."""
    gone: int = 0
    """Ids that are known without a file; they are left to `DeletionQueue`, which looks closer."""
    waited: float = 0.0
    """Seconds in which there was too much to do already."""
    last: int = 0
    """The number of the last file that was handed on."""


class Scanner:
    """Compares folders with the catalog, and hands on what differs."""

    def __init__(self, pending: ChangeQueue, vanishing: DeletionQueue, tree: OriginalsTree, known: Known) -> None:
        """Take where differences go."""
        self._pending = pending
        self._vanishing = vanishing
        self._tree = tree
        self._known = known
        self.empty = set[str]()
        """Prefixes of folders in which nothing lies although images are known: a disk that is not mounted?"""

    async def scan(self, prefix: str) -> Scanned:
        """Compare one of the folders of originals.

        What is new comes first, and what is gone when that is recorded: a file may only have moved.

        Raises:
            CatalogUnavailable: the catalog cannot be read; what was found so far is handed on.
        """
        scanned = await self._hand_on_new(prefix, urgent=False)
        if scanned.gone and not await self._emptied(prefix):
            await self._pending.found_tried(scanned.last)
            await self._hand_on_gone(prefix)
        return scanned

    async def follow(self, folder: str) -> None:
        """Compare a folder, by its id, that is new in its place, and all below it, before what a scan finds.

        Raises:
            CatalogUnavailable: as above.
        """
        if (await self._hand_on_new(folder, urgent=True)).gone:
            await self._hand_on_gone(folder)

    async def _hand_on_new(self, folder: str, *, urgent: bool) -> Scanned:
        scanned = Scanned(last=self._pending.order)
        async for difference in differences(self._tree, self._known, folder):
            if difference.version is None:
                scanned.gone += 1
                continue
            scanned.added += difference.image_id not in self._pending
            began = anyio.current_time()
            await self._pending.add_found(difference.image_id, difference.version, urgent=urgent)
            scanned.waited += anyio.current_time() - began
            scanned.last = self._pending.order
        return scanned

    async def _hand_on_gone(self, folder: str) -> None:
        async for difference in differences(self._tree, self._known, folder):
            if difference.version is None:
                self._vanishing.add(difference.image_id)
                await self._vanishing.room()

    async def _emptied(self, folder: str) -> bool:
        """Tell whether a whole folder of originals shows nothing at all; nothing is taken for gone then."""
        if await to_thread.run_sync(lambda: next(self._tree.walk(folder), None)) is not None:
            self.empty.discard(folder)
            return False
        if folder not in self.empty:
            _logger.warning(
                "nothing lies in %s although images of it are known: is a disk not mounted? Nothing is forgotten.",
                self._tree.path_of(folder),
            )
        self.empty.add(folder)
        return True
