"""What surrounds a picture inside its size: pad and border, and the shape of both."""

from dataclasses import dataclass, replace
from typing import Literal

from imgserve.geometry.box import Size
from imgserve.transform.value import NO_PAD, Four, Transform

_PART = 0.2
"""Of the shorter side: the radius of corners if none is requested."""


@dataclass(frozen=True, slots=True)
class Surround:
    """Pixels around a picture, and the shape of picture and border."""

    pad: Four = NO_PAD
    """Top, right, bottom, left, outside the border."""
    border: int = 0
    mask: Literal["ellipse", "corners"] | None = None
    radius: Four | None = None
    """Of the border's outer corners, clockwise from the upper left; None: in proportion to the size."""

    @classmethod
    def of(cls, transform: Transform) -> "Surround":
        """Return what is requested, in pixels of the rendition."""
        border = transform.border[0] if transform.border else 0
        mask = transform.mask or ("corners" if transform.corner_radius else None)
        return cls(transform.pad, border, mask, transform.corner_radius).scaled(transform.dpr)

    @property
    def width(self) -> int:
        """Return how much wider it makes a picture."""
        return self.pad[1] + self.pad[3] + 2 * self.border

    @property
    def height(self) -> int:
        """Return how much higher it makes a picture."""
        return self.pad[0] + self.pad[2] + 2 * self.border

    def around(self, size: Size) -> Size:
        """Return the size of a rendition with a picture of some size."""
        return Size(size.width + self.width, size.height + self.height)

    def inside(self, outer: Size) -> Size:
        """Return the size that is left for the picture in a rendition of some size."""
        return Size(max(1, outer.width - self.width), max(1, outer.height - self.height))

    def scaled(self, factor: float) -> "Surround":
        """Return it at a factor of its size, rounded down."""
        if factor == 1:
            return self

        def four(value: Four) -> Four:
            return int(value[0] * factor), int(value[1] * factor), int(value[2] * factor), int(value[3] * factor)

        return replace(
            self, pad=four(self.pad), border=int(self.border * factor), radius=self.radius and four(self.radius)
        )

    def fitting(self, outer: Size) -> "Surround":
        """Return it, made smaller where a rendition of some size has no room for it and one pixel."""
        across = (outer.width - 1) / self.width if self.width else 1
        down = (outer.height - 1) / self.height if self.height else 1
        return self.scaled(min(1, across, down))

    def radii(self, size: Size) -> tuple[float, float, float, float]:
        """Return the outer radii of a picture with its border: neighbors share a side that is too short for both."""
        radius = self.radius or (_PART * min(size.width, size.height),) * 4
        upper_left, upper_right, lower_right, lower_left = radius
        across = (upper_left + upper_right, lower_left + lower_right)
        down = (upper_left + lower_left, upper_right + lower_right)
        factor = min(1, size.width / max(1, *across), size.height / max(1, *down))
        return upper_left * factor, upper_right * factor, lower_right * factor, lower_left * factor


PLAIN = Surround()
"""Neither pad nor border, and no shape."""
