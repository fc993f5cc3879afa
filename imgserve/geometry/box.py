"""Integer rectangles, sizes and quarter turns."""

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


# EXIF 2.32, 4.6.4 A, tag 0x0112: mirrored first (left to right), then turned clockwise by quarters.
_EXIF = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (1, False),
    7: (1, True),
    8: (3, False),
}
_DEGREES = {90: 1, 180: 2, 270: 3}


@dataclass(frozen=True, slots=True)
class Turn:
    """A mirror (left to right) followed by clockwise quarter turns: one of eight."""

    quarters: int = 0
    mirrored: bool = False

    @classmethod
    def upright(cls, exif: int, asked: int | None) -> "Turn":
        """Turn stored pixels as EXIF says, or as the caller's `orient` says instead."""
        if asked in _DEGREES:
            return cls(_DEGREES[asked])
        return cls(*_EXIF.get(exif if asked is None else asked, (0, False)))

    def then_rotate(self, quarters: int) -> "Turn":
        """Follow this turn by clockwise quarter turns."""
        return Turn((self.quarters + quarters) % 4, self.mirrored)

    def then_flip(self, flip: str) -> "Turn":
        """Follow this turn by a mirror: `h` left to right, `v` top to bottom, `hv` both."""
        # A mirror M passes a turn R as M R = R^-1 M; top to bottom is R^2 M.
        quarters = {"": self.quarters, "h": -self.quarters, "v": 2 - self.quarters, "hv": self.quarters + 2}[flip]
        return Turn(quarters % 4, self.mirrored ^ (flip in {"h", "v"}))

    def inverse(self) -> "Turn":
        """Give the turn that undoes this one; every mirrored turn undoes itself."""
        return self if self.mirrored else Turn(-self.quarters % 4)

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Turn a size."""
        return (height, width) if self.quarters % 2 else (width, height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Turn a point given as fractions of the picture."""
        x = 1 - x if self.mirrored else x
        return ((x, y), (1 - y, x), (1 - x, 1 - y), (y, 1 - x))[self.quarters]

    def box(self, box: Box, width: int, height: int) -> Box:
        """Turn a box inside a picture of this size before the turn."""
        left = width - box.right if self.mirrored else box.left
        turned = (
            (left, box.top),
            (height - box.bottom, left),
            (width - left - box.width, height - box.bottom),
            (box.top, width - left - box.width),
        )[self.quarters]
        across, down = self.size(box.width, box.height)
        return Box(turned[0], turned[1], int(across), int(down))
