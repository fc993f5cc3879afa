"""The dominant color: the mean of the most populous corner of the color cube."""

from collections import Counter

import pyvips

from imgserve.pipeline.color import with_alpha

_SIDE = 48
_BITS = 4
"""Of each color that decide the cell: cells of 16 steps."""

_SEEN = 128
"""Alpha below which a pixel has no color."""

_CANDIDATES = 16
"""Cells that are looked at with their neighbors; the others hold less than any of these."""

_NEIGHBORS = [(red, green, blue) for red in (-1, 0, 1) for green in (-1, 0, 1) for blue in (-1, 0, 1)]


def dominant_color(small: pyvips.Image) -> str:
    """Find the color of which most of a small picture is, as `#rrggbb`; nothing where all of it is transparent.

    A color that lies on the border of two cells counts whole: cells are looked at with their neighbors.
    """
    pixels = [(red, green, blue) for red, green, blue, alpha in _rgba(small) if alpha >= _SEEN]
    if not pixels:
        return ""
    shift = 8 - _BITS
    cells = Counter((red >> shift, green >> shift, blue >> shift) for red, green, blue in pixels)
    likely = [cell for cell, _ in cells.most_common(_CANDIDATES)]
    center = max(likely, key=lambda cell: (_around(cells, cell), cells[cell], cell))
    near = [
        pixel for pixel in pixels if all(abs((part >> shift) - at) <= 1 for part, at in zip(pixel, center, strict=True))
    ]
    return "#" + "".join(f"{round(sum(part) / len(near)):02x}" for part in zip(*near, strict=True))


def _around(cells: Counter[tuple[int, int, int]], cell: tuple[int, int, int]) -> int:
    red, green, blue = cell
    return sum(cells.get((red + r, green + g, blue + b), 0) for r, g, b in _NEIGHBORS)


def _rgba(small: pyvips.Image) -> list[tuple[int, ...]]:
    factor = _SIDE / max(small.width, small.height, _SIDE)
    if factor < 1:
        # Whole pixels, not mixed ones: a mixture is a color that the picture does not have.
        small = small.resize(max(factor, 1 / small.width), vscale=max(factor, 1 / small.height), kernel="nearest")
    data = bytes(with_alpha(small.colourspace("srgb")).cast("uchar").write_to_memory())
    return list(zip(*(data[at::4] for at in range(4)), strict=True))
