"""The size that a picture will have, as far as it can be told without looking at the original.

The same arithmetic as the server's plan, which a test compares; what is not known stays None.
"""

from dataclasses import dataclass

from imgserve.transform import Transform

_ANY = 10**9
"""Stands for a side that is not known, where that bounds nothing."""
_QUARTER, _HALF_TURN = 90, 180


@dataclass(frozen=True, slots=True)
class Extent:
    """Width and height in pixels, each as far as known."""

    width: int | None = None
    height: int | None = None

    @property
    def known(self) -> tuple[int, int] | None:
        """Both sides, or None."""
        return None if self.width is None or self.height is None else (self.width, self.height)


UNKNOWN = Extent()


def original_extent(width: int | None, height: int | None) -> Extent:
    """Take the size of an upright original; 0, as in a record of a size that was not found, is not known.

    Raises:
        ValueError: a side is below 0.
    """
    if min(width or 0, height or 0) < 0:
        raise ValueError(f"original: expected a width and a height above 0, but received {width} and {height}")
    return Extent(width or None, height or None)


def picture_extent(transform: Transform, original: Extent) -> Extent:
    """Tell how large a picture becomes of an original whose upright size is known, partly known or not."""
    shown = shown_extent(transform, original)
    width, height = _asked(transform, shown)
    if isinstance(width, float) or isinstance(height, float):
        return UNKNOWN
    if width is None and height is None:
        return _unsized(transform, shown)
    if width is None or height is None:
        return _one_sided(transform, shown, width, height)
    return _boxed(transform, shown, (width, height))


def shown_extent(transform: Transform, original: Extent) -> Extent:
    """Tell what sizes refer to: the asked part of the upright original, after quarter turns."""
    if transform.orient is not None or transform.rotate % _QUARTER:
        return UNKNOWN
    part = original
    if transform.rect is not None:
        left, top, width, height = transform.rect
        part = Extent(_part(left, width, original.width), _part(top, height, original.height))
    return part if transform.rotate % _HALF_TURN == 0 else Extent(part.height, part.width)


def _part(start: int | float, length: int | float, total: int | None) -> int | None:
    if total is None:
        return None
    first, size = (int(x * total + 0.5) if isinstance(x, float) else x for x in (start, length))
    return min(max(size, 1), total - first) if first < total else None


def _whole(length: float) -> int:
    return max(1, int(length + 0.5))


def _inside(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    if size[0] * box[1] >= size[1] * box[0]:
        return box[0], min(box[1], _whole(size[1] * box[0] / size[0]))
    return min(box[0], _whole(size[0] * box[1] / size[1])), box[1]


def _within(size: tuple[int, int], box: tuple[int, int]) -> bool:
    return size[0] <= box[0] and size[1] <= box[1]


def _side(side: int | float | None, total: int | None, dpr: float) -> int | float | None:
    if side is None or (isinstance(side, float) and total is None):
        return side
    return _whole((side * total if isinstance(side, float) and total is not None else side) * dpr)


def _asked(transform: Transform, shown: Extent) -> tuple[int | float | None, int | float | None]:
    """Resolve fractions, dpr and aspect to pixels; a fraction of what is not known stays one."""
    width = _side(transform.width, shown.width, transform.dpr)
    height = _side(transform.height, shown.height, transform.dpr)
    if transform.aspect is None or (width is None) == (height is None):
        return width, height
    across, down = transform.aspect
    if width is None:
        return height if isinstance(height, float) else _whole((height or 0) * across / down), height
    return width, width if isinstance(width, float) else _whole(width * down / across)


def _unsized(transform: Transform, shown: Extent) -> Extent:
    if transform.aspect and transform.fit in {None, "crop", "min"}:
        return Extent(*_inside(transform.aspect, shown.known)) if shown.known else UNKNOWN
    return shown


def _one_sided(transform: Transform, shown: Extent, width: int | None, height: int | None) -> Extent:
    may_grow = transform.enlarge and transform.fit != "max"
    if shown.known:
        box = (width or _ANY, height or _ANY)
        fits = _within(shown.known, box) and not may_grow
        return shown if fits else Extent(*_inside(shown.known, box))
    if may_grow:
        return Extent(width, height)
    return Extent(width and min(width, shown.width or _ANY), height and min(height, shown.height or _ANY))


def _boxed(transform: Transform, shown: Extent, box: tuple[int, int]) -> Extent:
    bounds = (shown.width or _ANY, shown.height or _ANY)
    match transform.fit:
        case None | "crop" | "min":
            region = _inside(box, bounds)
            enlarge = transform.enlarge and transform.fit != "min"
            return Extent(*(box if enlarge or _within(box, region) else region))
        case "clip" | "max":
            may_grow = transform.enlarge and transform.fit == "clip"
            if shown.known is None:
                return UNKNOWN
            return shown if _within(shown.known, box) and not may_grow else Extent(*_inside(shown.known, box))
        case "scale":
            return Extent(*(box if transform.enlarge else (min(box[0], bounds[0]), min(box[1], bounds[1]))))
        case _:
            return Extent(*box)
