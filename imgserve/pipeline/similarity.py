"""How alike an encoded picture looks to its pixels: structural similarity, by libvips operations."""

import pyvips

from imgserve.pipeline import color

_WINDOW = 8
"""Side of the squares in which pixels are compared. Measured: as a Gaussian window of sigma 1.5, in half the time."""
_SCALES = 2
"""The picture and half of it. Grain, which disappears in the half, counts only half as much as shapes."""
_STABLE_MEAN, _STABLE_VARIANCE = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_MAX_PIXELS = 250_000
_TILE, _TILES = 160, 3


class Likeness:
    """Compares pictures of one size with a reference."""

    def __init__(self, reference: pyvips.Image) -> None:
        self._scales = _halved(reference)

    def of(self, picture: pyvips.Image) -> float:
        """Return the mean structural similarity of the lightness (Wang et al. 2004); 1 is the same picture."""
        pairs = zip(self._scales, _halved(picture), strict=True)
        return sum(_ssim(one, other) for one, other in pairs) / len(self._scales)


def sample(image: pyvips.Image) -> pyvips.Image:
    """Return a picture that is quick to encode and compare: itself, or a mosaic of tiles all over it, in its size."""
    if image.width * image.height <= _MAX_PIXELS:
        return image
    width, height = (min(side, _TILE * _TILES) // _TILES for side in (image.width, image.height))
    lefts, tops = ([at * (side - tile) // (_TILES - 1) for at in range(_TILES)] for side, tile in (
        (image.width, width), (image.height, height)
    ))  # fmt: skip
    tiles = [image.crop(left, top, width, height) for top in tops for left in lefts]
    return pyvips.Image.arrayjoin(tiles, across=_TILES).copy_memory()


def _halved(image: pyvips.Image) -> list[pyvips.Image]:
    scales = [color.flatten(image, color.WHITE).colourspace("b-w").cast("float").copy_memory()]
    while len(scales) < _SCALES:
        scales.append(_mean(scales[-1], 2))
    return scales


def _mean(image: pyvips.Image, side: int) -> pyvips.Image:
    """Return the means of squares, or of all there is along a side that is shorter."""
    return image.shrink(min(side, image.width), min(side, image.height)).copy_memory()


def _ssim(one: pyvips.Image, other: pyvips.Image) -> float:
    mean, mean2 = _mean(one, _WINDOW), _mean(other, _WINDOW)
    variance = _mean(one * one, _WINDOW) - mean * mean
    variance2 = _mean(other * other, _WINDOW) - mean2 * mean2
    covariance = _mean(one * other, _WINDOW) - mean * mean2
    likeness = (2 * mean * mean2 + _STABLE_MEAN) * (2 * covariance + _STABLE_VARIANCE)
    most = (mean * mean + mean2 * mean2 + _STABLE_MEAN) * (variance + variance2 + _STABLE_VARIANCE)
    return float((likeness / most).avg())
