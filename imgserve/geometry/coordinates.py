"""The three coordinate frames of a picture: stored, upright and rotated."""

import math
from dataclasses import dataclass

from imgserve.errors import BadTransform
from imgserve.geometry.box import Box, Size, Turn, whole
from imgserve.geometry.size import clipped
from imgserve.transform.value import Transform


@dataclass(frozen=True, slots=True)
class Scene:
    """The shown picture that sizes and crops refer to."""

    part: Box
    """The rect in the stored frame."""
    turn: Turn
    angle: float
    shown: Size
    """The part in the shown frame, before the angle."""
    size: Size
    """After the angle: the bounding box of the turned part."""
    focus: tuple[float, float] | None
    """Fractions of `size`."""
    vector: bool


def scene_of(
    stored: Size, transform: Transform, orientation: int, focal_point: tuple[float, float] | None, *, vector: bool
) -> Scene:
    """Place the asked part of an original in the frames."""
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
    return Scene(part, turn, angle, shown, _bounding(shown, angle), focus, vector)


def _rect(transform: Transform, upright: Size) -> Box:
    """Clip the asked rectangle to the upright picture.

    Raises:
        BadTransform: nothing of it is inside.
    """
    if transform.rect is None:
        return Box(0, 0, upright.width, upright.height)
    left, width = clipped(transform.rect[0], transform.rect[2], upright.width)
    top, height = clipped(transform.rect[1], transform.rect[3], upright.height)
    if width <= 0 or height <= 0:
        raise BadTransform(
            [f"rect: {left},{top} lies outside this original of {upright.width}x{upright.height} pixels"]
        )
    return Box(left, top, width, height)


def _focus(
    transform: Transform, stored: tuple[float, float] | None, rect: Box, upright: Size
) -> tuple[float, float] | None:
    """Find the focal point as fractions of the rect, if there is one."""
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
