"""Northern lights over a cabin: 16 bits a channel, greens that only a wide gamut holds."""

import random

import pyvips

from benchmarks.samples.outlines import Outline, cut, stand
from benchmarks.samples.paint import Color, below, clip, fractal, glow, gradient, grid, mix, smooth
from benchmarks.samples.ridges import Crest, value_noise

_SKY = ((0.00, (5, 8, 26)), (0.45, (8, 20, 48)), (0.75, (14, 42, 66)), (1.00, (26, 70, 84)))
_CABIN = (0.735, 0.548)


def aurora(width: int, height: int) -> pyvips.Image:
    """Paint the night in Display P3, as 16 bit values with the profile attached."""
    size = (width, height)
    scene = _stars(gradient(size, _SKY))
    scene = scene + _curtain(size, seed=14, level=0.25, tall=0.22, rays=38) * 1.7
    scene = scene + _curtain(size, seed=9, level=0.44, tall=0.12, rays=90) * 0.8
    scene = _ground(clip(scene, 0, 255))
    deep = (clip(scene, 0, 255) * 257).round("rint").cast("ushort").copy(interpretation="rgb16")
    deep.set_type(pyvips.GValue.blob_type, "icc-profile-data", pyvips.Image.profile_load("p3"))
    return deep


def _stars(sky: pyvips.Image) -> pyvips.Image:
    """Sprinkle stars, few of them bright."""
    noise = pyvips.Image.gaussnoise(sky.width, sky.height, sigma=1, mean=0, seed=3)
    points = smooth(noise, 3.1, 4.6) * 900
    return sky + points.gaussblur(0.55 + sky.width / 6000) * [1.0, 1.0, 1.08]


def _curtain(size: tuple[int, int], *, seed: int, level: float, tall: float, rays: int) -> pyvips.Image:
    """Hang one curtain of light: a sharp lower hem, rays that fade upward from green to violet."""
    width, height = size
    rng = random.Random(seed)
    sway, fold, ray = value_noise(rng), value_noise(rng), value_noise(rng)
    columns = [column / width for column in range(width)]
    hem = [level + 0.20 * (sway(x * 2.3) - 0.5) + 0.035 * (fold(x * 9) - 0.5) for x in columns]
    bright = [(0.25 + 0.75 * ray(x * rays)) * (0.25 + 0.75 * sway(x * 4 + 40)) for x in columns]
    reach = [tall * (0.45 + 0.9 * fold(x * 14 + 70) * ray(x * rays + 9)) for x in columns]
    _, depth = below(hem, size)
    light, fade = (
        pyvips.Image.new_from_array([row]).cast("float").embed(0, 0, width, height, extend="copy")
        for row in (bright, reach)
    )
    up = clip(depth * -1, 0, 1) / fade
    shape = ((up * -1.9).exp() * smooth(depth, 0.016, -0.010) * light).gaussblur(max(0.5, 1.6 * width / 1500))
    violet = smooth(up, 0.15, 1.3)
    return shape * (violet * -1 + 1) * [10, 236, 120] + shape * violet * [230, 40, 235]


def _ground(scene: pyvips.Image) -> pyvips.Image:
    """Lay snow that the light tints, woods, and a cabin with someone at home."""
    size = (scene.width, scene.height)
    far = Crest(0.545, 0.13, 3.0, seed=33).line(size[0])
    mask, depth = below(far, size)
    snow = fractal(size, 0.05, 40, octaves=6, gain=0.55)
    scene = mix(
        scene, pyvips.Image.black(*size) + [12, 40, 52] + clip(snow * 26 - depth * 90, -10, 40) * [0.5, 1.2, 0.9], mask
    )
    near = Crest(0.585, 0.05, 1.7, seed=8, sharp=0, gain=0.3).line(size[0])
    trees = [
        *stand(near, (-0.02, 0.36), trees=34, tall=0.15, seed=6),
        *stand(near, (0.84, 1.02), trees=17, tall=0.17, seed=7),
        *stand(near, (0.4, 0.84), trees=24, tall=0.045, seed=2),
    ]
    scene = mix(scene, (3, 9, 14), cut(trees, size, size[0]))
    mask, depth = below(near, size)
    _, y = grid(size)
    field = pyvips.Image.black(*size) + [22, 66, 72] + snow * [8, 22, 18] - (y - 0.56) * 140 * [0.5, 1, 0.9]
    scene = mix(scene, clip(field, 4, 255), mask)
    lamp = glow(size, (_CABIN[0] - 0.006, _CABIN[1] + 0.026), 0.022, power=2)
    scene = scene + lamp * [120, 66, 14]
    for outlines, color in _cabin(*_CABIN):
        scene = mix(scene, color, cut(outlines, size, size[0]))
    return scene


def _cabin(x: float, y: float) -> list[tuple[list[Outline], Color]]:
    """Build walls, a snowy roof, a chimney, and lit windows."""
    walls = [(x - 0.034, y + 0.05), (x - 0.034, y + 0.012), (x + 0.034, y + 0.012), (x + 0.034, y + 0.05)]
    roof = [(x - 0.042, y + 0.016), (x - 0.022, y - 0.012), (x + 0.022, y - 0.012), (x + 0.042, y + 0.016)]
    chimney = [(x + 0.012, y - 0.024), (x + 0.020, y - 0.024), (x + 0.020, y), (x + 0.012, y)]
    panes: list[Outline] = [
        [(left, y + 0.022), (left + 0.013, y + 0.022), (left + 0.013, y + 0.036), (left, y + 0.036)]
        for left in (x - 0.022, x + 0.008)
    ]
    return [([walls, chimney], (10, 12, 16)), ([roof], (44, 104, 104)), (panes, (255, 190, 84))]
