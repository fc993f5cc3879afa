"""Hot-air balloons over misty hills: the upright photograph among the samples, its subject off the center."""

import math
from dataclasses import dataclass, replace

import pyvips

from benchmarks.samples.outlines import Outline, cut
from benchmarks.samples.paint import (
    Color,
    below,
    clip,
    enlarged,
    fractal,
    glow,
    gradient,
    grain,
    mix,
    smooth,
    stretched,
)
from benchmarks.samples.ridges import Crest, Forest

FOCUS = (0.66, 0.34)
"""Where the large balloon is, in fractions of the upright picture."""
_SUN = (0.20, 0.98)
_HORIZON = 0.92
"""Above all hills."""
_SKY = (
    (0.00, (84, 132, 184)),
    (0.25, (134, 172, 204)),
    (0.45, (200, 206, 208)),
    (0.60, (248, 218, 184)),
    (0.72, (255, 206, 160)),
    (1.00, (255, 214, 176)),
)
_GORES = 22
_NOTHING = 1e-5
"""Half width of the envelope above its crown and below its mouth; not zero, since it divides."""
_CLOTH: tuple[Color, ...] = (
    (206, 44, 40),
    (240, 150, 32),
    (250, 214, 88),
    (246, 236, 214),
    (30, 122, 132),
    (22, 62, 104),
)


@dataclass(frozen=True, slots=True)
class Balloon:
    """One balloon: the top of its envelope, its radius, and how much air lies before it."""

    x: float
    top: float
    radius: float
    haze: float
    turn: float
    """Degrees by which its gores are turned."""

    @property
    def tall(self) -> float:
        """Height of the envelope from crown to mouth, in widths of the picture."""
        return self.radius * 2.36

    def half_width(self, down: float) -> float:
        """Return how wide the envelope is on its way down, 0..1."""
        if not 0 < down < 1:
            return 0
        bulge = 0.43
        if down < bulge:
            return self.radius * math.sqrt(1 - ((bulge - down) / bulge) ** 2)
        taper = (down - bulge) / (1 - bulge)
        return self.radius * (1 - 0.84 * math.pow(taper, 1.75) * (1.12 - 0.12 * taper))


_BALLOONS = (
    Balloon(0.17, 0.60, 0.036, 0.52, 5),
    Balloon(0.33, 0.37, 0.062, 0.36, 12),
    Balloon(FOCUS[0], 0.20, 0.215, 0, 4),
)


def balloon(width: int, height: int) -> pyvips.Image:
    """Paint the scene upright."""
    scene = _hills(enlarged((width, height), 3, _sky))
    for each in _BALLOONS:
        left, top = int((each.x - each.radius * 1.1) * width), int((each.top - each.radius * 0.1) * width)
        across, down = int(each.radius * 2.2 * width), int((each.tall + each.radius * 0.7) * width)
        patch = scene.crop(left, top, across, down)
        here = replace(each, x=each.x - left / width, top=each.top - top / width)
        scene = scene.insert(_rigging(_envelope(patch, here, width), here, width), left, top)
    return grain(clip(scene, 0, 255), 2.4, 7)


def _sky(size: tuple[int, int]) -> pyvips.Image:
    sky = gradient(size, _SKY)
    sky = sky + glow(size, _SUN, 0.34) * [40, 30, 4] + glow(size, _SUN, 0.06) * [60, 56, 40]
    veil = stretched(size, 5, 0.14, 311, octaves=6) + stretched(size, 3, 0.03, 317, octaves=4) * 0.2
    sky = mix(sky, (255, 236, 218), smooth(veil, 0.10, 0.62) * 0.75)
    return clip(mix(sky, (255, 252, 236), smooth(glow(size, _SUN, 0.042, power=8), 0.3, 0.7)), 0, 255)


def _hills(scene: pyvips.Image) -> pyvips.Image:
    """Lay six lines of hills, each clearer and darker than the one behind it, with mist in the valleys."""
    width, height = scene.width, scene.height
    top = int(_HORIZON * width)
    land = scene.crop(0, top, width, height - top)
    for index in range(6):
        land = _hill(land, index / 5, index)
    return scene.insert(land, 0, top)


def _hill(land: pyvips.Image, near: float, index: int) -> pyvips.Image:
    """Lay one line of hills; near is 0 at the horizon and 1 before the viewer."""
    size = (land.width, land.height)
    base = 1.03 - _HORIZON + 0.40 * near**1.25
    crest = Crest(base, 0.10 + 0.07 * near, 1.5 + 0.35 * (5 - index), seed=60 + index, sharp=0.35, gain=0.40)
    ground = crest.line(size[0])
    woods = Forest(0, 1, 1500 - 200 * index, 0.006 + 0.034 * near**2, seed=80 + index).over(ground)
    mask, _ = below(woods if index > 1 else ground, size)
    _, depth = below(ground, size)
    color = [a + (b - a) * near**0.8 for a, b in zip((206, 184, 182), (20, 44, 50), strict=True)]
    crowns = fractal(size, 0.006 + 0.008 * near, 600 + index, octaves=4) * (3 + 16 * near)
    face = pyvips.Image.black(*size) + color + crowns * [0.9, 1.0, 0.7]
    fog = enlarged(size, 3, lambda small: stretched(small, 4, 0.12, 640 + index, octaves=4)) * 0.06
    mist = smooth(depth + fog, 0.02, 0.17 + 0.05 * near) * (0.82 - 0.25 * near)
    shine = glow(size, (_SUN[0], base - 0.08), 0.22) * (0.34 * (1 - near * 0.6))
    return mix(land, mix(mix(face, (240, 216, 200), mist), (255, 214, 150), shine), mask)


def _envelope(scene: pyvips.Image, one: Balloon, unit: int) -> pyvips.Image:
    """Paint the cloth: gores that narrow toward the edges, lit from the low sun at the left."""
    size = (scene.width, scene.height)
    places = pyvips.Image.xyz(*size)
    x, y = places[0] / unit, places[1] / unit
    rows = [[max(_NOTHING / 2, one.half_width((row / unit - one.top) / one.tall))] for row in range(size[1])]
    half = pyvips.Image.new_from_array(rows).cast("float").embed(0, 0, *size, extend="copy")
    across = clip((x - one.x) / half, -1, 1)
    mask = clip((half - (x - one.x).abs()) * unit + 0.5) * (half > _NOTHING).ifthenelse(1, 0)
    angle = across.asin()
    down = (y - one.top) / one.tall
    cloth = _pattern(angle + one.turn, down)
    light = clip((angle + 38).cos() * 0.62 + 0.46, 0.22, 1.16) * (1 - smooth(down, 0.45, 1.0) * 0.28)
    seam = (angle + one.turn) / (180 / _GORES)
    pucker = (((seam - seam.floor()) - 0.5).abs() * 2) ** 6
    warm = mix(cloth * light, (255, 224, 170), smooth(across * -1, 0.55, 1.0) * 0.30)
    face = warm * (1 - pucker * 0.16) + fractal(size, 0.02, 901, octaves=3) * 3
    return mix(scene, mix(face, (238, 218, 206), one.haze), mask)


def _pattern(angle: pyvips.Image, down: pyvips.Image) -> pyvips.Image:
    """Color the gores: zigzag bands from crown to mouth."""
    seam = angle / (180 / _GORES)
    zigzag = (((seam / 2) - (seam / 2).floor()) - 0.5).abs() * 2
    band = ((down * 9 - zigzag * 0.9 + 12).floor()).remainder(len(_CLOTH)).cast("uchar")
    table = [pyvips.Image.new_from_array([[color[channel] for color in _CLOTH]]) for channel in range(3)]
    return band.maplut(table[0].bandjoin(table[1:]).cast("uchar")).cast("float")


def _rigging(scene: pyvips.Image, one: Balloon, unit: int) -> pyvips.Image:
    """Hang the basket, its ropes and two passengers below the mouth."""
    radius = one.radius
    mouth, rim = one.top + one.tall, one.top + one.tall + radius * 0.30
    shapes: list[Outline] = [_box(one.x, rim, radius * 0.135, radius * 0.17)]
    for side in (-1, -0.4, 0.4, 1):
        top, foot = one.x + side * radius * 0.16, one.x + side * radius * 0.125
        thin = radius * 0.006
        shapes.append([(top - thin, mouth), (top + thin, mouth), (foot + thin, rim), (foot - thin, rim)])
    for side in (-0.5, 0.35):
        shapes.append(_box(one.x + side * radius * 0.13, rim - radius * 0.085, radius * 0.028, radius * 0.09))
        shapes.append(_disc(one.x + side * radius * 0.13, rim - radius * 0.105, radius * 0.026))
    return mix(scene, (62, 42, 34), cut(shapes, (scene.width, scene.height), unit) * (1 - one.haze))


def _box(x: float, top: float, half: float, tall: float) -> Outline:
    return [(x - half, top), (x + half, top), (x + half * 0.88, top + tall), (x - half * 0.88, top + tall)]


def _disc(x: float, y: float, radius: float) -> Outline:
    turns = [index * math.tau / 24 for index in range(24)]
    return [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
