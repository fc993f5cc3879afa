"""Where a text and a mark are on a picture, and how large."""

import math
from dataclasses import dataclass

from imgserve.geometry.box import Size
from imgserve.transform.value import Align, Transform

_SHARES = {"top": 0.0, "left": 0.0, "middle": 0.5, "center": 0.5, "bottom": 1.0, "right": 1.0}
_MOST_PAD = 4
"""A side of the picture has at least so many times the distance to its edge, so that a mark stays visible."""
_THIN = 8
"""A thin picture has one side that is at least so many times the other one."""
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place on a picture."""

    align: Align
    x: int | None
    """Pixels from the left edge, instead of the alignment; `y` likewise."""
    y: int | None
    pad: int

    def within(self, canvas: Size) -> Size:
        """Return the size that is left between the distances to the edges."""
        return Size(*(side - 2 * _pad(self.pad, side) for side in (canvas.width, canvas.height)))

    def place(self, canvas: Size, size: Size) -> tuple[int, int]:
        """Return the left and the top edge of something of a size, which never crosses an edge of the picture."""
        row, column = self.align
        left = _start(canvas.width, size.width, self.x, self.pad, _SHARES[column])
        return left, _start(canvas.height, size.height, self.y, self.pad, _SHARES[row])


def _pad(pad: int, side: int) -> int:
    return min(pad, side // _MOST_PAD)


def _start(side: int, length: int, named: int | None, pad: int, share: float) -> int:
    pad = _pad(pad, side)
    start = pad + math.floor((side - 2 * pad - length) * share) if named is None else named
    return max(0, min(start, side - length))


def part_of(side: int, length: float | None) -> int | None:
    """Return a length in pixels, of which a fraction refers to a side of the picture; None for none."""
    return max(1, round(length * side)) if isinstance(length, float) else length


def mark_anchor(transform: Transform) -> Anchor:
    """Return the place of the mark."""
    return Anchor(transform.mark_align, transform.mark_x, transform.mark_y, transform.mark_pad)


def is_tiled(canvas: Size, transform: Transform) -> bool:
    """Return whether a mark is repeated: always, or in a thin picture, in which it would be a dot.

    Thin parts of a picture can be requested one by one, and be put together again.
    """
    shorter, longer = sorted((canvas.width, canvas.height))
    return transform.mark_tile == "grid" or (transform.mark_tile == "thin" and longer >= _THIN * shorter)


def mark_size(canvas: Size, natural: Size, transform: Transform) -> Size:
    """Return the size of a mark before its turn: as requested, or its own, but never larger than the picture."""
    width, height = part_of(canvas.width, transform.mark_w), part_of(canvas.height, transform.mark_h)
    factor = 1.0
    if width is not None or height is not None:
        factor = min((width or math.inf) / natural.width, (height or math.inf) / natural.height)
    elif transform.mark_scale is not None:
        factor = canvas.width * transform.mark_scale / 100 / natural.width
    radians = math.radians(transform.mark_rot)
    cos, sin = abs(math.cos(radians)), abs(math.sin(radians))
    wide, high = natural.width * cos + natural.height * sin, natural.width * sin + natural.height * cos
    room = canvas if is_tiled(canvas, transform) else mark_anchor(transform).within(canvas)
    factor = min(factor, room.width / wide, room.height / high)
    return Size(*(max(1, int(side * factor + _ROUNDING)) for side in (natural.width, natural.height)))
