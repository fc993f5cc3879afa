"""Compare folders with the catalog, and queue the differences."""

import itertools
import logging
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.catalog import Catalog, Images, Problems
from imgserve.library.changes import ChangeQueue, DeletionQueue
from imgserve.library.inspect import DENIED
from imgserve.model import bytes_version
from imgserve.originals.tree import OriginalsTree, Walked

_logger = logging.getLogger(__name__)
_WALKED, _RECORDED = 200, 1000
"""Size of the pieces in which both sides are read; the event loop is blocked while one is compared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An id about which the originals and the catalog differ."""

    image_id: str
    version: str | None
    """Of the file; None if the walk has not met one."""
    denied: bool = False
    """Whether only a mode is known to prevent that the file is read, which nobody reports when it changes."""


async def differences(tree: OriginalsTree, catalog: Catalog, folder: str = "") -> AsyncIterator[Difference]:
    """Compare the files below a folder, given by its id, with the catalog.

    The main folder is compared without those of other prefixes, which are compared by their own.

    Raises CatalogUnavailable if the catalog cannot be read now.
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
        elif DENIED in recorded:
            yield Difference(least, version, denied=True)
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

        Raises CatalogUnavailable if the catalog cannot be read; the differences until then are queued.
        """
        scanned = await self._queue_new(prefix, urgent=False)
        if scanned.gone and not await self._is_empty(prefix):
            await self._changes.found_tried(scanned.last)
            await self._queue_gone(prefix)
        return scanned

    async def follow(self, folder: str) -> None:
        """Compare a folder that is new in its place, given by its id, with priority over what a scan finds.

        Raises CatalogUnavailable as `scan` does.
        """
        if (await self._queue_new(folder, urgent=True)).gone:
            await self._queue_gone(folder)

    async def _queue_new(self, folder: str, *, urgent: bool) -> Scanned:
        scanned = Scanned(last=self._changes.order)
        async for difference in differences(self._tree, self._catalog, folder):
            if difference.version is None:
                scanned.gone += 1
                continue
            scanned.added += difference.image_id not in self._changes and not difference.denied
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
