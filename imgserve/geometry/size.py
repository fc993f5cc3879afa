"""The size of a picture, computed from the size of its original as far as that is known: None is an unknown side."""

from dataclasses import dataclass

from imgserve.geometry.box import Size, inside, largest, whole
from imgserve.transform.value import Transform

_ANY = 10**9
"""A side without a limit."""
_CROPS = frozenset({None, "crop", "min"})
_QUARTER, _HALF_TURN = 90, 180


@dataclass(frozen=True, slots=True)
class Extent:
    """Width and height in pixels, each if known."""

    width: int | None = None
    height: int | None = None

    @property
    def known(self) -> Size | None:
        """Both sides, or None."""
        return None if self.width is None or self.height is None else Size(self.width, self.height)


UNKNOWN = Extent()


def picture_extent(transform: Transform, original: Extent) -> Extent:
    """Return the size of a picture of an upright original."""
    return output_extent(transform, shown_extent(transform, original))


def shown_extent(transform: Transform, original: Extent) -> Extent:
    """Return the size that sides refer to: that of the requested part of the upright original, after quarter turns."""
    if transform.orient is not None or transform.rotate % _QUARTER:
        return UNKNOWN
    part = original
    if transform.rect is not None:
        left, top, width, height = transform.rect
        part = Extent(_part(left, width, original.width), _part(top, height, original.height))
    return part if transform.rotate % _HALF_TURN == 0 else Extent(part.height, part.width)


def clipped(start: int | float, length: int | float, total: int) -> tuple[int, int]:
    """Return start and length of a part of a side in pixels; the length is 0 or less if the part is outside."""
    first, size = (int(x * total + 0.5) if isinstance(x, float) else x for x in (start, length))
    first = max(first, 0)
    return first, min(max(size, 1), total - first)


def requested_sides(transform: Transform, shown: Extent) -> tuple[int | float | None, int | float | None]:
    """Return the requested sides in pixels, with dpr and aspect applied; a fraction of an unknown side stays one."""
    width = _side(transform.width, shown.width, transform.dpr)
    height = _side(transform.height, shown.height, transform.dpr)
    if transform.aspect is None or (width is None) == (height is None):
        return width, height
    across, down = transform.aspect
    if width is None:
        return height if isinstance(height, float) else whole((height or 0) * across / down), height
    return width, width if isinstance(width, float) else whole(width * down / across)


def is_crop(transform: Transform, width: float | None, height: float | None) -> bool:
    """Return whether the requested sides, or the aspect alone, cut parts of the picture off."""
    sides = (width is not None) + (height is not None)
    return transform.fit in _CROPS and (sides == 2 or (sides == 0 and transform.aspect is not None))  # noqa: PLR2004  both


def output_extent(transform: Transform, shown: Extent, *, vector: bool = False) -> Extent:
    """Return the size of a picture of what is shown; a vector original has any size without being enlarged."""
    width, height = requested_sides(transform, shown)
    if isinstance(width, float) or isinstance(height, float):
        return UNKNOWN
    if width is None and height is None:
        return _cropped(transform, shown) if is_crop(transform, width, height) else shown
    enlarge = transform.enlarge or vector
    if width is None or height is None:
        return _one_sided(shown, width, height, enlarge=enlarge and transform.fit != "max")
    return _boxed(transform, shown, Size(width, height), enlarge=vector if transform.fit == "min" else enlarge)


def contained(size: Size, box: Size, *, enlarge: bool) -> Size:
    """Return a size as large as the box allows, ratio kept, and not enlarged unless allowed."""
    return size if size.within(box) and not enlarge else inside(size, box)


def _part(start: int | float, length: int | float, total: int | None) -> int | None:
    size = 0 if total is None else clipped(start, length, total)[1]
    return size if size > 0 else None


def _side(side: int | float | None, total: int | None, dpr: float) -> int | float | None:
    if side is None or (isinstance(side, float) and total is None):
        return side
    return whole((side * total if isinstance(side, float) and total is not None else side) * dpr)


def _extent(size: Size) -> Extent:
    return Extent(size.width, size.height)


def _cropped(transform: Transform, shown: Extent) -> Extent:
    return _extent(largest(shown.known, Size(*transform.aspect))) if shown.known and transform.aspect else UNKNOWN


def _one_sided(shown: Extent, width: int | None, height: int | None, *, enlarge: bool) -> Extent:
    if shown.known:
        return _extent(contained(shown.known, Size(width or _ANY, height or _ANY), enlarge=enlarge))
    if enlarge:
        return Extent(width, height)
    return Extent(width and min(width, shown.width or _ANY), height and min(height, shown.height or _ANY))


def _boxed(transform: Transform, shown: Extent, box: Size, *, enlarge: bool) -> Extent:
    bounds = Size(shown.width or _ANY, shown.height or _ANY)
    match transform.fit:
        case None | "crop" | "min":
            region = largest(bounds, box)
            return _extent(box if enlarge or box.within(region) else region)
        case "clip" | "max":
            may_grow = enlarge and transform.fit == "clip"
            return _extent(contained(shown.known, box, enlarge=may_grow)) if shown.known else UNKNOWN
        case "scale":
            return _extent(box if enlarge else Size(min(box.width, bounds.width), min(box.height, bounds.height)))
        case _:
            return _extent(box)
