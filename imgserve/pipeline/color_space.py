"""What the colors of an original are measured in, in a short word."""

import functools
import struct

import pyvips

from imgserve.pipeline.color import is_srgb_already

_GRAY, _RGB_SPACES = {"b-w", "grey16"}, {"srgb", "rgb", "rgb16"}
_OTHERS = {"cmyk": "cmyk", "lab": "lab", "labs": "lab", "labq": "lab", "xyz": "xyz", "scrgb": "linear-srgb"}

Colorants = tuple[float, ...]

_KNOWN: dict[str, Colorants] = {
    "srgb": (0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7142),
    "display-p3": (0.5151, 0.2412, -0.0011, 0.2919, 0.6922, 0.0419, 0.1572, 0.0666, 0.7841),
    "adobe-rgb": (0.6097, 0.3111, 0.0195, 0.2053, 0.6257, 0.0609, 0.1492, 0.0632, 0.7446),
    "prophoto-rgb": (0.7977, 0.2880, 0.0000, 0.1352, 0.7119, 0.0000, 0.0313, 0.0001, 0.8249),
    "rec2020": (0.6735, 0.2790, -0.0019, 0.1657, 0.6753, 0.0300, 0.1251, 0.0456, 0.7970),
}
"""Red, green and blue as XYZ under D50, as profiles state them. Their names are free text, these are not."""

_ALIKE = 0.004
"""What rounding and other roads of adaptation make of the same primaries."""

_MOST_TAGS = 100


def color_space(image: pyvips.Image) -> str:
    """Name the color space of an opened original: by the primaries of its profile, else by its pixels.

    `rgb` is a profile of other primaries, `other` what is no color that imgserve knows.
    """
    if image.interpretation in _GRAY:
        return "gray"
    if image.interpretation not in _RGB_SPACES:
        return _OTHERS.get(image.interpretation, "other")
    if not image.get_typeof("icc-profile-data"):
        return "srgb"
    return primaries(image.get("icc-profile-data")) or ("srgb" if is_srgb_already(image) else "rgb")


@functools.lru_cache(maxsize=64)
def primaries(profile: bytes) -> str:
    """Name the primaries of an ICC profile (ICC.1:2010, 7.3 and 10.31); nothing where they are not known."""
    stated: dict[bytes, Colorants] = {}
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for at in range(132, 132 + 12 * min(count, _MOST_TAGS), 12):
            sign, offset, _ = struct.unpack_from(">4sII", profile, at)
            if sign in {b"rXYZ", b"gXYZ", b"bXYZ"}:
                stated[sign] = tuple(part / 65536 for part in struct.unpack_from(">3i", profile, offset + 8))
    except struct.error:
        return ""
    found = [part for sign in (b"rXYZ", b"gXYZ", b"bXYZ") for part in stated.get(sign, ())]
    for name, known in _KNOWN.items():
        if len(found) == len(known) and all(abs(one - other) < _ALIKE for one, other in zip(found, known, strict=True)):
            return name
    return ""
