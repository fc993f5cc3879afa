"""The perceptual hash: 64 bits of which pictures that look alike share nearly all."""

import functools
from operator import mul

import pyvips

from imgserve.pipeline import color
from imgserve.pipeline.waves import across_rows, cosines
from imgserve.transform.value import Color

_HASH_SIDE = 32
_WAVES = 9
"""Waves on either side of which the 64 longest are taken: the coarse shapes, which survive new sizes and formats."""

_BITS = 64
_BLACK: Color = (0, 0, 0, 255)

_LEAST_CONTRAST = 1.0
"""Steps of 255 that the strongest wave has: below it the bits would be noise, and all plain pictures alike."""


def perceptual_hash(small: pyvips.Image) -> int | None:
    """Hash a small picture; None for one of a single color, which looks like every other.

    The signs of the 64 longest waves of its gray values (a discrete cosine transform) against their median. Measured
    over photographs and drawings: half or a tenth of the size, JPEG at quality 20 change up to 2 bits, another
    brightness up to 8, a crop by 4 % of each side up to 10; different pictures differ by 22 and more. With the usual
    square of 8 x 8 waves a crop by 6 % of one side changes 14 instead of 12, and with differences of neighbors (dHash)
    different pictures begin at 13.
    """
    # Clear ground is white, as it is where a picture with it is made a JPEG; what is white on it shows on black.
    waves = _waves(color.flatten(small, color.WHITE)) or _waves(color.flatten(small, _BLACK))
    if not waves:
        return None
    ordered = sorted(waves)
    median = (ordered[_BITS // 2 - 1] + ordered[_BITS // 2]) / 2
    return sum(1 << (_BITS - 1 - at) for at, wave in enumerate(waves) if wave > median)


def _waves(opaque: pyvips.Image) -> list[float]:
    """Transform a picture; nothing where it has no contrast."""
    gray = opaque.colourspace("b-w").cast("float")
    gray = gray.resize(_HASH_SIDE / gray.width, vscale=_HASH_SIDE / gray.height, kernel="linear")
    values = memoryview(bytes(gray.cast("float").write_to_memory())).cast("f")
    rows = [values[at : at + _HASH_SIDE] for at in range(0, _HASH_SIDE * _HASH_SIDE, _HASH_SIDE)]
    across, tables = across_rows(rows, _WAVES), cosines(_WAVES, _HASH_SIDE)
    waves = [sum(map(mul, across[x], tables[y])) * (2 / _HASH_SIDE) ** 2 for x, y in _longest()]
    return waves if max(map(abs, waves)) >= _LEAST_CONTRAST else []


@functools.cache
def _longest() -> list[tuple[int, int]]:
    """List the waves, without the constant: brightness says nothing of shapes."""
    waves = [(x, y) for x in range(_WAVES) for y in range(_WAVES) if x or y]
    return sorted(waves, key=lambda wave: (wave[0] ** 2 + wave[1] ** 2, wave))[:_BITS]
