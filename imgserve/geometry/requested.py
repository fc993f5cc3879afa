"""The requested sides of a rendition in pixels, and the nearest of the sizes that a server allows."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from imgserve.geometry.box import Size, cover, inside, whole
from imgserve.geometry.coordinates import coordinates_of
from imgserve.geometry.surround import Surround
from imgserve.transform.normalize import has_bounds
from imgserve.transform.value import Transform

CROPS = {None, "crop", "min"}
"""Fits that fill the box by cutting."""
UNSCALED: Mapping[str, Any] = {
    "dpr": 1.0, "zoom": 1.0, "min_width": None, "max_width": None, "min_height": None, "max_height": None
}  # fmt: skip
"""Nothing but the sides decides the size then."""
OPEN = 10**15
"""Replaces a side that is not requested: larger than any picture."""


def requested_sides(
    transform: Transform, size: Size, surround: Surround, *, enlarge: bool = False
) -> tuple[int | None, int | None]:
    """Return the requested sides of a rendition in pixels, or None for a side left open."""

    def pixels(side: int | float | None, total: int) -> int | None:
        if side is None:
            return None
        return whole((side * total if isinstance(side, float) else side) * transform.dpr * transform.zoom)

    def bound(width: int | None, height: int | None, default: int) -> Size:
        return Size(*(whole(bound * transform.dpr) if bound else default for bound in (width, height)))

    least = bound(transform.min_width, transform.min_height, 1)
    most = bound(transform.max_width, transform.max_height, OPEN)
    width, height = pixels(transform.width, size.width), pixels(transform.height, size.height)
    bounded = has_bounds(transform)
    if width is None and height is None and (bounded or transform.zoom != 1):
        width, height = _of_itself(transform, size, surround, least, most)
    if transform.aspect:
        across, down = transform.aspect
        if width is not None:
            height = whole(width * down / across) if height is None else height
        elif height is not None:
            width = whole(height * across / down)
    if not bounded:
        return width, height
    width = None if width is None else max(least.width, min(width, most.width))
    height = None if height is None else max(least.height, min(height, most.height))
    return _completed((width, height), size, surround, least, most, enlarge=enlarge)


def _completed(
    sides: tuple[int | None, int | None], size: Size, surround: Surround, least: Size, most: Size, *, enlarge: bool
) -> tuple[int | None, int | None]:
    """Return one requested side with the other one, if its proportional length is outside of the bounds."""
    width, height = sides
    full = surround.around(size)
    if width is None and height is not None:
        shown = height if enlarge else min(height, full.height)
        other = surround.width + whole((shown - surround.height) * size.width / size.height)
        width = _bounded(other, least.width if enlarge else min(least.width, full.width), most.width)
    elif height is None and width is not None:
        shown = width if enlarge else min(width, full.width)
        other = surround.height + whole((shown - surround.width) * size.height / size.width)
        height = _bounded(other, least.height if enlarge else min(least.height, full.height), most.height)
    return width, height


def _of_itself(
    transform: Transform, size: Size, surround: Surround, least: Size, most: Size
) -> tuple[int | None, int | None]:
    """Return the sides where none is requested: one if the zoom or a bound decides it."""
    natural = size
    if transform.aspect and transform.fit in CROPS:
        natural = surround.inside(inside(Size(*transform.aspect), surround.around(size)))
    zoomed = Size(whole(natural.width * transform.zoom), whole(natural.height * transform.zoom))
    room, needed = surround.inside(most), surround.inside(least)
    picture = inside(zoomed, room) if not zoomed.within(room) else zoomed
    picture = cover(picture, needed) if not needed.within(picture) else picture
    if picture == natural:
        return None, None
    if picture.height != zoomed.height and picture.height in {room.height, needed.height}:
        return None, picture.height + surround.height
    return picture.width + surround.width, None


def _bounded(side: int, least: int, most: int) -> int | None:
    """Return a side that is left open within its bounds, or None if it is there anyway."""
    bounded = max(least, min(side, most))
    return None if bounded == side else bounded


def snapped(
    stored: Size, transform: Transform, sizes: Sequence[int], *, orientation: int = 1
) -> tuple[Transform, tuple[str, ...]]:
    """Return a transform with the requested size raised to one of the ascending sizes, and notes on what was changed.

    The width decides, or the height if no width is requested; the ratio of both remains. A size above the last one is
    lowered to it. A rect without a size is lowered to the next size, since nothing is enlarged. What depends on an
    original of unknown size (0 x 0) becomes the last size.

    Raises BadTransform if the rect is outside this original.
    """
    surround = Surround.of(transform)
    unsized = transform.width is None and transform.height is None
    relative = (
        transform.rect is not None
        or isinstance(transform.width, float)
        or isinstance(transform.height, float)
        or transform.zoom != 1
        or has_bounds(transform)
        or (unsized and (surround.width + surround.height > 0 or transform.trim is not None))
    )
    if relative and not stored.pixels:
        return replace(transform, width=sizes[-1], height=None, **UNSCALED), (f"size: made {sizes[-1]} wide",)
    shown = coordinates_of(stored, transform, orientation, None, vector=False).size if relative else stored
    width, height = requested_sides(transform, shown, surround)
    if width is None and height is None:
        width = surround.around(shown).width
        if not relative or width in sizes:
            return transform, ()
        size = sizes[max(0, bisect_right(sizes, width) - 1)]
    else:
        leading = width or height or 0
        size = sizes[min(bisect_left(sizes, leading), len(sizes) - 1)]
    across = None if width is None else size
    down = None if height is None else size if width is None else whole(height * size / width)
    changes = (("width", width, across), ("height", height, down))
    notes = (f"{name}: {old} is not a size of this server, made {new}" for name, old, new in changes if old != new)
    aspect = None if across and down else transform.aspect
    return replace(transform, width=across, height=down, aspect=aspect, **UNSCALED), tuple(notes)
