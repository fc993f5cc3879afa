"""How a record is written as a row and read from one. No queries here."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from imgserve.catalog.identity import image_id_of, stored_id
from imgserve.catalog.tables import images
from imgserve.catalog.words import stored_words
from imgserve.errors import BadRequest
from imgserve.model import FocalPoint, ImageRecord, Origin

_PLAIN = (
    "version", "format", "width", "height", "frames", "size", "alpha", "color_space", "dominant_color", "thumbhash",
    "title", "alt", "description", "who",
)  # fmt: skip
"""What is stored as it is."""

RECORD = [column for column in images.columns if column.name not in {"words", "tag_words", "pixels"}]
"""The columns that a record is read from."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNED = 1 << 63


def as_row(record: ImageRecord) -> dict[str, Any]:
    """Write a record as the values of its row.

    Raises:
        BadRequest: the image id cannot be stored.
    """
    stored = stored_id(record.image_id)
    if stored is None:
        raise BadRequest("This image id is too long or no file name; it cannot be recorded.")
    return {name: getattr(record, name) for name in _PLAIN} | {
        "id": stored,
        "sha256": bytes.fromhex(record.sha256),
        "pixels": record.width * record.height,
        "perceptual_hash": None if record.perceptual_hash is None else as_signed(record.perceptual_hash),
        "metadata": json.dumps(dict(record.metadata), sort_keys=True, allow_nan=False, separators=(",", ":")),
        "focal_x": record.focal_point.x if record.focal_point else None,
        "focal_y": record.focal_point.y if record.focal_point else None,
        "origin": record.origin.value,
        "created": microseconds(record.created),
        "changed": microseconds(record.changed),
        "words": stored_words((record.image_id, record.title, record.alt, record.description)),
        "tag_words": stored_words(record.tags),
    }


def as_record(row: Row[Any], tags: Iterable[str]) -> ImageRecord:
    """Read a record from its row and tags."""
    return ImageRecord(
        **{name: getattr(row, name) for name in _PLAIN},
        image_id=image_id_of(row.id),
        sha256=row.sha256.hex(),
        perceptual_hash=None if row.perceptual_hash is None else row.perceptual_hash % (2 * _SIGNED),
        metadata=json.loads(row.metadata),
        focal_point=None if row.focal_x is None else FocalPoint(row.focal_x, row.focal_y),
        origin=Origin(row.origin),
        created=moment(row.created),
        changed=moment(row.changed),
        tags=tuple(tags),
    )


def as_signed(number: int) -> int:
    """Write 64 bits as the signed integer that databases have for them."""
    return number - 2 * _SIGNED if number >= _SIGNED else number


def microseconds(moment: datetime) -> int:
    """Write a moment as microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(number: int) -> datetime:
    """Read a moment."""
    return _EPOCH + timedelta(microseconds=number)
