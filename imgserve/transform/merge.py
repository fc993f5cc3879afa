"""Merge the values of a query into a transform: what contradicts, pixel densities, and limits of sizes."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from imgserve.transform.kinds import DECIMALS
from imgserve.transform.parameters import LENGTHS, MARK, MAX_BLUR, MAX_COLORS, MAX_DPR, MAX_PIXELATE, MAX_QUALITY, TEXT
from imgserve.transform.value import NO_PAD, Four, Transform

MAX_SIDE = 8192
BOUNDS = ("min_width", "max_width", "min_height", "max_height")
PADS = ("pad_top", "pad_right", "pad_bottom", "pad_left")
ATTRIBUTES = frozenset(item.name for item in fields(Transform))
"""The attributes that change pixels, unlike the name of a download."""


def overlay(values: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return values over a preset or defaults; a named format ends the choice by Accept made below."""
    merged = {**below, **values}
    if values.get("format") and "auto" in below and "auto" not in values:
        merged["auto"] = below["auto"] - {"format", "best"}
    return merged


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Return the mistakes in values that are valid alone but not together."""
    mistakes = []
    for side in ("width", "height"):
        least, most = values.get(f"min_{side}"), values.get(f"max_{side}")
        if least and most and least > most:
            mistakes.append(f'min-{side}: expected at most max-{side}, {most}, but received "{least}"')
    quality, name = values.get("quality"), values.get("format")
    if quality is not None and quality > MAX_QUALITY and name not in (None, "gif"):
        mistakes.append(f'quality: expected an integer 1..{MAX_QUALITY} for {name}, but received "{quality}"')
    return mistakes


def merge(values: Mapping[str, Any], max_side: int) -> tuple[Transform, tuple[str, ...]]:
    """Return the transform of values by attribute, and notes on what was clamped."""
    merged = {name: value for name, value in values.items() if name in ATTRIBUTES}
    quality = merged.get("quality")
    if merged.get("format") == "png8":
        merged |= {"format": "png", "colors": merged.get("colors", MAX_COLORS)}
    elif merged.get("format") == "gif" and quality:
        merged |= {"quality": None, "colors": merged.get("colors", max(2, quality))}
    trimmed = merged.pop("trim_color", None)
    if merged.get("trim") == "color" and trimmed:
        merged["trim"] = trimmed
    merged["pad"] = tuple(merged.pop(name, side) for name, side in zip(PADS, merged.get("pad", NO_PAD), strict=True))
    transform, notes = _merge_sides(Transform(**merged), max_side)
    return _lengths_capped(transform, max_side, notes)


def _rounded(value: Fraction) -> int:
    """Return a value rounded half up, at least 1."""
    return max(1, int(value + Fraction(1, 2)))


def _merge_sides(transform: Transform, max_side: int) -> tuple[Transform, tuple[str, ...]]:
    """Return a transform with sides in pixels multiplied by dpr and zoom and limited to the cap, and notes.

    What is a fraction of an original is multiplied when its size is known.
    """
    sides = {"width": transform.width, "height": transform.height}
    pixels = {name: side for name, side in sides.items() if isinstance(side, int)}
    bounds = {name: bound for name in BOUNDS if (bound := getattr(transform, name)) is not None}
    fractions = any(isinstance(side, float) for side in sides.values())
    if not (pixels or fractions or bounds):
        return transform.with_values(dpr=1.0), ()
    notes = [f"dpr lowered to {MAX_DPR}"] if transform.dpr > MAX_DPR else []
    dpr = min(transform.dpr, float(MAX_DPR))
    if not fractions and (pixels or transform.zoom == 1):
        factor = Fraction(str(dpr)) * Fraction(str(transform.zoom))
        pixels = {name: _rounded(side * factor) for name, side in pixels.items()}
        transform, dpr = _scaled(transform, dpr).with_values(zoom=1.0), 1.0
    capped = _capped(pixels, transform.aspect, max_side)
    if capped != pixels:
        lowered = " and ".join(f"{name} to {side}" for name, side in capped.items())
        notes.append(f"size lowered: {lowered}, since no side may be above {max_side}")
    return transform.with_values(
        width=capped.get("width", transform.width), height=capped.get("height", transform.height), dpr=dpr
    ), tuple(notes)


def _scaled(transform: Transform, dpr: float) -> Transform:
    """Return a transform whose bounds, surroundings and effects have the same extent on the page at another density."""
    if dpr == 1:
        return transform
    factor = Fraction(str(dpr))
    lengthened = _lengths(transform, lambda length: length and _rounded(length * factor))
    return at_density(lengthened, dpr).with_values(
        pixelate=transform.pixelate and min(MAX_PIXELATE, _rounded(transform.pixelate * factor)),
        blur=min(float(MAX_BLUR), round(transform.blur * dpr, DECIMALS)),
    )


def at_density(transform: Transform, dpr: float) -> Transform:
    """Return a transform whose text and mark have the same extent on the page at another density."""
    factor, lengths = Fraction(str(dpr)), dict[str, Any]()
    without = (*(() if transform.text else TEXT), *(() if transform.mark else MARK))
    for row in LENGTHS:
        value = getattr(transform, row.attribute)
        if value and isinstance(value, int) and row.attribute not in without:
            most = int(row.kind.range[1]) if row.kind.range else value
            lengths[row.attribute] = min(most, _rounded(value * factor))
    return transform.with_values(**lengths)


def _lengths(transform: Transform, change: Callable[[int], int]) -> Transform:
    """Return a transform with other lengths in pixels, except width and height."""

    def four(value: Four) -> Four:
        changed = change(value[0]), change(value[1]), change(value[2]), change(value[3])
        return value if changed == value else changed

    bounds = {name: change(getattr(transform, name) or 0) or None for name in BOUNDS}
    border, radius = transform.border, transform.corner_radius
    return transform.with_values(
        pad=four(transform.pad),
        border=border and (change(border[0]), border[1]),
        corner_radius=radius and four(radius),
        **bounds,
    )


def _lengths_capped(transform: Transform, max_side: int, notes: tuple[str, ...]) -> tuple[Transform, tuple[str, ...]]:
    capped = _lengths(transform, lambda length: min(length, max_side))
    if capped != transform:
        notes = (*notes, f"pixels lowered to {max_side}, the most of bounds, pad, border and corner-radius")
    return capped, notes


def _capped(pixels: Mapping[str, int], aspect: tuple[int, int] | None, max_side: int) -> dict[str, int]:
    """Return the sides in proportion, the longer at most the cap, including a side added by a ratio."""
    longest = max(pixels.values(), default=0)
    capped = dict(pixels)
    if longest > max_side:
        capped = {name: _rounded(Fraction(side * max_side, longest)) for name, side in pixels.items()}
    if aspect and len(capped) == 1:
        [(name, side)] = capped.items()
        own, other = aspect if name == "width" else reversed(aspect)
        # Rounded down: the other side must not come out above the cap again.
        capped = {name: max(1, min(side, max_side * own // other))}
    return capped
