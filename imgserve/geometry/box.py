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
        """Return the first column past the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """Return the first row past the box."""
        return self.top + self.height


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in whole pixels, at least one each."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Return width x height."""
        return self.width * self.height

    def within(self, other: "Size") -> bool:
        """Return whether this fits inside the other without scaling."""
        return self.width <= other.width and self.height <= other.height


def whole(length: float) -> int:
    """Return a length rounded half up to whole pixels, at least one."""
    return max(1, int(length + 0.5))


def inside(size: Size, box: Size) -> Size:
    """Return the largest size of the same ratio that fits the box; the limiting side is exact."""
    if size.width * box.height >= size.height * box.width:
        return Size(box.width, min(box.height, whole(size.height * box.width / size.width)))
    return Size(min(box.width, whole(size.width * box.height / size.height)), box.height)


def cover(size: Size, box: Size) -> Size:
    """Return the smallest size of the same ratio that covers the box; the limiting side is exact."""
    if size.width * box.height >= size.height * box.width:
        return Size(max(box.width, whole(size.width * box.height / size.height)), box.height)
    return Size(box.width, max(box.height, whole(size.height * box.width / size.width)))


def slide(center: float, length: int, total: int) -> int:
    """Return the start of a length centered at a point, moved as far as needed to stay inside the total."""
    return min(max(int(center - length / 2 + 0.5), 0), total - length)


def rescaled(box: Box, stored: Size, loaded: Size) -> Box:
    """Return a box in the same picture at another size, as whole pixels inside it."""
    across, down = loaded.width / stored.width, loaded.height / stored.height
    left, top = min(round(box.left * across), loaded.width - 1), min(round(box.top * down), loaded.height - 1)
    # Each edge is rounded alone: a rounded width would add the error of the left edge to the right one.
    right, bottom = min(round(box.right * across), loaded.width), min(round(box.bottom * down), loaded.height)
    return Box(left, top, max(1, right - left), max(1, bottom - top))


# EXIF 2.32, 4.6.4 A, tag 0x0112: mirrored first (left to right), then turned clockwise by quarters.
_EXIF = {
    1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (1, False), 7: (1, True), 8: (3, False)
}  # fmt: skip
_DEGREES = {90: 1, 180: 2, 270: 3}


@dataclass(frozen=True, slots=True)
class Turn:
    """A mirror (left to right) followed by clockwise quarter turns: one of eight."""

    quarters: int = 0
    mirrored: bool = False

    @classmethod
    def upright(cls, exif: int, orient: int | None) -> "Turn":
        """Return the turn by the EXIF orientation, or by the caller's `orient` instead."""
        if orient in _DEGREES:
            return cls(_DEGREES[orient])
        return cls(*_EXIF.get(exif if orient is None else orient, (0, False)))

    def then_rotate(self, quarters: int) -> "Turn":
        """Return this turn followed by clockwise quarter turns."""
        return Turn((self.quarters + quarters) % 4, self.mirrored)

    def then_flip(self, flip: str) -> "Turn":
        """Return this turn followed by a mirror: `h` left to right, `v` top to bottom, `hv` both."""
        # A mirror M passes a turn R as M R = R^-1 M; top to bottom is R^2 M.
        quarters = {"": self.quarters, "h": -self.quarters, "v": 2 - self.quarters, "hv": self.quarters + 2}[flip]
        return Turn(quarters % 4, self.mirrored ^ (flip in {"h", "v"}))

    def inverse(self) -> "Turn":
        """Return the turn that undoes this one; every mirrored turn undoes itself."""
        return self if self.mirrored else Turn(-self.quarters % 4)

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Return a size after the turn."""
        return (height, width) if self.quarters % 2 else (width, height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return a point after the turn, both as fractions of the picture."""
        x = 1 - x if self.mirrored else x
        return ((x, y), (1 - y, x), (1 - x, 1 - y), (y, 1 - x))[self.quarters]

    def box(self, box: Box, width: int, height: int) -> Box:
        """Return a box after the turn; the size is that of the picture before it."""
        left = width - box.right if self.mirrored else box.left
        turned = (
            (left, box.top),
            (height - box.bottom, left),
            (width - left - box.width, height - box.bottom),
            (box.top, width - left - box.width),
        )[self.quarters]
        across, down = self.size(box.width, box.height)
        return Box(turned[0], turned[1], int(across), int(down))
