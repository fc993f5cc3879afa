"""The perceptual hash: 64 bits of which pictures that look alike share nearly all."""

import functools
import math
from operator import mul

import pyvips

from imgserve.pipeline import color

_SIDE = 32
_LOW = 8
"""Waves a side that are looked at: the coarse shapes, which survive new sizes, formats and small crops."""

_GRAY = (128, 128, 128, 255)
"""Behind transparency: what is drawn dark or light on clear ground differs from it either way."""

_LEAST_CONTRAST = 1.0
"""Steps of 255 that the strongest wave has: below it the bits would be noise, and all plain pictures alike."""


def perceptual_hash(small: pyvips.Image) -> int | None:
    """Hash a small picture; None for one of a single color, which looks like every other.

    The signs of 64 low waves of its gray values (a discrete cosine transform) against their median.
    """
    waves = _waves(small)
    strengths = sorted(waves)
    if max(-strengths[0], strengths[-1]) < _LEAST_CONTRAST:
        return None
    median = (strengths[31] + strengths[32]) / 2
    return sum(1 << (63 - at) for at, wave in enumerate(waves) if wave > median)


def _waves(small: pyvips.Image) -> list[float]:
    gray = color.flatten(small, _GRAY).colourspace("b-w").cast("float")
    pixels = (
        gray.resize(_SIDE / gray.width, vscale=_SIDE / gray.height, kernel="linear").cast("float").write_to_memory()
    )
    values = memoryview(pixels).cast("f")
    # The constant is left out on both sides: brightness says nothing of shapes.
    tables = _cosines()
    rows = [values[at : at + _SIDE] for at in range(0, _SIDE * _SIDE, _SIDE)]
    across = [[sum(map(mul, row, table)) for row in rows] for table in tables]
    return [sum(map(mul, column, table)) for table in tables for column in across]


@functools.cache
def _cosines() -> list[list[float]]:
    return [
        [math.cos(math.pi * wave * (at + 0.5) / _SIDE) * 2 / _SIDE for at in range(_SIDE)]
        for wave in range(1, _LOW + 1)
    ]
