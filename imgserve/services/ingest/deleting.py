"""Originals taken away: to the trash, with all that is recorded, or for good.

The file goes first. A process that is killed after that leaves a record without a file, which the next scan forgets.
"""

from collections.abc import Sequence

from anyio import to_thread

from imgserve.catalog import Selection
from imgserve.errors import ImageNotFound, ReadOnlyOriginals
from imgserve.model import ImageRecord
from imgserve.services.ingest.committing import Committing
from imgserve.services.ingest.looking import Looking
from imgserve.services.ingest.means import Means
from imgserve.services.ingest.results import Deleted
from imgserve.services.ingest.sidecar import write_sidecar
from imgserve.services.selected import pieces

_BATCH = 50
"""Originals whose records go in one transaction."""


class Deleting:
    """Deletes originals."""

    def __init__(self, means: Means, looking: Looking, committing: Committing) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking
        self._committing = committing

    async def delete(self, image_id: str) -> Deleted:
        """Delete one; see `Ingest.delete`."""
        deleted = await self._delete([image_id])
        if not deleted:
            raise ImageNotFound
        return deleted[0]

    async def delete_many(self, selection: Selection) -> list[Deleted]:
        """Delete many; see `Ingest.delete_many`."""
        deleted, refused = list[Deleted](), list[ReadOnlyOriginals]()
        async for ids in pieces(selection, self._means.catalog.search):
            for start in range(0, len(ids), _BATCH):
                deleted += await self._delete(ids[start : start + _BATCH], refused)
        if refused and not deleted:
            raise refused[0]
        return deleted

    async def _delete(self, ids: Sequence[str], refused: list[ReadOnlyOriginals] | None = None) -> list[Deleted]:
        """Delete some, and pass over those that are only read if these go into a list."""
        deleted = list[Deleted]()
        async with self._means.locks.hold(*ids):
            records = await self._means.catalog.images.get_many(ids)
            try:
                for image_id in ids:
                    try:
                        one = await self._take_away(image_id, records.get(image_id))
                    except ReadOnlyOriginals as error:
                        if refused is None:
                            raise
                        refused.append(error)
                    else:
                        deleted += [one] if one else []
            finally:
                # Also where one could not be deleted: those before it are.
                await self._committing.forget([one.image_id for one in deleted], certain=True)
        return deleted

    async def _take_away(self, image_id: str, record: ImageRecord | None) -> Deleted | None:
        """Take the file away; None where there is neither file nor record."""
        originals, rules = self._means.originals, self._means.rules
        try:
            if not rules.trash_seconds:
                await to_thread.run_sync(originals.remove, image_id)
                return Deleted(image_id)
            until = rules.until(rules.clock())
            item = await to_thread.run_sync(originals.discard, image_id, write_sidecar(record))
        except ImageNotFound:
            await self._looking.sure_that_it_is_gone()
            return Deleted(image_id) if record else None
        return Deleted(image_id, item, until)
