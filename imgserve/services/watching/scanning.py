"""Looks through the originals for what the catalog does not say of them. When to, is not decided here."""

import logging
from dataclasses import dataclass

import anyio
from anyio import to_thread

from imgserve.originals.tree import OriginalsTree
from imgserve.services.watching.compare import differences
from imgserve.services.watching.needs import Known
from imgserve.services.watching.pending import Pending
from imgserve.services.watching.vanishing import Vanishing

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Scanned:
    """What a scan met."""

    added: int = 0
    """Files that were to be recorded and not pending already."""
    gone: int = 0
    """Ids that are known without a file; they are left to `Vanishing`, which looks closer."""
    waited: float = 0.0
    """Seconds in which there was too much to do already."""
    last: int = 0
    """The number of the last file that was handed on."""


class Scanner:
    """Compares folders with the catalog, and hands on what differs."""

    def __init__(self, pending: Pending, vanishing: Vanishing, tree: OriginalsTree, known: Known) -> None:
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
