"""The trash: what is in it, bringing originals back with all that was recorded, emptying it."""

from anyio import to_thread

from imgserve.catalog import Merge, Notice
from imgserve.errors import ImageExists, OriginalChanged, TrashItemNotFound, UnreadableImage
from imgserve.model import ImageRecord, Origin
from imgserve.originals.base import Trashed
from imgserve.services.ingest.looking import Asked, Looking
from imgserve.services.ingest.means import Means
from imgserve.services.ingest.recording import RecordingFile
from imgserve.services.ingest.results import Recording, TrashItem
from imgserve.services.ingest.sidecar import read_sidecar


class Restoring:
    """Looks after the trash."""

    def __init__(self, means: Means, looking: Looking, recording: RecordingFile) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking
        self._recording = recording

    async def trash(self) -> list[TrashItem]:
        """List the trash, oldest first."""
        found = await to_thread.run_sync(self._means.originals.trashed)
        return [
            TrashItem(one.item, one.image_id, one.deleted, self._means.rules.until(one.deleted), one.size)
            for one in found
        ]

    async def restore(self, item: str) -> ImageRecord:
        """Bring one back; see `Ingest.restore`."""
        found = await to_thread.run_sync(self._means.originals.trash_item, item)
        async with self._means.locks.hold(found.image_id):
            if await self._looking.is_there(found.image_id):
                raise ImageExists
            await self._put_back(found)
            recorded = await self._recording.record_held(Asked(found.image_id, Origin.WATCH, background=False))
            if recorded.outcome is Recording.UNCHANGED:
                await self._tell(found.image_id, recorded.record)
        if recorded.problem is not None:
            raise UnreadableImage(recorded.problem.detail)
        if recorded.record is None:
            raise OriginalChanged(retry_after=1)
        return recorded.record

    async def _tell(self, image_id: str, record: ImageRecord | None) -> None:
        """Have everybody know that an image is back that they know to be gone."""
        telling = self._means.telling
        telling.look_again([image_id])
        await telling.publish([Notice("changed", image_id)])
        await telling.purged([image_id])
        original = await to_thread.run_sync(self._means.originals.stat, image_id)
        await telling.recorded([original.focused(record.focal_point if record else None)])

    async def destroy(self, item: str) -> None:
        """Delete one for good."""
        await to_thread.run_sync(self._means.originals.destroy, item)

    async def empty(self, older_than: float) -> int:
        """Delete those for good that were deleted so many seconds ago; tell how many."""
        now, number = self._means.rules.clock(), 0
        for one in await to_thread.run_sync(self._means.originals.trashed):
            if (now - one.deleted).total_seconds() >= older_than:
                try:
                    await self.destroy(one.item)
                except TrashItemNotFound:
                    continue  # restored or destroyed by somebody else
                number += 1
        return number

    async def _put_back(self, found: Trashed) -> None:
        """Put back the record, then the file: whoever dies in between leaves all in the trash."""
        record, images = read_sidecar(found.sidecar), self._means.catalog.images
        if record is not None:
            await images.merge_many({found.image_id: _instead(record)})
        try:
            await to_thread.run_sync(self._means.originals.restore, found.item)
        except BaseException:
            if record is not None and not await self._looking.is_there(found.image_id):
                await images.delete(found.image_id)
            raise


def _instead(record: ImageRecord) -> Merge:
    return lambda _: record
