"""What the colors of an original are measured in, in a short word."""

import struct

import pyvips

from imgserve.pipeline.color import is_srgb_already

_GRAY, _DIRECT = {"b-w", "grey16"}, {"srgb", "rgb", "rgb16"}
_OTHERS = {"cmyk": "cmyk", "lab": "lab", "labs": "lab", "labq": "lab", "xyz": "xyz", "scrgb": "linear-srgb"}

_PROFILES = (
    ("display p3", "display-p3"),
    ("p3-d65", "display-p3"),
    ("dci-p3", "dci-p3"),
    ("adobe rgb", "adobe-rgb"),
    ("adobergb", "adobe-rgb"),
    ("compatible with adobe", "adobe-rgb"),
    ("prophoto", "prophoto-rgb"),
    ("romm", "prophoto-rgb"),
    ("2020", "rec2020"),
    ("2100", "rec2100"),
    ("srgb", "srgb"),
)
"""Parts of their names, the more exact ones first."""

_MOST_TAGS = 100
_NAME_BYTES = 512


def color_space(image: pyvips.Image) -> str:
    """Name the color space of an opened original: by its profile where it has one, else by its pixels.

    `rgb` is a profile of no known name, `other` what has neither.
    """
    if image.interpretation in _GRAY:
        return "gray"
    if image.interpretation not in _DIRECT:
        return _OTHERS.get(image.interpretation, "other")
    if not image.get_typeof("icc-profile-data"):
        return "srgb"
    name = profile_name(image.get("icc-profile-data")).lower()
    known = next((word for part, word in _PROFILES if part in name), "")
    return known or ("srgb" if is_srgb_already(image) else "rgb")


def profile_name(profile: bytes) -> str:
    """Read the description of an ICC profile (ICC.1:2010, 7.3 and 9.2.41; version 2 writes it in another way)."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for at in range(132, 132 + 12 * min(count, _MOST_TAGS), 12):
            sign, offset, size = struct.unpack_from(">4sII", profile, at)
            if sign == b"desc":
                return _text(profile[offset : offset + min(size, _NAME_BYTES)])
    except struct.error:
        pass  # a damaged profile has no name; whoever converts by it says so
    return ""


def _text(tag: bytes) -> str:
    if tag[:4] == b"mluc":
        length, offset = struct.unpack_from(">II", tag, 20)
        return tag[offset : offset + length].decode("utf-16-be", "ignore")
    (length,) = struct.unpack_from(">I", tag, 8)
    return tag[12 : 12 + length].partition(b"\0")[0].decode("latin-1")
