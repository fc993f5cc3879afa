"""The queue of watched changes, and the circuit breaker of the catalog."""

import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio

from imgserve.library.results import Recorded
from imgserve.model import ImageRecord
from imgserve.originals.base import Walked


class IngestService(Protocol):
    """Where changes of originals pass."""

    async def record(self, image_id: str, *, background: bool = True, version: str = "") -> Recorded:
        """Record a file of a version that lies in its place, nothing where it is known; one that is gone is forgotten.

        Raises:
            CatalogUnavailable, Unavailable: it cannot be told now.
        """
        ...

    async def record_many(self, walked: Sequence[Walked], *, background: bool = True) -> list[Recorded]:
        """Record many together; what cannot be told now is LATER, and names that cannot be recorded are left out."""
        ...

    async def vanished(self, image_id: str) -> bool:
        """Forget an image whose file is gone; tell whether it was known."""
        ...


class Versions(Protocol):
    """What is known by its version: images, or problems."""

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Tell ids and versions in the order of ids."""
        ...


class Records(Versions, Protocol):
    """The records of images."""

    async def get_many(self, image_ids: Collection[str]) -> Mapping[str, ImageRecord]:
        """Read those that there are."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog knows of the originals."""

    images: Records
    problems: Versions


_logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0


class CircuitBreaker:
    """Lets work wait while the catalog is away."""

    def __init__(self) -> None:
        """Begin without an outage."""
        self._until = 0.0
        self.restart_on_failure = False
        """Whether the last that was heard of the catalog is that it cannot be used."""

    def begin(self) -> None:
        """Have everybody wait a moment."""
        if not self.restart_on_failure:
            _logger.warning("the catalog cannot be used: changes of originals wait")
        self.restart_on_failure = True
        self._until = anyio.current_time() + _PAUSE_SECONDS

    def end(self) -> bool:
        """Hear that the catalog works; tell whether it did not before, so that it may be another one now."""
        lasted, self.restart_on_failure = self.restart_on_failure, False
        if lasted:
            _logger.warning("the catalog can be used again: the originals are compared with it")
        return lasted

    async def over(self) -> None:
        """Wait until it is worth trying."""
        while (left := self._until - anyio.current_time()) > 0:  # noqa: ASYNC110  others put the end off meanwhile
            await anyio.sleep(left)


_MOST_FOUND = 2_000
"""Found on a walk and waiting; the walk itself waits beyond that, which is what bounds memory."""
_CROWD = 20
"""Told of and waiting; beyond that, many are taken together."""


@dataclass(slots=True, eq=False)
class Item:
    """An image to be looked at."""

    image_id: str
    order: int
    """When it was told of, as a number."""
    version: str = ""
    """Of the file when it was last looked at."""
    urgent: bool = True
    put_off: int = 0
    """How often."""
    failures: int = 0
    """How often it failed, for whoever counts that."""
    seen: tuple[str, int] | None = None
    """State of the file at the last look."""
    seen_at: float = 0.0
    again: bool = False
    """It was told of once more while it was being looked at."""


class ChangeQueue:
    """What was told of comes first, then what a scan found, each in order; what was put off, when it is due."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._items = dict[str, Item]()
        self._urgent, self._found = dict[str, None](), dict[str, None]()
        self._later = list[tuple[float, int, str]]()
        self._busy = set[str]()
        self._fresh, self._fresh_found = dict[int, None](), dict[int, None]()
        self._versions = Counter[str]()
        self._order = 0
        self._changed = anyio.Event()
        self._room = anyio.Event()
        """Set when less is waiting, or less was never tried."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._items

    @property
    def order(self) -> int:
        """The number of what was told of last."""
        return self._order

    @property
    def oldest(self) -> int:
        """The number of what was told of longest ago and not yet tried; beyond `order` where there is nothing.

        What a scan has found does not count.
        """
        return next(iter(self._fresh), self._order + 1)

    def expects(self, version: str) -> bool:
        """Tell whether a file of this version is to be looked at."""
        return self._versions[version] > 0

    def add(self, image_id: str, version: str = "", *, urgent: bool = True) -> None:
        """Have an image looked at, now; what is being looked at is looked at again."""
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
        """Hear of which version a file is that is being looked at."""
        self._count(item.version, -1)
        self._count(version, 1)
        item.version = version

    async def add_found(self, image_id: str, version: str, *, urgent: bool = False) -> None:
        """Have an image looked at that was found on a walk, when there is room."""
        while len(self._urgent if urgent else self._found) >= _MOST_FOUND:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()
        self.add(image_id, version, urgent=urgent)

    async def found_tried(self, last: int) -> None:
        """Wait until all that was found on walks was tried, up to a number."""
        while next(iter(self._fresh_found), last + 1) <= last:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()

    async def take(self, most: int = 1) -> list[Item]:
        """Wait for an image that was told of, and whose turn it is; of a crowd, for many.

        One alone is recorded at once, but costs three times the work of one among many.
        """
        while True:
            self._bring_due()
            if self._urgent:
                return self._taken(self._urgent, most if len(self._urgent) > _CROWD else 1)
            await self._change()

    async def take_many(self, most: int) -> list[Item]:
        """Wait for images that a walk has found, or for a crowd that was told of."""
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
            self._changed.set()  # whoever noticed may not be the one that waits for it

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
        """Forget an image that was looked at, unless it was told of once more meanwhile."""
        self._busy.discard(item.image_id)
        del self._items[item.image_id]
        self._forget_order(item)
        self._count(item.version, -1)
        if item.again:
            self.add(item.image_id, item.version, urgent=item.urgent)

    def put_off(self, item: Item, seconds: float) -> None:
        """Look at an image again later; one that was put off more than once keeps nobody waiting any more."""
        self._busy.discard(item.image_id)
        item.again = False
        item.put_off += 1
        if item.put_off > 1:
            self._forget_order(item)
        heapq.heappush(self._later, (anyio.current_time() + seconds, item.order, item.image_id))
        self._changed.set()

    def _count(self, version: str, change: int) -> None:
        self._versions[version] += change
        if not self._versions[version]:
            del self._versions[version]

    def _forget_order(self, item: Item) -> None:
        self._fresh.pop(item.order, None)
        self._fresh_found.pop(item.order, None)
        self._room.set()
