"""Convert colors to 8-bit sRGB, and name the color space of an original."""

import functools
import struct
from collections.abc import Callable

import pyvips

from imgserve.pipeline.colorimetry import light_of, primaries_to_xyz, profile_of
from imgserve.pipeline.declared import PRIMARIES, TRANSFER
from imgserve.pipeline.fields import with_fields, without
from imgserve.transform.value import Color, Transform

_DIRECT = {"srgb", "b-w", "rgb"}
_WIDE = {"rgb16", "grey16"}
LUMA = (0.2126, 0.7152, 0.0722)
"""Rec. 709."""
WHITE: Color = (255, 255, 255, 255)
_MAX_PROFILE = 4096
"""Bytes; sRGB profiles have 400 to 3,200."""
_STEPS = 9


def to_output(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Return an image in 8-bit sRGB or gray: by the embedded profile with relative intent, CMYK by a standard one.

    PQ and HLG are tone-mapped.
    """
    if transform.profile != "strip" and image.get_typeof(TRANSFER):
        return _tone_mapped(image)
    if transform.profile == "origin" and image.get_typeof("icc-profile-data") and image.interpretation != "cmyk":
        return _eight_bits(image)
    if transform.profile == "strip" and image.interpretation in _DIRECT | _WIDE:
        return _eight_bits(without(image, "icc-profile-data"))
    if image.interpretation == "cmyk" or (image.get_typeof("icc-profile-data") and not has_srgb_profile(image)):
        fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
        try:
            image = _converted(image, fallback)
        except pyvips.Error:
            # A damaged profile, or one for another number of channels: the values are taken for sRGB, as in browsers.
            image = image if image.interpretation in _DIRECT | _WIDE else image.colourspace("srgb")
    return _eight_bits(without(image, "icc-profile-data"))


_KNEE = 0.75
"""Linear light up to which nothing changes; reference white, 1.0, becomes 0.875, which is 240 of 255."""


def _tone_mapped(image: pyvips.Image) -> pyvips.Image:
    """Return PQ or HLG in sRGB: light above a knee is compressed, and hues are kept."""
    transfer, matrix = image.get(TRANSFER), primaries_to_xyz(image.get(PRIMARIES))
    image = without(image, TRANSFER, PRIMARIES, "icc-profile-data")
    deep = image.format == "ushort"
    if image.bands < 3:  # noqa: PLR2004  gray
        image = image.colourspace("rgb16" if deep else "srgb")
    light = light_of(image[:3], transfer, matrix[1])
    red, green, blue = light.bandsplit()
    brightest = red.bandrank([green, blue], index=2)
    above = (brightest - _KNEE) / (1 - _KNEE)
    compressed = (above / (above + 1) * (1 - _KNEE) + _KNEE) / brightest
    light = light * (brightest > _KNEE).ifthenelse(compressed, 1)
    xyz = light.recomb([[100 * part for part in row] for row in matrix]).copy(interpretation="xyz")
    shown = xyz.colourspace("scrgb").colourspace("srgb")
    return shown.bandjoin((image[3] / (257 if deep else 1)).cast("uchar")) if image.hasalpha() else shown


def has_srgb_profile(image: pyvips.Image) -> bool:
    """Return whether the embedded profile is equal to sRGB, as most are: converting costs more than resizing."""
    if image.interpretation != "srgb" or image.format != "uchar":
        return False
    profile: bytes = image.get("icc-profile-data")
    return len(profile) <= _MAX_PROFILE and _changes_nothing(profile)


@functools.lru_cache(maxsize=64)
def _changes_nothing(profile: bytes) -> bool:
    """Return whether a profile changes none of many colors from the whole cube."""
    at, blue = pyvips.Image.xyz(_STEPS * _STEPS, _STEPS).bandsplit()
    step = 255 / (_STEPS - 1)
    cube = ((at % _STEPS) * step).bandjoin([(at / _STEPS).floor() * step, blue * step])
    cube = cube.cast("uchar").copy(interpretation="srgb").copy_memory()
    try:
        converted = _converted(with_fields(cube, {"icc-profile-data": profile}), "srgb").copy_memory()
    except pyvips.Error:
        return False
    # Rounding may change a color that is the same by a step.
    return bool((converted.cast("short") - cube.cast("short")).abs().max() <= 1)


def _converted(image: pyvips.Image, fallback: str) -> pyvips.Image:
    return image.icc_transform(
        "srgb", embedded=True, input_profile=fallback, intent="relative", black_point_compensation=True, depth=8
    )


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    if image.interpretation not in {"srgb", "b-w"}:
        image = image.colourspace("b-w" if image.interpretation == "grey16" else "srgb")
    return image if image.format == "uchar" else image.cast("uchar")


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    """Return an image with an alpha band, opaque if it had none."""
    return image if image.hasalpha() else image.bandjoin(255)


def weighted(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """Return a change that mixes pixels, with colors weighted by alpha."""
    if not image.hasalpha():
        return change(image)
    # Floats between the steps: with integers, alpha is limited where the kernel overshoots, and colors are not.
    changed = change(image.premultiply()).unpremultiply()
    return (changed.rint() if image.format in {"uchar", "ushort"} else changed).cast(image.format)


def ink(image: pyvips.Image, color: Color) -> list[float]:
    """Return a color in the bands of an image: gray by Rec. 709 luma."""
    red, green, blue, alpha = color
    bands = image.bands - (1 if image.hasalpha() else 0)
    paint: list[float] = (
        [red, green, blue] if bands > 1 else [sum(weight * part for weight, part in zip(LUMA, color, strict=False))]
    )
    return [*paint, alpha] if image.hasalpha() else paint


def colorful(image: pyvips.Image, color: Color) -> pyvips.Image:
    """Return an image in sRGB if it is gray and the color is not."""
    if image.interpretation == "b-w" and len(set(color[:3])) > 1:
        return image.colourspace("srgb")
    return image


def flatten(image: pyvips.Image, color: Color) -> pyvips.Image:
    """Return an image with alpha on a color; a translucent color is itself on white."""
    if not image.hasalpha():
        return image
    alpha = color[3] / 255
    solid: Color = (*(round(part * alpha + 255 * (1 - alpha)) for part in color[:3]), 255)  # type: ignore[assignment]  # three parts
    image = colorful(image, solid)
    return image.flatten(background=ink(image, solid)[:-1])


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
"""Red, green and blue as XYZ under D50, as profiles state them. The names of profiles are free text."""
_TOLERANCE = 0.004
"""Difference by rounding and by other methods of adaptation."""
_MAX_TAGS = 100


def color_space(image: pyvips.Image) -> str:
    """Return the name of an original's color space: by the primaries of its profile, else by its pixels.

    `rgb` stands for a profile of other primaries, `other` for an unknown space.
    """
    if image.interpretation in _GRAY:
        return "gray"
    if image.interpretation not in _RGB_SPACES:
        return _OTHERS.get(image.interpretation, "other")
    if not image.get_typeof("icc-profile-data"):
        return primaries(profile_of(image.get(PRIMARIES))) if image.get_typeof(TRANSFER) else "srgb"
    return primaries(image.get("icc-profile-data")) or ("srgb" if has_srgb_profile(image) else "rgb")


@functools.lru_cache(maxsize=64)
def primaries(profile: bytes) -> str:
    """Return the name of an ICC profile's primaries (ICC.1:2010, 7.3 and 10.31), or an empty text."""
    stated: dict[bytes, Colorants] = {}
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for at in range(132, 132 + 12 * min(count, _MAX_TAGS), 12):
            sign, offset, _ = struct.unpack_from(">4sII", profile, at)
            if sign in {b"rXYZ", b"gXYZ", b"bXYZ"}:
                stated[sign] = tuple(part / 65536 for part in struct.unpack_from(">3i", profile, offset + 8))
    except struct.error:
        return ""
    found = [part for sign in (b"rXYZ", b"gXYZ", b"bXYZ") for part in stated.get(sign, ())]
    if len(found) == len(_KNOWN["srgb"]):
        for name, known in _KNOWN.items():
            if all(abs(one - other) < _TOLERANCE for one, other in zip(found, known, strict=True)):
                return name
    return ""
