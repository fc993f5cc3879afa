"""The dominant color: the mean of the most populous corner of the color cube."""

import itertools
from collections import Counter

import pyvips

_COLOR_SIDE = 48
_CELL = 16
"""Steps of each color in one cell of the cube."""

_CELL_OF = bytes(step // _CELL for step in range(256))
_SEEN = 128
"""Alpha below which a pixel has no color."""

_CANDIDATES = 16
"""Cells that are looked at with their neighbors; the others hold less than any of these."""

Cell = tuple[int, ...]


def dominant_color(small: pyvips.Image) -> str:
    """Find the color of which most of a small picture is, as `#rrggbb`; nothing where all of it is transparent.

    A color that lies on the border of two cells counts whole: cells are looked at with their neighbors.
    """
    planes = _seen(small)
    cells = list(zip(*(plane.translate(_CELL_OF) for plane in planes), strict=True))
    if not cells:
        return ""
    numbers = Counter(cells)
    likely = [cell for cell, _ in numbers.most_common(_CANDIDATES)]
    center = max(likely, key=lambda cell: (sum(numbers[near] for near in _around(cell)), numbers[cell], cell))
    chosen = _around(center)
    near = [cell in chosen for cell in cells]
    means = (sum(itertools.compress(plane, near)) / sum(near) for plane in planes)
    return "#" + "".join(f"{round(mean):02x}" for mean in means)


def _around(cell: Cell) -> set[Cell]:
    return set(itertools.product(*(range(at - 1, at + 2) for at in cell)))


def _seen(small: pyvips.Image) -> list[bytes]:
    """Take red, green and blue of the pixels that are seen."""
    factor = _COLOR_SIDE / max(small.width, small.height, _COLOR_SIDE)
    if factor < 1:
        # Whole pixels, not mixed ones: a mixture is a color that the picture does not have.
        across, down = max(factor, 1 / small.width), max(factor, 1 / small.height)
        small = small.resize(across, vscale=down, kernel="nearest")
    picture = small.colourspace("srgb").cast("uchar")
    data, bands = bytes(picture.write_to_memory()), picture.bands
    planes, alphas = [data[at::bands] for at in range(3)], data[3::bands]
    if not picture.hasalpha() or min(alphas) >= _SEEN:
        return planes
    seen = [alpha >= _SEEN for alpha in alphas]
    return [bytes(itertools.compress(plane, seen)) for plane in planes]
