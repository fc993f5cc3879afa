"""The fields of an image in libvips: facts and metadata next to the pixels."""

from collections.abc import Mapping
from typing import Any

import pyvips

_KINDS = {
    bytes: pyvips.GValue.blob_type,
    float: pyvips.GValue.gdouble_type,
    int: pyvips.GValue.gint_type,
    str: pyvips.GValue.gstr_type,
}


def field(image: pyvips.Image, name: str, default: Any = None) -> Any:
    """Return a field of an image, or the default if it has none of this name."""
    return image.get(name) if image.get_typeof(name) else default


def with_fields(image: pyvips.Image, fields: Mapping[str, Any]) -> pyvips.Image:
    """Return an image with more fields; those without a value or without bytes are left out."""
    image = image.copy() if fields else image
    for name, value in fields.items():
        if isinstance(value, list):
            floats = any(isinstance(item, float) for item in value)
            image.set_type(pyvips.GValue.array_double_type if floats else pyvips.GValue.array_int_type, name, value)
        elif value is not None and value != b"":
            image.set_type(_KINDS[type(value)], name, value)
    return image


def without(image: pyvips.Image, *names: str) -> pyvips.Image:
    """Return an image without some fields."""
    found = [name for name in names if image.get_typeof(name)]
    image = image.copy() if found else image
    for name in found:
        image.remove(name)
    return image


def blocks_of(info: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the metadata that Pillow or pi-heif found in a file, by the names in libvips."""
    names = {"icc_profile": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}
    return {field: info.get(name) for name, field in names.items()}
