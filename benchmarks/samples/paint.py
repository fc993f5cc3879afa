"""What the drawn photographs share: noise, gradients, masks, grain. No scene of its own.

Pictures are float images of 0..255 while they are painted; lengths are fractions of the width, so that a
scene drawn small looks like the scene drawn large.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pyvips

Color = tuple[float, float, float]
Stop = tuple[float, Color]
"""Where along a line, 0..1, and the color there."""

_FINEST_CELL = 4
"""Pixels; below it Perlin noise is mere grain."""
_COARSE = 8
"""Noise of cells beyond 32 of these is drawn that much smaller and enlarged, which looks the same and is fast."""


def cells(width: int, height: int, cell: int, seed: int) -> pyvips.Image:
    """Paint Perlin noise of one cell size, about -1..1."""
    if cell < 32 * _COARSE:
        return pyvips.Image.perlin(width, height, cell_size=cell, seed=seed) * 1.45
    small = pyvips.Image.perlin(
        width // _COARSE + 2, height // _COARSE + 2, cell_size=max(2, cell // _COARSE), seed=seed
    )
    return (small.resize(_COARSE, kernel="cubic") * 1.45).crop(0, 0, width, height)


def fractal(
    size: tuple[int, int], cell: float, seed: int, *, octaves: int = 6, gain: float = 0.5, ridged: bool = False
) -> pyvips.Image:
    """Sum octaves of noise, about -1..1, or 0..1 with sharp crests where ridged."""
    width, height = size
    total, weight, strength = None, 0.0, 1.0
    for octave in range(octaves):
        pixels = int(cell * width / 2**octave)
        if pixels < _FINEST_CELL:
            break
        noise = cells(width, height, pixels, seed + octave)
        layer = (1 - noise.abs() if ridged else noise) * strength
        total = layer if total is None else total + layer
        weight += strength
        strength *= gain
    return pyvips.Image.black(width, height) if total is None else total / weight


def stretched(size: tuple[int, int], factor: float, cell: float, seed: int, *, octaves: int = 5) -> pyvips.Image:
    """Paint noise drawn out sideways: clouds, waves, strata."""
    width, height = size
    narrow = fractal((int(width / factor) + 2, height), cell, seed, octaves=octaves)
    return narrow.resize(factor, vscale=1, kernel="cubic").crop(0, 0, width, height)


def clip(image: pyvips.Image, low: float = 0, high: float = 1) -> pyvips.Image:
    """Clamp every value to bounds."""
    return (image < low).ifthenelse(low, (image > high).ifthenelse(high, image))


def smooth(image: pyvips.Image, start: float, end: float) -> pyvips.Image:
    """Rise softly from 0 at start to 1 at end."""
    t = clip((image - start) / (end - start))
    return t * t * (t * -2 + 3)


def mix(under: pyvips.Image, over: pyvips.Image | Sequence[float], mask: pyvips.Image | float) -> pyvips.Image:
    """Lay a picture or a color over another by a mask of 0..1."""
    top = pyvips.Image.black(under.width, under.height) + list(over) if isinstance(over, (list, tuple)) else over
    return under + (top - under) * mask


def grid(size: tuple[int, int]) -> tuple[pyvips.Image, pyvips.Image]:
    """Return x and y of every pixel, both in fractions of the width."""
    width, height = size
    places = pyvips.Image.xyz(width, height) / width
    return places[0], places[1]


def enlarged(size: tuple[int, int], times: int, paint: Callable[[tuple[int, int]], pyvips.Image]) -> pyvips.Image:
    """Paint what is soft anyway at a fraction of its size, for speed."""
    width, height = size
    small = paint((width // times + 2, height // times + 2)).copy_memory()
    return small.resize(times, kernel="cubic").crop(0, 0, width, height)


def color_at(stops: Sequence[Stop], place: float) -> Color:
    """Interpolate between the stops around a place."""
    for (start, here), (end, there) in pairwise(stops):
        if place <= end:
            t = max(0.0, (place - start) / (end - start))
            return (
                here[0] + (there[0] - here[0]) * t,
                here[1] + (there[1] - here[1]) * t,
                here[2] + (there[2] - here[2]) * t,
            )
    return stops[-1][1]


def gradient(size: tuple[int, int], stops: Sequence[Stop]) -> pyvips.Image:
    """Paint colors from top to bottom."""
    width, height = size
    rows = [color_at(stops, y / height) for y in range(height)]
    bands = [pyvips.Image.new_from_array([[row[band]] for row in rows]) for band in range(3)]
    column = bands[0].bandjoin(bands[1:]).cast("float")
    return column.embed(0, 0, width, height, extend="copy")


def glow(size: tuple[int, int], center: tuple[float, float], radius: float, power: float = 2) -> pyvips.Image:
    """Shine from a point: 1 there, one half at the radius."""
    x, y = grid(size)
    distance = ((x - center[0]) ** 2 + (y - center[1]) ** 2) ** 0.5 / radius
    return (distance**power + 1) ** -1


def below(line: Sequence[float], size: tuple[int, int], softness: float = 1) -> tuple[pyvips.Image, pyvips.Image]:
    """Mask what lies under a line of one height per column; also give the depth below it, in widths."""
    width, height = size
    row = pyvips.Image.new_from_array([list(line)]).cast("float").embed(0, 0, width, height, extend="copy")
    depth = pyvips.Image.xyz(width, height)[1] / width - row
    return clip(depth * (width / softness) + 0.5), depth


def relief(heights: pyvips.Image, strength: float, toward: tuple[float, float]) -> pyvips.Image:
    """Light a surface from a side: positive on slopes that face the light."""
    step = 1.5
    right = heights.conv(pyvips.Image.new_from_array([[1, 0, -1]]), precision="float")
    down = heights.conv(pyvips.Image.new_from_array([[1], [0], [-1]]), precision="float")
    return (right * toward[0] + down * toward[1]) * (strength * heights.width / 6000 * step)


def grain(image: pyvips.Image, sigma: float, seed: int) -> pyvips.Image:
    """Add the noise of a camera sensor and round to 8 bits."""
    noise = pyvips.Image.gaussnoise(image.width, image.height, sigma=sigma, mean=0, seed=seed)
    return (image + noise).round("rint").cast("uchar").copy(interpretation="srgb")
