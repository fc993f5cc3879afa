"""Compare a scan with the catalog, and forget images whose files are gone."""

import itertools
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.errors import CatalogUnavailable
from imgserve.library.changes import ChangeQueue, CircuitBreaker, IngestService, Known, Versions
from imgserve.originals.base import Walked
from imgserve.originals.tree import OriginalsTree

_WALKED, _RECORDED = 200, 1000
"""So many at once; the event loop is held up for as long as it takes to compare a piece."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An id of which the originals and the catalog say different things."""

    image_id: str
    version: str | None
    """Of the file; None where the walk has met none."""


async def differences(tree: OriginalsTree, known: Known, folder: str = "") -> AsyncIterator[Difference]:
    """Compare what lies below a folder, by its id, with what is known of it.

    The main folder is compared without those of other prefixes, which are compared by their own.

    Raises:
        CatalogUnavailable: the catalog cannot be read now.
    """
    below = f"{folder}/" if folder else ""
    sides = (_walked(tree.walk(folder)), _recorded(known.images, below), _recorded(known.problems, below))
    while True:
        heads = [await side.head() for side in sides]
        ids = [head[0] for head in heads if head is not None]
        if not ids:
            return
        least = min(ids, key=os.fsencode)
        versions = [head[1] if head is not None and head[0] == least else None for head in heads]
        for side, version in zip(sides, versions, strict=True):
            if version is not None:
                side.advance()
        if versions[0] is None:
            if tree.prefix_of(least) == tree.prefix_of(folder):
                yield Difference(least, None)
        elif versions[0] not in {of_file(version) for version in versions[1:] if version is not None}:
            yield Difference(least, versions[0])


def of_file(version: str) -> str:
    """Leave out of a version what does not come from the file: the focal point behind its time and size."""
    return "_".join(version.split("_", 2)[:2])


class _Side:
    """Ids and versions in order, fetched piece by piece."""

    def __init__(self, fetch: Callable[[str], Awaitable[list[tuple[str, str]]]]) -> None:
        """Take what gives the next piece behind an id, nothing at the end."""
        self._fetch = fetch
        self._piece: list[tuple[str, str]] = []
        self._at = 0
        self._after = ""
        self._ended = False

    async def head(self) -> tuple[str, str] | None:
        """Show the first that is left."""
        while self._at >= len(self._piece) and not self._ended:
            self._piece, self._at = await self._fetch(self._after), 0
            self._ended = not self._piece
            if self._piece:
                self._after = self._piece[-1][0]
        return None if self._ended else self._piece[self._at]

    def advance(self) -> None:
        """Leave the first behind."""
        self._at += 1


def _walked(walking: Iterator[Walked]) -> _Side:
    def take(_after: str) -> list[tuple[str, str]]:
        return [(found.image_id, found.version) for found in itertools.islice(walking, _WALKED)]

    return _Side(lambda after: to_thread.run_sync(take, after))


def _recorded(known: Versions, prefix: str) -> _Side:
    async def take(after: str) -> list[tuple[str, str]]:
        return list((await known.versions(prefix, after, _RECORDED)).items())

    return _Side(take)


_logger = logging.getLogger(__name__)
_GRACE_SECONDS = 0.2
"""The other half of a renaming may be told of a moment later."""
_BATCH_SECONDS = 5.0
"""So long what was told of with it, or before, comes first."""
_RENAME_SECONDS = 600.0
"""So long a file of the same time and size comes first: forgetting too early loses what people wrote of the image."""
_EVERY = 0.1
_PIECE = 500
_MOST = 10_000
_AT_ONCE = 4


@dataclass(slots=True)
class _Gone:
    """An id where nothing lies any more."""

    since: float
    generation: int
    """Of the folders, when it was told of."""
    order: int | None = None
    """What is pending up to this number comes first; known when the grace is over."""


class DeletionQueue:
    """Forgets images and everything below folders that are gone."""

    def __init__(
        self, pending: ChangeQueue, tree: OriginalsTree, ingest: IngestService, known: Known, outage: CircuitBreaker
    ) -> None:
        """Take what is pending, which is where ids go that are there after all."""
        self._pending = pending
        self._tree = tree
        self._ingest = ingest
        self._known = known
        self._outage = outage
        self._gone = dict[str, _Gone]()
        self._added, self._room = anyio.Event(), anyio.Event()

    def __len__(self) -> int:
        return len(self._gone)

    def add(self, image_id: str) -> None:
        """Have an image forgotten, or all below a folder, if nothing lies there."""
        if image_id not in self._gone:
            self._gone[image_id] = _Gone(anyio.current_time(), self._tree.generation)
        self._added.set()

    async def room(self) -> None:
        """Wait while there is much to do."""
        while len(self._gone) > _MOST:
            self._room = anyio.Event()
            await self._room.wait()

    async def run(self) -> None:
        """Forget what is due until cancelled."""
        while True:
            if not self._gone:
                self._added = anyio.Event()
                await self._added.wait()
            await anyio.sleep(_EVERY)
            await self._outage.over()
            ripe = anyio.current_time() - _GRACE_SECONDS
            due = [image_id for image_id, gone in self._gone.items() if gone.since <= ripe]
            for start in range(0, len(due), _PIECE):
                await self._tried(due[start : start + _PIECE])
            self._room.set()

    async def _tried(self, ids: Sequence[str]) -> None:
        try:
            await self._forget(ids)
        except CatalogUnavailable:
            self._outage.begin()

    async def _forget(self, ids: Sequence[str]) -> None:
        """Forget those that are gone for sure and wait for nothing; what lies below them, too."""
        gone = await to_thread.run_sync(self._sure, ids)
        records = await self._known.images.get_many(gone)
        free = list[str]()
        for image_id in ids:
            version = of_file(records[image_id].version) if image_id in records else None
            if image_id not in gone:
                self._gone.pop(image_id, None)
            elif not self._waits(self._gone[image_id], version):
                free.append(image_id)
        for start in range(0, len(free), _AT_ONCE):
            async with anyio.create_task_group() as group:
                for image_id in free[start : start + _AT_ONCE]:
                    group.start_soon(self._forget_one, image_id, image_id in records)

    def _sure(self, ids: Collection[str]) -> set[str]:
        now = self._tree.generation
        return {image_id for image_id in ids if self._gone[image_id].generation == now and self._tree.is_gone(image_id)}

    def _waits(self, gone: _Gone, version: str | None) -> bool:
        """Tell whether something comes first that may be the same file under another name."""
        if gone.order is None:
            gone.order = self._pending.order
        waited = anyio.current_time() - gone.since
        if version and self._pending.expects(version) and waited < _RENAME_SECONDS:
            return True
        return self._pending.oldest <= gone.order and waited < _BATCH_SECONDS

    async def _forget_one(self, image_id: str, recorded: bool) -> None:
        """Forget one, and if it was no image, all that was below the folder that it may have been."""
        try:
            if not await self._ingest.vanished(image_id) and not recorded:
                await self._below(image_id)
            self._gone.pop(image_id, None)
        except CatalogUnavailable:
            self._outage.begin()
        except Exception:
            # The edge of a task: the next scan finds what was left.
            _logger.exception("%r is gone and cannot be forgotten", image_id)
            self._gone.pop(image_id, None)

    async def _below(self, folder: str) -> None:
        for known in (self._known.images, self._known.problems):
            after = ""
            while piece := await known.versions(f"{folder}/", after, _PIECE):
                for image_id in piece:
                    self.add(image_id)
                    after = image_id
