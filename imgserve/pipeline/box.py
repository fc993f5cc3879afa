"""A rectangle of whole pixels, and the arithmetic of ratios and rounding. No pixels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels inside a picture."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column past the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row past the box."""
        return self.top + self.height


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in whole pixels, at least one each."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width x height."""
        return self.width * self.height

    def within(self, other: "Size") -> bool:
        """Tell whether this fits inside the other without scaling."""
        return self.width <= other.width and self.height <= other.height


def whole(length: float) -> int:
    """Round half up to whole pixels, at least one."""
    return max(1, int(length + 0.5))


def inside(size: Size, box: Size) -> Size:
    """Scale a size to the largest that fits the box, ratio kept, up or down; the limiting side is exact."""
    if size.width * box.height >= size.height * box.width:
        return Size(box.width, min(box.height, whole(size.height * box.width / size.width)))
    return Size(min(box.width, whole(size.width * box.height / size.height)), box.height)


def largest(size: Size, ratio: Size) -> Size:
    """Take the largest part of a size that has the ratio."""
    return inside(ratio, size)


def cover(size: Size, box: Size) -> Size:
    """Scale a size to the smallest that covers the box, ratio kept; the limiting side is exact."""
    if size.width * box.height >= size.height * box.width:
        return Size(max(box.width, whole(size.width * box.height / size.height)), box.height)
    return Size(box.width, max(box.height, whole(size.height * box.width / size.width)))


def slide(center: float, length: int, total: int) -> int:
    """Place a length so that it is centered where asked as far as it stays inside the total."""
    return min(max(int(center - length / 2 + 0.5), 0), total - length)


def carried(box: Box, stored: Size, loaded: Size) -> Box:
    """Carry a box of a picture over to the same picture at another size, to whole pixels inside it."""
    across, down = loaded.width / stored.width, loaded.height / stored.height
    left, top = min(round(box.left * across), loaded.width - 1), min(round(box.top * down), loaded.height - 1)
    # Edge by edge: a rounded width would carry the rounding of the left edge over to the right one.
    right, bottom = min(round(box.right * across), loaded.width), min(round(box.bottom * down), loaded.height)
    return Box(left, top, max(1, right - left), max(1, bottom - top))
