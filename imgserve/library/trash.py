"""The trash: the file operations of deleting and restoring, and the record that accompanies a deleted original."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from anyio import to_thread

from imgserve.catalog import Images
from imgserve.errors import ImageNotFound
from imgserve.library.inspect import Inspector
from imgserve.library.results import Deleted, Rules
from imgserve.model import FocalPoint, ImageRecord, Origin
from imgserve.originals.trash import Trashed
from imgserve.originals.writable import WritableOriginals

_RECORD = "record"


def write_sidecar(record: ImageRecord | None) -> dict[str, object]:
    """Return a record as JSON; an original may have none."""
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
    """Return the record of a sidecar; None if there is none, or one that this release does not understand."""
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


@dataclass(frozen=True, slots=True)
class Trash:
    """Deleted originals. The caller holds the lock of an id that is deleted or restored."""

    originals: WritableOriginals
    images: Images
    inspector: Inspector
    rules: Rules

    async def discard(self, image_id: str, record: ImageRecord | None) -> Deleted | None:
        """Move a file to the trash, or delete it if there is no trash; None if there is neither file nor record."""
        try:
            if not self.rules.trash_seconds:
                await to_thread.run_sync(self.originals.remove, image_id)
                return Deleted(image_id)
            until = self.rules.until(self.rules.clock())
            item = await to_thread.run_sync(self.originals.discard, image_id, write_sidecar(record))
        except ImageNotFound:
            await self.inspector.check_readable()
            return Deleted(image_id) if record else None
        return Deleted(image_id, item, until)

    async def put_back(self, found: Trashed) -> None:
        """Put back the record, then the file: a process that dies in between leaves everything in the trash."""
        record = read_sidecar(found.sidecar)
        if record is not None:
            await self.images.merge_many({found.image_id: lambda _: record})
        try:
            await to_thread.run_sync(self.originals.trash.restore, found.item)
        except BaseException:
            if record is not None and not await self.inspector.exists(found.image_id):
                await self.images.delete([found.image_id])
            raise
