"""The three coordinate frames of a picture: stored, upright and rotated."""

import math
from dataclasses import dataclass

from imgserve.errors import BadTransform
from imgserve.geometry.box import Box, Size, Turn, whole
from imgserve.transform.value import Transform


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The shown picture, which sizes and crops refer to."""

    part: Box
    """The requested rect in the stored frame."""
    turn: Turn
    angle: float
    shown: Size
    """The part in the shown frame, before the angle."""
    size: Size
    """The bounding box of the part after the angle."""
    focus: tuple[float, float] | None
    """Fractions of `size`."""
    vector: bool


def coordinates_of(
    stored: Size, transform: Transform, orientation: int, focal_point: tuple[float, float] | None, *, vector: bool
) -> Coordinates:
    """Return the requested part of an original in each frame; raise BadTransform for a rect outside of it."""
    upright = Turn.upright(orientation, transform.orient)
    width, height = (int(side) for side in upright.size(stored.width, stored.height))
    rect = _rect(transform, Size(width, height))
    part = upright.inverse().box(rect, width, height)
    quarters, rest = divmod(transform.rotate % 360, 90)
    turn = upright.then_rotate(int(quarters)).then_flip(transform.flip)
    # A mirror after the angle is the opposite angle after the mirror.
    angle = -rest if transform.flip in {"h", "v"} else rest
    shown = Size(*(int(side) for side in turn.size(part.width, part.height)))
    focus = _focus(transform, focal_point, rect, Size(width, height))
    if focus:
        focus = _rotated(Turn(int(quarters)).then_flip(transform.flip).point(*focus), shown, angle)
    return Coordinates(part, turn, angle, shown, _bounding(shown, angle), focus, vector)


def _rect(transform: Transform, upright: Size) -> Box:
    """Return the requested rectangle, clipped to the upright picture."""
    if transform.rect is None:
        return Box(0, 0, upright.width, upright.height)
    lengths = (upright.width, upright.height, upright.width, upright.height)
    left, top, width, height = (
        int(part * total + 0.5) if isinstance(part, float) else part
        for part, total in zip(transform.rect, lengths, strict=True)
    )
    if left >= upright.width or top >= upright.height:
        raise BadTransform(
            [f"rect: {left},{top} lies outside this original of {upright.width}x{upright.height} pixels"]
        )
    left, top = max(left, 0), max(top, 0)
    return Box(left, top, min(max(width, 1), upright.width - left), min(max(height, 1), upright.height - top))


def _focus(
    transform: Transform, stored: tuple[float, float] | None, rect: Box, upright: Size
) -> tuple[float, float] | None:
    """Return the focal point as fractions of the rect, or None."""
    if transform.focus_x is None and transform.focus_y is None and stored is None:
        return None
    x, y = stored or (0.5, 0.5)
    x = x if transform.focus_x is None else transform.focus_x
    y = y if transform.focus_y is None else transform.focus_y
    x, y = (x * upright.width - rect.left) / rect.width, (y * upright.height - rect.top) / rect.height
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def _bounding(size: Size, angle: float) -> Size:
    if not angle:
        return size
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    return Size(whole(size.width * cos + size.height * sin), whole(size.width * sin + size.height * cos))


def _rotated(point: tuple[float, float], size: Size, angle: float) -> tuple[float, float]:
    if not angle:
        return point
    outer = _bounding(size, angle)
    x, y = (point[0] - 0.5) * size.width, (point[1] - 0.5) * size.height
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return 0.5 + (x * cos - y * sin) / outer.width, 0.5 + (x * sin + y * cos) / outer.height
