"""The trash: the file operations of deleting and restoring, and the record that accompanies a deleted original."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any

from anyio import to_thread

from imgserve.catalog import Images
from imgserve.errors import ImageNotFound
from imgserve.library.inspect import Inspector
from imgserve.model import Face, FocalPoint, ImageRecord, Origin
from imgserve.originals.trash import Trashed
from imgserve.records import Deleted

_RECORD = "record"
_CODECS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "created": (datetime.isoformat, datetime.fromisoformat),
    "changed": (datetime.isoformat, datetime.fromisoformat),
    "origin": (str, Origin),
    "thumbhash": (lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "tags": (list, tuple),
    "palette": (list, tuple),
    "metadata": (dict, dict),
    "faces": (lambda faces: [astuple(face) for face in faces], lambda value: tuple(Face(*face) for face in value)),
    "focal_point": (lambda point: point and [point.x, point.y], lambda value: value and FocalPoint(*value)),
}
"""How fields are written as JSON, and read; all others are JSON."""


def write_sidecar(record: ImageRecord | None) -> dict[str, object]:
    """Return a record as JSON; an original may have none."""
    if record is None:
        return {}
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {_RECORD: {name: _CODECS[name][0](value) if name in _CODECS else value for name, value in values.items()}}


def read_sidecar(sidecar: Mapping[str, object]) -> ImageRecord | None:
    """Return the record of a sidecar; None if there is none, or one that this release does not understand."""
    values = sidecar.get(_RECORD)
    if not isinstance(values, dict):
        return None
    known = {field.name for field in fields(ImageRecord)} & set(values)
    try:
        read = {name: _CODECS[name][1](values[name]) if name in _CODECS else values[name] for name in known}
        return ImageRecord(**read)
    except (TypeError, ValueError, AttributeError, binascii.Error):
        return None


@dataclass(frozen=True, slots=True)
class Trash:
    """Deleted originals. The caller holds the lock of an id that is deleted or restored."""

    images: Images
    inspector: Inspector

    async def discard(self, image_id: str, record: ImageRecord | None) -> Deleted | None:
        """Move a file to the trash, or delete it if there is no trash; None if there is neither file nor record."""
        originals, rules = self.inspector.originals, self.inspector.rules
        try:
            if not rules.trash_seconds:
                await to_thread.run_sync(originals.remove, image_id)
                return Deleted(image_id)
            until = rules.until(rules.clock())
            item = await to_thread.run_sync(originals.discard, image_id, write_sidecar(record))
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
            await to_thread.run_sync(self.inspector.originals.trash.restore, found.item)
        except BaseException:
            if record is not None and not await self.inspector.exists(found.image_id):
                await self.images.delete([found.image_id])
            raise
