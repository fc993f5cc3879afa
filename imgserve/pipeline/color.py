"""Colors brought to sRGB of 8 bits, so that a picture looks the same wherever it is shown."""

import pyvips

from imgserve.transform.value import Color, Transform

_DIRECT = {"srgb", "b-w", "rgb"}
_WIDE = {"rgb16", "grey16"}
WHITE: Color = (255, 255, 255, 255)


def to_output(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Convert to 8 bit sRGB or gray: through the embedded profile by relative intent, CMYK by a standard one."""
    if transform.profile == "origin" and image.get_typeof("icc-profile-data") and image.interpretation != "cmyk":
        return _eight_bits(image)
    if transform.profile == "strip" and image.interpretation in _DIRECT | _WIDE:
        return _eight_bits(_without_profile(image))
    if image.get_typeof("icc-profile-data") or image.interpretation == "cmyk":
        image = _through_profile(image)
    return _eight_bits(_without_profile(image))


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    gray = image.interpretation in {"b-w", "grey16"}
    fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
    try:
        return image.icc_transform(
            "srgb", embedded=True, input_profile=fallback, intent="relative", black_point_compensation=True, depth=8
        )
    except pyvips.Error:
        # A damaged profile, or one for another number of channels: the numbers are taken for sRGB, as browsers do.
        return image if gray or image.interpretation in _DIRECT | _WIDE else image.colourspace("srgb")


def _without_profile(image: pyvips.Image) -> pyvips.Image:
    if not image.get_typeof("icc-profile-data"):
        return image
    image = image.copy()
    image.remove("icc-profile-data")
    return image


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    if image.interpretation not in {"srgb", "b-w"}:
        image = image.colourspace("b-w" if image.interpretation == "grey16" else "srgb")
    return image if image.format == "uchar" else image.cast("uchar")


def with_alpha(image: pyvips.Image) -> pyvips.Image:
    """Give an image an opaque alpha band where it has none."""
    return image if image.hasalpha() else image.bandjoin(255)


def ink(image: pyvips.Image, color: Color) -> list[float]:
    """Write a color in the bands of an image: gray by Rec. 709 luma."""
    red, green, blue, alpha = color
    bands = image.bands - (1 if image.hasalpha() else 0)
    paint: list[float] = [red, green, blue] if bands > 1 else [0.2126 * red + 0.7152 * green + 0.0722 * blue]
    return [*paint, alpha] if image.hasalpha() else paint


def colorful(image: pyvips.Image, color: Color) -> pyvips.Image:
    """Turn a gray image to sRGB where a color is to stand beside it."""
    if image.interpretation == "b-w" and len(set(color[:3])) > 1:
        return image.colourspace("srgb")
    return image


def flatten(image: pyvips.Image, color: Color) -> pyvips.Image:
    """Lay an image with alpha on an opaque color; a translucent color lies on white itself."""
    if not image.hasalpha():
        return image
    alpha = color[3] / 255
    solid: Color = (*(round(part * alpha + 255 * (1 - alpha)) for part in color[:3]), 255)  # type: ignore[assignment]  # three parts
    image = colorful(image, solid)
    return image.flatten(background=ink(image, solid)[:-1])
