"""Outlines as polygons, and the masks cut from them: trees near the viewer, basket and ropes."""

import random
from collections.abc import Sequence

import pyvips

Point = tuple[float, float]
"""x and y in fractions of the picture's width."""
Outline = Sequence[Point]

_UNITS = 10_000
"""SVG units across the picture."""


def spruce(foot: Point, tall: float, rng: random.Random) -> list[Point]:
    """Outline a conifer: drooping branches, ragged and wider toward the ground."""
    x, y = foot
    tiers = 26 + rng.randrange(12)
    slim = 0.15 + 0.05 * rng.random()
    right: list[Point] = []
    left: list[Point] = []
    for tier in range(tiers):
        down = (tier + 1) / tiers
        for side, points in ((1, right), (-1, left)):
            reach = tall * slim * down**0.85 * (0.62 + 0.5 * rng.random())
            level = y - tall * (1 - down * 0.96)
            points.append((x + side * reach, level + tall * 0.012 * (1 + rng.random())))
            points.append((x + side * reach * 0.45, level - tall * 0.004))
    trunk = tall * 0.012
    return [(x, y - tall), *right, (x + trunk, y), (x - trunk, y), *reversed(left)]


def stand(
    ground: Sequence[float], span: tuple[float, float], *, trees: int, tall: float, seed: int
) -> list[list[Point]]:
    """Outline conifers that grow on a line between two places."""
    rng = random.Random(seed)
    outlines = []
    for _ in range(trees):
        x = span[0] + (span[1] - span[0]) * rng.random()
        foot = ground[min(len(ground) - 1, max(0, int(x * len(ground))))] + 0.006
        outlines.append(spruce((x, foot), tall * (0.4 + 0.6 * rng.random()), rng))
    return outlines


def cut(outlines: Sequence[Outline], size: tuple[int, int], unit: int) -> pyvips.Image:
    """Make the mask of everything inside the outlines, with smooth edges; unit is the width they are fractions of."""
    width, height = size
    across = _UNITS * width / unit
    polygons = "".join(
        '<path d="M' + "L".join(f"{x * _UNITS:.1f} {y * _UNITS:.1f}" for x, y in outline) + 'Z"/>'
        for outline in outlines
    )
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {across} {across * height / width}">{polygons}</svg>'
    )
    return pyvips.Image.svgload_buffer(drawing.encode())[3] / 255
