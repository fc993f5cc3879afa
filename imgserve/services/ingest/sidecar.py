"""How a record is written beside a deleted original, and read again: all of it, so that nothing is lost by undoing."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from imgserve.model import FocalPoint, ImageRecord, Origin

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
