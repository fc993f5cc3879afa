"""Desert dunes in the last sun: warm, soft, with fine ripples that resampling must not turn into moiré."""

import math

import pyvips

from benchmarks.samples.paint import (
    below,
    clip,
    enlarged,
    fractal,
    glow,
    gradient,
    grain,
    grid,
    mix,
    smooth,
    stretched,
)

_SKY = ((0.00, (70, 112, 168)), (0.30, (140, 164, 190)), (0.48, (236, 204, 168)), (1.00, (250, 212, 160)))
_DUNES = (
    # where the peak is, its height from the top, its reach left and right, the bend of its spine, its distance
    (0.74, 0.290, 0.30, 0.42, 0.5, 0.92),
    (0.18, 0.300, 0.34, 0.36, -0.4, 0.80),
    (0.52, 0.318, 0.44, 0.40, 0.9, 0.62),
    (0.93, 0.345, 0.50, 0.40, -1.1, 0.44),
    (0.30, 0.325, 0.52, 0.66, 1.15, 0.20),
    (1.02, 0.520, 0.80, 0.30, -1.6, 0.0),
)


def dunes(width: int, height: int) -> pyvips.Image:
    """Paint the dunes."""
    size = (width, height)
    scene = enlarged(size, 2, _sky)
    for index, dune in enumerate(_DUNES):
        scene = _dune(scene, dune, index)
    return grain(clip(scene, 0, 255), 2.2, 11)


def _sky(size: tuple[int, int]) -> pyvips.Image:
    sky = gradient(size, _SKY) + glow(size, (1.02, 0.26), 0.3) * [50, 26, -10]
    veil = stretched(size, 6, 0.10, 411, octaves=6)
    return clip(mix(sky, (255, 232, 206), smooth(veil, 0.05, 0.7) * 0.5), 0, 255)


def _dune(scene: pyvips.Image, dune: tuple[float, float, float, float, float, float], index: int) -> pyvips.Image:
    """Lay one dune: a sharp spine that winds down from its peak parts sun from shade."""
    peak, top, left, right, bend, far = dune
    size = (scene.width, scene.height)
    line = [_profile(column / size[0] - peak, left, right) * 0.20 + top for column in range(size[0])]
    mask, _ = below(line, size)
    x, y = grid(size)
    down = y - top
    spine = _wave(down * 11 + index) * smooth(down, 0, 0.08) * (0.03 * abs(bend)) + down * bend * 0.8
    side = x - peak - spine + fractal(size, 0.04, 700 + index, octaves=4) * 0.003
    sun = smooth(side, -0.004, 0.006)
    swell = fractal(size, 0.20, 720 + index, octaves=4, gain=0.4)
    ripples = _wave((down * 3 + x * 0.9 + swell * 0.06) * (520 - 240 * (1 - far))) * ((1 - far) * 5.5 + 0.4)
    lit = (
        pyvips.Image.black(*size)
        + [238, 158, 88]
        + (swell * 26 + ripples) * [1, 0.8, 0.6]
        - smooth(side, 0, 0.7) * [44, 52, 40]
    )
    shade = (
        pyvips.Image.black(*size)
        + [122, 62, 52]
        + (swell * 12 + ripples * 0.5) * [1, 0.8, 0.8]
        + smooth(side * -1, 0, 0.5) * [34, 20, 18]
    )
    face = mix(shade, lit, sun)
    return mix(scene, mix(face, (244, 200, 158), far * 0.62), mask)


def _profile(offset: float, left: float, right: float) -> float:
    """Fall away from the peak: steep at first, then long."""
    reach = left if offset < 0 else right
    return 1 - math.exp(-((abs(offset) / reach) ** 1.15) * 1.6)


def _wave(angle: pyvips.Image) -> pyvips.Image:
    """Return the sine of radians; libvips counts in degrees."""
    return (angle * (180 / math.pi)).sin()
