"""A mountain lake at dusk: the photograph-sized landscape among the samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyvips

from benchmarks.samples.outlines import cut, stand
from benchmarks.samples.paint import (
    Color,
    below,
    clip,
    enlarged,
    fractal,
    glow,
    gradient,
    grain,
    grid,
    mix,
    relief,
    smooth,
    stretched,
)
from benchmarks.samples.ridges import Crest, Forest, raised

_SHORE = 0.425
"""Where the water begins, in widths from the top."""
_SUN = (0.594, 0.283)
_SKY = (
    (0.00, (30, 40, 84)),
    (0.20, (66, 72, 128)),
    (0.40, (140, 110, 152)),
    (0.58, (226, 146, 128)),
    (0.74, (250, 190, 124)),
    (0.86, (255, 222, 160)),
    (1.00, (255, 232, 184)),
)
_HAZE = (226, 164, 150)


@dataclass(frozen=True, slots=True)
class Range:
    """What one mountain range is made of."""

    rock: Color
    snow: float
    """How far below the crest it lies, in widths."""
    haze: float
    seed: int


def mountains(width: int, height: int) -> pyvips.Image:
    """Paint the lake."""
    land = _land((width, int(_SHORE * width)))
    shore = grain(land, 0, 1).copy_memory()
    water = _water(shore, (width, height - shore.height))
    scene = shore.cast("float").join(water, "vertical")
    return grain(_bank(scene), 2.6, 5)


def _land(size: tuple[int, int]) -> pyvips.Image:
    """Paint sky and ranges, from far to near."""
    width = size[0]
    scene = enlarged(size, 3, _sky)
    massif = raised(Crest(0.392, 0.14, 3.4, seed=21, gain=0.46).line(width), 0.33, 0.26, 0.13)
    scene = _lay(scene, massif, _alpine(size, massif, Range(rock=(78, 72, 116), snow=0.085, haze=0.14, seed=100)))
    second = raised(Crest(0.412, 0.07, 4.2, seed=47).line(width), 0.93, 0.24, 0.085)
    scene = _lay(scene, second, _alpine(size, second, Range(rock=(52, 52, 92), snow=0.016, haze=0.02, seed=200)))
    hills = Forest(0, 1, 5000, 0.006, seed=6).over(Crest(0.419, 0.06, 3.1, seed=8, sharp=0.3, gain=0.42).line(width))
    scene = _lay(scene, hills, _wooded(size, (44, 46, 78), haze=-0.06, seed=300))
    woods = Crest(0.424, 0.016, 2.6, seed=12, sharp=0, gain=0.3).line(width)
    trees = Forest(0, 1, 2400, 0.014, seed=4).over(woods)
    return _lay(scene, trees, _wooded(size, (24, 30, 48), haze=-0.3, seed=400))


def _sky(size: tuple[int, int]) -> pyvips.Image:
    """Paint the evening sky, its sun and its clouds."""
    _, y = grid(size)
    sky = gradient(size, _SKY)
    sky = sky + glow(size, _SUN, 0.17) * [70, 46, 6] + glow(size, _SUN, 0.035) * [90, 80, 60]
    veil = stretched(size, 4, 0.075, 71, octaves=7) + stretched(size, 2, 0.016, 77, octaves=4) * 0.12
    cover = smooth(veil - (y - 0.17).abs() * 1.5, -0.12, 0.34)
    lit = gradient(size, ((0, (104, 84, 134)), (0.3, (196, 112, 132)), (0.6, (255, 168, 112)), (1, (255, 226, 160))))
    lit = lit + smooth(veil, 0.0, 0.5) * [-58, -52, -30]
    sky = mix(sky, lit, cover * 0.85)
    disc = smooth(glow(size, _SUN, 0.0125, power=8), 0.3, 0.7)
    return clip(mix(sky, (255, 250, 226), disc), 0, 255)


def _lay(scene: pyvips.Image, line: Sequence[float], face: pyvips.Image) -> pyvips.Image:
    """Lay a range over what is behind it."""
    mask, _ = below(line, (scene.width, scene.height))
    return clip(mix(scene, face, mask), 0, 255)


def _alpine(size: tuple[int, int], line: Sequence[float], kind: Range) -> pyvips.Image:
    """Paint rock and snow, lit from the right."""
    _, depth = below(line, size)
    light = enlarged(size, 2, lambda small: relief(_rock(small, kind.seed), 3900, (1, -0.3)))
    face = pyvips.Image.black(*size) + list(kind.rock) + light * [0.75, 0.55, 0.45]
    patches = fractal(size, 0.02, kind.seed + 50, octaves=6) * 0.06
    cover = smooth(depth * -1 + patches + light * 0.0008, -kind.snow, -kind.snow * 0.5)
    white = clip(light * [1.3, 0.95, 0.7] + [206, 172, 180], 40, 255)
    return _hazy(mix(face, white, cover), kind.haze)


def _wooded(size: tuple[int, int], leaf: Color, *, haze: float, seed: int) -> pyvips.Image:
    """Paint forest seen from afar."""
    crowns = fractal(size, 0.004, seed, octaves=3) * 10 + fractal(size, 0.08, seed + 10, octaves=3) * 8
    return _hazy(pyvips.Image.black(*size) + list(leaf) + crowns * [0.9, 0.9, 0.8], haze)


def _hazy(face: pyvips.Image, haze: float) -> pyvips.Image:
    """Veil what lies far off, most in the valleys and around the sun."""
    size = (face.width, face.height)
    _, y = grid(size)
    mist = smooth(y, _SHORE - 0.10, _SHORE + 0.03) * 0.46 + haze
    shine = glow(size, _SUN, 0.13) * (0.25 + max(0.0, haze))
    return mix(face, _HAZE, clip(mist + shine))


def _rock(size: tuple[int, int], seed: int) -> pyvips.Image:
    """Shape a mountain side: spurs that run downhill, bent so that none is smooth."""
    width, height = size
    tall = fractal((width, height // 2 + 2), 0.06, seed, octaves=7, gain=0.43, ridged=True)
    spurs = tall.resize(1, vscale=2, kernel="linear").crop(0, 0, width, height).copy_memory()
    bend = fractal(size, 0.022, seed + 30, octaves=5, gain=0.55) * (0.016 * width)
    lean = fractal(size, 0.03, seed + 40, octaves=5, gain=0.55) * (0.016 * width)
    places = pyvips.Image.xyz(width, height)
    return spurs.mapim((places[0] + bend).bandjoin(places[1] + lean), extend="mirror")


def _water(shore: pyvips.Image, size: tuple[int, int]) -> pyvips.Image:
    """Mirror the land in water that a light wind moves."""
    width, height = size
    places = pyvips.Image.xyz(width, height)
    x, y = places[0], places[1]
    near = y / height
    waves = stretched(size, 9, 0.006, 31, octaves=3) * 0.6 + stretched(size, 7, 0.02, 37, octaves=4)
    sway = waves * (near * 0.02 + 0.0012) * width
    row = clip(y * -(shore.height / height * 0.82) + (shore.height - 3) + sway * 1.4, 1, shore.height - 3)
    mirrored = shore.mapim(
        clip(x + sway * 0.35, 0, width - 2).bandjoin(row), interpolate=pyvips.Interpolate.new("bilinear")
    )
    shade = mirrored.cast("float") * [0.84, 0.80, 0.82]
    shade = mix(shade, (34, 32, 66), near * 0.42)
    sparkle = smooth(waves, 0.34, 0.62) * glow(size, (_SUN[0], -0.02), 0.11, power=1.6)
    return clip(shade + sparkle * [95, 70, 42], 0, 255)


def _bank(scene: pyvips.Image) -> pyvips.Image:
    """Frame the view with the dark bank on which the photographer stands."""
    size = (scene.width, scene.height)
    ground = raised(Crest(0.705, 0.05, 2.2, seed=3, sharp=0.1, gain=0.45).line(size[0]), 0.02, 0.34, 0.10)
    soil, _ = below(ground, size)
    trees = [
        *stand(ground, (-0.02, 0.20), trees=16, tall=0.30, seed=9),
        *stand(ground, (0.93, 1.02), trees=6, tall=0.17, seed=15),
    ]
    shape = cut(trees, size, size[0])
    mask = (shape > soil).ifthenelse(shape, soil)
    texture = fractal(size, 0.01, 500, octaves=5)
    face = pyvips.Image.black(*size) + [11, 14, 22] + clip(texture * 9 + 6, 0, 24) * [0.8, 0.9, 1.0]
    return mix(scene, face, mask)
