"""Tone and effects: changes of the pixels in place, at the final size."""

import math
from collections.abc import Callable, Sequence

import pyvips

from imgserve.pipeline import color
from imgserve.transform.parameters import EFFECTS
from imgserve.transform.value import Color, Transform

_PLAIN = Transform()
_SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
_GRAY, _STOP = 100, 50
_SOFT = pyvips.Image.new_from_list([[1, 2, 1], [2, 4, 2], [1, 2, 1]], scale=16)
_LARGE_SIGMA = 8.0
"""Standard deviation above which a blur is computed on a reduced picture."""
_EDGE_PERCENT = 0.5
"""Part of the darkest and of the brightest pixels that `auto=enhance` lets clip."""
_MOST_STRETCH = 1.6
Matrix = Sequence[Sequence[float]]


def are_wanted(transform: Transform) -> bool:
    """Return whether a transform changes pixels in place."""
    return "enhance" in transform.auto or any(getattr(transform, name) != getattr(_PLAIN, name) for name in EFFECTS)


def apply(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Return an 8-bit image in sRGB or gray after all effects; alpha changes only where pixels are mixed."""
    if not are_wanted(transform):
        return image
    image = image.copy_memory()  # read several times, and in another order than it is streamed
    image = _on_colors(image, lambda colors: _toned(colors, transform))
    scale = transform.dpr
    if transform.sharpen:
        image = _on_colors(image, lambda colors: _sharpened(colors, transform.sharpen / 50))
    if transform.pixelate:
        image = color.weighted(image, lambda flat: _pixelated(flat, max(2, round(transform.pixelate * scale))))
    if transform.blur:
        image = color.weighted(image, lambda flat: _blurred(flat, transform.blur / 10 * scale))
    return image


def _on_colors(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """Return a change of all bands except alpha."""
    if not image.hasalpha():
        return change(image)
    return change(image[: image.bands - 1]).bandjoin(image[image.bands - 1])


def _toned(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    if "enhance" in transform.auto:
        image = _enhanced(image)
    levels = [_level(value / 255, transform) for value in range(256)]
    if any(round(255 * level) != value for value, level in enumerate(levels)):
        image = image.maplut(_table([levels]))
    if image.bands > 1 and (matrix := _matrix(transform)) is not None:
        image = image.recomb([list(row) for row in matrix]).rint().cast("uchar")
    if image.bands > 1 and transform.vibrance:
        image = _vibrant(image, transform.vibrance / _GRAY)
    ends = transform.duotone or _mono_ends(transform.monochrome)
    if ends is not None:
        return _gradient(image, ends)
    if transform.grayscale and image.bands > 1:
        return image.recomb([list(color.LUMA)]).rint().cast("uchar").copy(interpretation="b-w")
    if transform.sepia:
        image = image.colourspace("srgb") if image.bands == 1 else image
        part = transform.sepia / _GRAY
        mixed = [[(1 - part) * (row == column) + part * _SEPIA[row][column] for column in range(3)] for row in range(3)]
        return image.recomb(mixed).rint().cast("uchar")
    return image


def _level(value: float, transform: Transform) -> float:
    """Return the new value of a channel, 0..1; every step is monotonic."""
    # Light is about the value to the power of 2.2.
    value = min(1.0, value * 2 ** (transform.exposure / _STOP / 2.2))
    brightness = transform.brightness / _GRAY
    value = value + (1 - value) * brightness if brightness > 0 else value * (1 + brightness)
    contrast = transform.contrast / _GRAY
    slope = 1 + contrast if contrast < 0 else 1 / (1 - 0.9 * contrast)
    value = min(1.0, max(0.0, (value - 0.5) * slope + 0.5))
    value += transform.highlights / _GRAY * value**3 * (1 - value)
    shadows = transform.shadows / _GRAY
    value += (2 * shadows if shadows > 0 else shadows) * value * (1 - value) ** 3
    value = value ** (2 ** (-transform.gamma / _STOP))
    return 1 - value if transform.invert else value


def _table(channels: Sequence[Sequence[float]]) -> pyvips.Image:
    """Return a lookup table with a band for each channel, whose values are 0..1."""
    rows = [round(255 * min(1.0, max(0.0, channel[value]))) for value in range(256) for channel in channels]
    return pyvips.Image.new_from_memory(bytes(rows), 256, 1, len(channels), "uchar")


def _matrix(transform: Transform) -> Matrix | None:
    """Return what saturation and hue make of red, green and blue, or None if nothing changes."""
    if not (transform.saturation or transform.hue):
        return None
    strength = 1 + transform.saturation / _GRAY
    cos, sin = math.cos(math.radians(transform.hue)), math.sin(math.radians(transform.hue))
    red, green, blue = color.LUMA
    # Filter Effects Module Level 1, section 9.4: hueRotate, with these weights.
    turned = (
        (red + cos * (1 - red) - sin * red, green - cos * green - sin * green, blue - cos * blue + sin * (1 - blue)),
        (red - cos * red + sin * 0.143, green + cos * (1 - green) + sin * 0.140, blue - cos * blue - sin * 0.283),
        (red - cos * red - sin * (1 - red), green - cos * green + sin * green, blue + cos * (1 - blue) + sin * blue),
    )
    return [
        [strength * turned[row][column] + (1 - strength) * color.LUMA[column] for column in range(3)]
        for row in range(3)
    ]


def _luma(image: pyvips.Image) -> pyvips.Image:
    return image if image.bands == 1 else image.recomb([list(color.LUMA)])


def _vibrant(image: pyvips.Image, amount: float) -> pyvips.Image:
    """Return an image whose pale colors are stronger, or weaker."""
    red, green, blue = image.bandsplit()
    strongest, weakest = red.bandrank([green, blue], index=2), red.bandrank([green, blue], index=0)
    strength = (strongest.cast("float") - weakest) * (-amount / 255) + (1 + amount)
    gray = _luma(image)
    return ((image - gray) * strength + gray).rint().cast("uchar").copy(interpretation="srgb")


def _mono_ends(paint: Color | None) -> tuple[Color, Color, Color] | None:
    return None if paint is None else ((0, 0, 0, 255), paint, (255, 255, 255, 255))


def _gradient(image: pyvips.Image, colors: Sequence[Color]) -> pyvips.Image:
    """Return an image whose brightness chooses among colors at equal distances."""
    steps = len(colors) - 1
    channels = []
    for channel in range(3):
        levels = []
        for value in range(256):
            at = value / 255 * steps
            index = min(int(at), steps - 1)
            low, high = colors[index][channel], colors[index + 1][channel]
            levels.append((low + (high - low) * (at - index)) / 255)
        channels.append(levels)
    return _luma(image).rint().cast("uchar").maplut(_table(channels)).copy(interpretation="srgb")


def _enhanced(image: pyvips.Image) -> pyvips.Image:
    """Return an image with its tones stretched to black and white, within bounds, and slightly stronger colors."""
    luma = _luma(image).cast("uchar")
    low, high = luma.percent(_EDGE_PERCENT), luma.percent(100 - _EDGE_PERCENT)
    slope = min(_MOST_STRETCH, 255 / max(1, high - low))
    middle = (low + high) / 2
    # Where the stretch is bounded, the middle stays between its place and the middle of all tones.
    target = 127.5 if slope < _MOST_STRETCH else (middle + 127.5) / 2
    levels = [((value - middle) * slope + target) / 255 for value in range(256)]
    image = image.maplut(_table([levels]))
    return _vibrant(image, 0.15) if image.bands > 1 else image


def _sharpened(image: pyvips.Image, amount: float) -> pyvips.Image:
    """Return an image plus its difference to a blur of one pixel."""
    # In two steps: libvips has no fast way for most of the masks that do both.
    blurred = image.conv(_SOFT, precision="integer")
    return (image * (1 + amount) - blurred * amount).rint().cast("uchar").copy(interpretation=image.interpretation)


def _pixelated(image: pyvips.Image, side: int) -> pyvips.Image:
    """Return the mean of each block."""
    across, down = math.ceil(image.width / side), math.ceil(image.height / side)
    # The last blocks would mix with nothing beyond the edge.
    whole = image.embed(0, 0, across * side, down * side, extend="copy")
    return whole.shrink(side, side).copy_memory().zoom(side, side).crop(0, 0, image.width, image.height)


def _blurred(image: pyvips.Image, sigma: float) -> pyvips.Image:
    if sigma <= _LARGE_SIGMA:
        return _gaussian(image, sigma)
    # A blur removes what the reduction loses.
    factor = 2 ** math.ceil(math.log2(sigma / _LARGE_SIGMA))
    across, down = max(1, image.width // factor), max(1, image.height // factor)
    small = image.resize(across / image.width, vscale=down / image.height, kernel="linear").copy_memory()
    blurred = _gaussian(small, sigma * across / image.width).copy_memory()
    grown = blurred.resize(image.width / across, vscale=image.height / down, kernel="linear")
    return grown.embed(0, 0, image.width, image.height, extend="copy")


def _gaussian(image: pyvips.Image, sigma: float) -> pyvips.Image:
    return image.gaussblur(sigma, min_ampl=0.05, precision="integer" if image.format == "uchar" else "float")
