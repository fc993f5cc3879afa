"""Find the picture inside a border of one color or of transparent pixels."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import replace

import pyvips

from imgserve.geometry.box import Box, Size, Turn
from imgserve.geometry.coordinates import coordinates_of
from imgserve.pipeline import color
from imgserve.transform.value import Color, Transform


def trimmed(frames: Sequence[pyvips.Image], transform: Transform, orientation: int) -> Transform:
    """Return a transform that shows what is inside the border, as a `rect`; everything if there is only border.

    All frames of an animation are cut at the same place, around everything that any of them shows.
    """
    stored = Size(frames[0].width, frames[0].height)
    part = coordinates_of(stored, transform, orientation, None, vector=False).part
    shown = [color.to_output(frame.crop(part.left, part.top, part.width, part.height), Transform()) for frame in frames]
    paint = _paint(shown[0], transform)
    boxes = [box for frame in shown if (box := _inside(frame, paint, transform.trim_tol))]
    if not boxes:
        return replace(transform, trim=None)
    left, top = min(box.left for box in boxes), min(box.top for box in boxes)
    right, bottom = max(box.right for box in boxes), max(box.bottom for box in boxes)
    found = Box(part.left + left, part.top + top, right - left, bottom - top)
    turn = Turn.upright(orientation, transform.orient)
    box = turn.box(found, stored.width, stored.height)
    across, down = turn.size(stored.width, stored.height)
    rect = (box.left / across, box.top / down, box.width / across, box.height / down)
    return replace(transform, trim=None, rect=rect)


def _paint(image: pyvips.Image, transform: Transform) -> Color:
    """Return the color of the border; one without alpha stands for transparent pixels of any color."""
    if isinstance(transform.trim, tuple):
        return transform.trim
    if transform.trim == "alpha":
        return 0, 0, 0, 0
    places = [(x, y) for y in (0, image.height - 1) for x in (0, image.width - 1)]
    corners = [_point(image, x, y) for x, y in places]
    if transform.trim == "color":
        return corners[0]
    # The one that most corners have, and the first of these.
    return max(corners, key=lambda one: sum(_alike(one, other, transform.trim_tol) for other in corners))


def _point(image: pyvips.Image, x: int, y: int) -> Color:
    values = [int(value) for value in image.getpoint(x, y)]
    alpha = values.pop() if image.hasalpha() else 255
    red, green, blue = values if len(values) > 1 else values * 3
    return red, green, blue, alpha


def _alike(one: Color, other: Color, tolerance: float) -> bool:
    clear = one[3] <= tolerance and other[3] <= tolerance
    return clear or all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def _inside(image: pyvips.Image, paint: Color, tolerance: float) -> Box | None:
    """Return the box around every visible pixel of another color than the paint; None if there is none."""
    image = color.colorful(image, paint)
    ink = color.ink(image, paint)
    bands = image.bands - 1 if image.hasalpha() else image.bands
    visible = image[bands].maplut(_differs(0, tolerance)) if image.hasalpha() else None
    if paint[3] > tolerance:
        other = functools.reduce(
            operator.or_, (image[band].maplut(_differs(ink[band], tolerance)) for band in range(bands))
        )
        visible = other if visible is None else other & visible
    if visible is None:
        return None
    columns, rows = (memoryview(sums.write_to_memory()).cast("I") for sums in visible.project())
    across = [place for place, total in enumerate(columns) if total]
    down = [place for place, total in enumerate(rows) if total]
    return Box(across[0], down[0], across[-1] + 1 - across[0], down[-1] + 1 - down[0]) if across else None


def _differs(part: float, tolerance: float) -> pyvips.Image:
    """Return a lookup table of 255 for each value that differs by more than the tolerance."""
    table = bytes(255 * (abs(value - part) > tolerance) for value in range(256))
    return pyvips.Image.new_from_memory(table, 256, 1, 1, "uchar")
