"""Delete originals to the trash, restore them and empty the trash."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from anyio import to_thread

from imgserve.catalog import Merge, Notice, Selection
from imgserve.errors import (
    ImageExists,
    ImageNotFound,
    OriginalChanged,
    ReadOnlyOriginals,
    TrashItemNotFound,
    UnreadableImage,
)
from imgserve.images.batches import batches
from imgserve.library.inspect import Asked, Looking
from imgserve.library.means import Means
from imgserve.library.record import Committing
from imgserve.library.results import Deleted, Recording, TrashItem
from imgserve.library.scan import RecordingFile
from imgserve.model import FocalPoint, ImageRecord, Origin
from imgserve.originals.base import Trashed

_RECORD = "record"


def write_sidecar(record: ImageRecord | None) -> dict[str, object]:
    """Write a record as JSON; an original may have none."""
    if record is None:
        return {}
    values: dict[str, Any] = {field.name: getattr(record, field.name) for field in fields(record)}
    point = record.focal_point
    values |= {
        "created": record.created.isoformat(),
        "changed": record.changed.isoformat(),
        "origin": record.origin.value,
        "thumbhash": base64.b64encode(record.thumbhash).decode(),
        "tags": list(record.tags),
        "metadata": dict(record.metadata),
        "focal_point": None if point is None else [point.x, point.y],
    }
    return {_RECORD: values}


def read_sidecar(sidecar: Mapping[str, object]) -> ImageRecord | None:
    """Read a record; None where there is none, or one that this release does not understand."""
    values = sidecar.get(_RECORD)
    if not isinstance(values, dict):
        return None
    known = {field.name for field in fields(ImageRecord)}
    try:
        return ImageRecord(**{name: _value(name, value) for name, value in values.items() if name in known})
    except (TypeError, ValueError, AttributeError, binascii.Error):
        return None


def _value(name: str, value: Any) -> Any:
    match name:
        case "created" | "changed":
            return datetime.fromisoformat(value)
        case "origin":
            return Origin(value)
        case "thumbhash":
            return base64.b64decode(value)
        case "tags":
            return tuple(value)
        case "focal_point":
            return None if value is None else FocalPoint(*value)
        case _:
            return value


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
        """Delete one; see `IngestService.delete`."""
        deleted = await self._delete([image_id])
        if not deleted:
            raise ImageNotFound
        return deleted[0]

    async def delete_many(self, selection: Selection) -> list[Deleted]:
        """Delete many; see `IngestService.delete_many`."""
        deleted, refused = list[Deleted](), list[ReadOnlyOriginals]()
        async for ids in batches(selection, self._means.catalog.search):
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
        """Bring one back; see `IngestService.restore`."""
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
        telling.recheck([image_id])
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
