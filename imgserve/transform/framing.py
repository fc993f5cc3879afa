"""What frames a picture, reduced to what has effect: sides, fit, crop, focal point, fill. No pixels, no sizes."""

from dataclasses import replace
from typing import Literal

from imgserve.transform.areas import RECT
from imgserve.transform.value import Fit, Gravity, Transform

Shape = Literal["free", "side", "ratio", "box"]

_WHOLE = "0,0,1.0,1.0"  # as text: the tuple equals one pixel
_CENTER = 0.5
_ROWS = ("top", "bottom")
_COLUMNS = ("left", "right")
_SIDES = frozenset((*_ROWS, *_COLUMNS, "center"))
FILLS: tuple[Fit, ...] = ("fill", "fillmax")
"""Fits with a canvas that takes a color."""
_NEEDS_NO_SIZE = (None, "crop", "min")
_NEVER_ENLARGES = frozenset(("max", "min", "fillmax"))
_STILL: dict[Fit, Fit] = {"clip": "max", "min": "crop", "fillmax": "fill"}
"""What a fit is called once nothing is enlarged."""
_VECTOR_FITS: dict[Fit, Fit] = {"min": "crop"}
"""The same for a vector, which has any size without being enlarged."""


def settle_frame(transform: Transform, *, vector: bool, focal_point: bool) -> Transform:
    """Drop what frames nothing, and say what is left in one way."""
    sized = _settle_sides(transform)
    settled = _settle_vector(sized) if vector else _settle_fit(sized)
    cropped = effective_fit(settled) == "crop"
    settled = _settle_focus(settled, focal_point=focal_point) if cropped else _without_crop(settled)
    return settled if settled.fit in FILLS else replace(settled, fill="solid", fill_color=None)


def effective_fit(transform: Transform) -> Fit:
    """Tell the fit that holds where the caller named none."""
    if transform.fit is not None:
        return transform.fit
    return "crop" if _shape(transform) in ("box", "ratio") else "max"


def _shape(transform: Transform) -> Shape:
    """Tell how much of a box is asked for: nothing, one side, a ratio without size, or all of it."""
    sides = (transform.width is not None) + (transform.height is not None)
    if transform.aspect is None:
        return ("free", "side", "box")[sides]
    return "box" if sides else "ratio"


def _settle_sides(transform: Transform) -> Transform:
    both = transform.width is not None and transform.height is not None
    sized = transform.width is not None or transform.height is not None
    # A ratio alone is a box without a size: something to crop to, nothing to fit inside or to fill.
    pointless = not sized and transform.fit not in _NEEDS_NO_SIZE
    return replace(
        transform,
        aspect=None if both or pointless else transform.aspect,
        dpr=transform.dpr if sized else 1.0,
        enlarge=transform.enlarge and sized,
        rect=None if transform.rect and RECT.write(transform.rect) == _WHOLE else transform.rect,
    )


def _settle_fit(transform: Transform) -> Transform:
    """Name each way of fitting once; without a box, what remains is whether to enlarge."""
    shape, enlarge = _shape(transform), transform.enlarge and transform.fit not in _NEVER_ENLARGES
    if shape == "free":
        return replace(transform, fit=None)
    if shape == "side":
        return replace(transform, fit="clip" if enlarge else None, enlarge=enlarge)
    fit = transform.fit if enlarge or transform.fit is None else _STILL.get(transform.fit, transform.fit)
    return replace(transform, fit=None if fit == "crop" else fit, enlarge=enlarge)


def _settle_vector(transform: Transform) -> Transform:
    """Name each way of fitting a vector once; growing needs no leave, but `max` still forbids it."""
    shape, fit = _shape(transform), transform.fit
    if shape == "free" or (shape == "side" and fit != "max"):
        fit = None
    elif fit is not None:
        fit = _VECTOR_FITS.get(fit, fit)
    return replace(transform, fit=None if fit == "crop" else fit, enlarge=False)


def _without_crop(transform: Transform) -> Transform:
    return replace(transform, crop=(), focus_x=None, focus_y=None, focus_zoom=1.0)


def _settle_focus(transform: Transform, *, focal_point: bool) -> Transform:
    """Keep the one gravity that decides, and the focal point only if it is that."""
    crop = _decisive(transform.crop)
    if crop == ("center",) and not focal_point:
        crop = ()
    elif crop in ((), ("focalpoint",)):
        return _settle_point(transform, focal_point=focal_point)
    return replace(_without_crop(transform), crop=crop)


def _settle_point(transform: Transform, *, focal_point: bool) -> Transform:
    """Drop coordinates that are the middle anyway; inside a rect, or over a stored point, they are not."""
    x, y = transform.focus_x, transform.focus_y
    if transform.rect is None and not focal_point:
        x, y = (None if place == _CENTER else place for place in (x, y))
    asked = (x, y, transform.focus_zoom) != (None, None, 1.0)
    return replace(transform, crop=("focalpoint",) if asked else (), focus_x=x, focus_y=y)


def _decisive(crop: tuple[Gravity, ...]) -> tuple[Gravity, ...]:
    """Reduce a list to its first usable word; sides combine, and opposite ones meet in the center."""
    usable = [word for word in crop if word != "faces"]  # which nothing detects yet
    if not usable or usable[0] not in _SIDES:
        return tuple(usable[:1])
    vertical = [word for word in usable if word in _ROWS]
    horizontal = [word for word in usable if word in _COLUMNS]
    return tuple(word for words in (vertical, horizontal) if len(words) == 1 for word in words) or ("center",)
