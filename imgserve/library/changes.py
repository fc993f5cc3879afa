"""The queues of the watcher: changes, deletions, and the circuit breaker that pauses both without a catalog."""

import heapq
import itertools
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.catalog import Catalog
from imgserve.errors import CatalogUnavailable
from imgserve.library.ingest import IngestService
from imgserve.model import bytes_version
from imgserve.originals.tree import OriginalsTree

_logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0


class CircuitBreaker:
    """Pauses the work while the catalog cannot be used."""

    def __init__(self) -> None:
        self._until = 0.0
        self.open = False
        """Whether the last use of the catalog failed, so that a scan has to follow."""
        self.written = False
        """Whether something was written since then."""

    def trip(self) -> None:
        """Pause the work for a moment."""
        if not self.open:
            _logger.warning("the catalog cannot be used: changes of originals wait")
        self.open, self.written = True, False
        self._until = anyio.current_time() + _PAUSE_SECONDS

    def reset(self) -> None:
        """Note that the catalog works."""
        if self.open:
            _logger.warning("the catalog can be used again: the originals are compared with it")
        self.open = False

    async def closed(self) -> None:
        """Wait until the catalog is worth another try."""
        while (left := self._until - anyio.current_time()) > 0:  # noqa: ASYNC110  others may extend the pause
            await anyio.sleep(left)


_MOST_FOUND = 2_000
"""Found files that may wait; then the walk itself waits, which bounds the memory."""
_GRID_SECONDS = 0.1
"""Files that are put off are due together."""
_CROWD = 3
"""Reported files that may wait one by one; of more, many are taken together."""


@dataclass(slots=True, eq=False)
class Item:
    """A file to record."""

    image_id: str
    order: int
    """Its position among all that were added."""
    version: str = ""
    """Of the file at the last look."""
    urgent: bool = True
    """Whether the system reported a change; otherwise a scan has found the file."""
    put_off: int = 0
    """How often it was put off."""
    failures: int = 0
    """How often it failed for an unknown reason."""
    seen: tuple[str, int] | None = None
    """State of the file (version, time of change) at the last look."""
    seen_at: float = 0.0
    again: bool = False
    """Whether a change was reported while it was being recorded."""


class ChangeQueue:
    """Files to record: reported ones first, then those that a scan found, each in order; others when they are due."""

    def __init__(self) -> None:
        self._items = dict[str, Item]()
        self._urgent, self._found = dict[str, None](), dict[str, None]()
        self._later = list[tuple[float, int, str]]()
        self._busy = set[str]()
        self._fresh, self._fresh_found = dict[int, None](), dict[int, None]()
        self._versions = Counter[str]()
        self._order = 0
        self._changed = anyio.Event()
        self._room = anyio.Event()
        """Set when fewer items wait, or fewer were never tried."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._items

    @property
    def order(self) -> int:
        """The position of the item that was added last."""
        return self._order

    @property
    def oldest(self) -> int:
        """The position of the oldest reported file that was not tried yet; beyond `order` if there is none."""
        return next(iter(self._fresh), self._order + 1)

    def expects(self, version: str) -> bool:
        """Return whether a file of this version waits."""
        return self._versions[version] > 0

    def add(self, image_id: str, version: str = "", *, urgent: bool = True) -> None:
        """Add a file that is ready now; a file that is being recorded will be recorded again."""
        item = self._items.get(image_id)
        if item is None:
            self._order += 1
            item = self._items[image_id] = Item(image_id, self._order, version, urgent)
            (self._fresh if urgent else self._fresh_found)[item.order] = None
            self._count(version, 1)
            (self._urgent if urgent else self._found)[image_id] = None
        elif image_id in self._busy:
            item.again = True
        elif urgent and not item.urgent:
            item.urgent = True
            if self._found.pop(image_id, self) is None:
                self._urgent[image_id] = None
        self._changed.set()

    def saw(self, item: Item, version: str) -> None:
        """Set the version of an item that is being recorded."""
        self._count(item.version, -1)
        self._count(version, 1)
        item.version = version

    async def add_found(self, image_id: str, version: str, *, urgent: bool = False) -> None:
        """Add a file that was found on a walk, when there is room."""
        while len(self._urgent if urgent else self._found) >= _MOST_FOUND:
            await self._wait_for_room()
        self.add(image_id, version, urgent=urgent)

    async def found_tried(self, last: int) -> None:
        """Wait until all found files up to a position were tried."""
        while next(iter(self._fresh_found), last + 1) <= last:
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        if self._room.is_set():
            self._room = anyio.Event()
        await self._room.wait()

    async def take(self, most: int = 1) -> list[Item]:
        """Wait for a reported file; if many wait, return up to `most`.

        A single one is recorded without delay, but at three times the cost of one among many.
        """
        while True:
            self._bring_due()
            if self._urgent:
                return self._taken(self._urgent, most if len(self._urgent) > _CROWD else 1)
            await self._change()

    async def take_many(self, most: int) -> list[Item]:
        """Wait for files that a walk has found, or for many reported ones."""
        while True:
            self._bring_due()
            waiting = self._urgent if len(self._urgent) > _CROWD else self._found
            if waiting:
                return self._taken(waiting, most)
            await self._change()

    def _bring_due(self) -> None:
        now = anyio.current_time()
        while self._later and self._later[0][0] <= now:
            image_id = heapq.heappop(self._later)[2]
            (self._urgent if self._items[image_id].urgent else self._found)[image_id] = None
            self._changed.set()  # the task that notices may not be the one that waits for it

    async def _change(self) -> None:
        if self._changed.is_set():
            self._changed = anyio.Event()
        left = self._later[0][0] - anyio.current_time() if self._later else None
        with anyio.move_on_after(left):
            await self._changed.wait()

    def _taken(self, waiting: dict[str, None], most: int) -> list[Item]:
        taken = list(itertools.islice(waiting, most))
        for image_id in taken:
            del waiting[image_id]
        self._busy.update(taken)
        self._room.set()
        return [self._items[image_id] for image_id in taken]

    def done(self, item: Item) -> None:
        """Remove a recorded item, unless another change was reported meanwhile."""
        self._busy.discard(item.image_id)
        del self._items[item.image_id]
        self._forget_order(item)
        self._count(item.version, -1)
        if item.again:
            self.add(item.image_id, item.version, urgent=item.urgent)

    def put_off(self, item: Item, seconds: float) -> None:
        """Try an item again later. After the second time nothing waits for it any more."""
        self._busy.discard(item.image_id)
        item.again = False
        item.put_off += 1
        if item.put_off > 1:
            self._forget_order(item)
        due = math.ceil((anyio.current_time() + seconds) / _GRID_SECONDS) * _GRID_SECONDS
        heapq.heappush(self._later, (due, item.order, item.image_id))
        self._changed.set()

    def _count(self, version: str, change: int) -> None:
        self._versions[version] += change
        if not self._versions[version]:
            del self._versions[version]

    def _forget_order(self, item: Item) -> None:
        self._fresh.pop(item.order, None)
        self._fresh_found.pop(item.order, None)
        self._room.set()


_GRACE_SECONDS = 0.2
"""The other half of a renaming may be reported a moment later."""
_BATCH_SECONDS = 5.0
"""For so long, what was reported together with a deletion or before it comes first."""
_RENAME_SECONDS = 600.0
"""For so long, a new file of the same time and size comes first: removing the record too early loses its texts."""
_POLL_SECONDS = 0.1
_PIECE = 500
_MOST = 10_000
_AT_ONCE = 4


@dataclass(slots=True)
class _Gone:
    """An id without a file."""

    since: float
    generation: int
    """Of the folders, when the deletion was reported."""
    order: int | None = None
    """Changes up to this position come first; it is set when the grace period is over."""


class DeletionQueue:
    """Removes the records of images that are gone, and of everything below folders that are gone."""

    def __init__(
        self,
        changes: ChangeQueue,
        tree: OriginalsTree,
        ingest: IngestService,
        catalog: Catalog,
        breaker: CircuitBreaker,
    ) -> None:
        self._changes = changes
        self._tree = tree
        self._ingest = ingest
        self._catalog = catalog
        self._breaker = breaker
        self._gone = dict[str, _Gone]()
        self._added, self._room = anyio.Event(), anyio.Event()

    def __len__(self) -> int:
        return len(self._gone)

    def add(self, image_id: str) -> None:
        """Add an image, or a folder, that may be gone."""
        if image_id not in self._gone:
            self._gone[image_id] = _Gone(anyio.current_time(), self._tree.generation)
        self._added.set()

    async def room(self) -> None:
        """Wait while the queue is long."""
        while len(self._gone) > _MOST:
            self._room = anyio.Event()
            await self._room.wait()

    async def run(self) -> None:
        """Remove the records that are due, until cancelled."""
        while True:
            if not self._gone:
                self._added = anyio.Event()
                await self._added.wait()
            await anyio.sleep(_POLL_SECONDS)
            await self._breaker.closed()
            ripe = anyio.current_time() - _GRACE_SECONDS
            due = [image_id for image_id, gone in self._gone.items() if gone.since <= ripe]
            for start in range(0, len(due), _PIECE):
                try:
                    await self._forget(due[start : start + _PIECE])
                except CatalogUnavailable:
                    self._breaker.trip()
            self._room.set()

    async def _forget(self, ids: Sequence[str]) -> None:
        """Remove the records of those that are certainly gone and wait for no change; also of what was below them."""
        now = self._tree.generation
        sure = [image_id for image_id in ids if self._gone[image_id].generation == now]
        gone = await to_thread.run_sync(lambda: {image_id for image_id in sure if self._tree.is_gone(image_id)})
        records = await self._catalog.images.get_many(gone)
        free = list[str]()
        for image_id in ids:
            version = bytes_version(records[image_id].version) if image_id in records else None
            if image_id not in gone:
                self._gone.pop(image_id, None)
            elif not self._waits(self._gone[image_id], version):
                free.append(image_id)
        for start in range(0, len(free), _AT_ONCE):
            async with anyio.create_task_group() as group:
                for image_id in free[start : start + _AT_ONCE]:
                    group.start_soon(self._forget_one, image_id, image_id in records)

    def _waits(self, gone: _Gone, version: str | None) -> bool:
        """Return whether a change comes first that may be the same file under another name."""
        if gone.order is None:
            gone.order = self._changes.order
        waited = anyio.current_time() - gone.since
        if version and self._changes.expects(version) and waited < _RENAME_SECONDS:
            return True
        return self._changes.oldest <= gone.order and waited < _BATCH_SECONDS

    async def _forget_one(self, image_id: str, recorded: bool) -> None:
        """Remove one record; if it was not an image, remove all that was below the folder that it may have been."""
        try:
            if not await self._ingest.vanished(image_id) and not recorded:
                for table in (self._catalog.images, self._catalog.problems):
                    after = ""
                    while piece := await table.versions(f"{image_id}/", after, _PIECE):
                        for after in piece:
                            self.add(after)
            self._gone.pop(image_id, None)
        except CatalogUnavailable:
            self._breaker.trip()
        except Exception:
            # The edge of a task: the next scan finds the rest.
            _logger.exception("%r is gone, but its record cannot be removed", image_id)
            self._gone.pop(image_id, None)
