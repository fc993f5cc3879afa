"""How alike two pictures are: structural similarity of their luma, by libvips operations."""

import pyvips

_SIGMA = 1.5
_RANGE = 255.0
_STABLE_MEAN = (0.01 * _RANGE) ** 2
_STABLE_VARIANCE = (0.03 * _RANGE) ** 2


class Likeness:
    """Compares pictures with one reference, whose statistics are computed once."""

    def __init__(self, reference: pyvips.Image) -> None:
        self._luma = luma(reference)
        self._mean = _smooth(self._luma)
        self._variance = (_smooth(self._luma * self._luma) - self._mean * self._mean).copy_memory()
        self._lab = _small_lab(reference)

    def ssim(self, picture: pyvips.Image) -> float:
        """Mean SSIM (Wang et al. 2004: Gaussian window of sigma 1.5, constants 0.01 and 0.03); 1 is the same."""
        other = luma(picture)
        mean = _smooth(other)
        variance = _smooth(other * other) - mean * mean
        covariance = _smooth(self._luma * other) - self._mean * mean
        likeness = (2 * self._mean * mean + _STABLE_MEAN) * (2 * covariance + _STABLE_VARIANCE)
        most = (self._mean * self._mean + mean * mean + _STABLE_MEAN) * (self._variance + variance + _STABLE_VARIANCE)
        return float((likeness / most).avg())

    def color_error(self, picture: pyvips.Image) -> float:
        """Mean CIEDE2000 distance, which sees the chroma that SSIM of luma does not."""
        return float(self._lab.dE00(_small_lab(picture)).avg())


def luma(image: pyvips.Image) -> pyvips.Image:
    """Weigh red, green and blue as JPEG does (ITU-R BT.601), as floating point."""
    flat = flattened(image)
    weighted = flat if flat.bands == 1 else flat.recomb(pyvips.Image.new_from_array([[0.299, 0.587, 0.114]]))
    return weighted.cast("float").copy_memory()


def flattened(image: pyvips.Image) -> pyvips.Image:
    """Lay transparency on white."""
    return image.flatten(background=[255]) if image.hasalpha() else image


def _small_lab(image: pyvips.Image) -> pyvips.Image:
    return flattened(image).colourspace("srgb").colourspace("lab").copy_memory()


def _smooth(image: pyvips.Image) -> pyvips.Image:
    return image.gaussblur(_SIGMA, min_ampl=0.01, precision="float").copy_memory()
