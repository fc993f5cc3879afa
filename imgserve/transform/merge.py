"""Merge values into one transform: synonyms folded to one spelling, sizes clamped to the server's cap."""

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from imgserve.transform.parameters import MAX_COLORS, MAX_DPR, MAX_QUALITY
from imgserve.transform.value import Transform

_ATTRIBUTES = frozenset(item.name for item in fields(Transform))
_HALF = Fraction(1, 2)


def overlay(values: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over a preset or defaults; a format that they name ends the choice by Accept made below."""
    merged = {**below, **values}
    if values.get("format") and "auto" in below and "auto" not in values:
        merged["auto"] = below["auto"] - {"format"}
    return merged


def merge(values: Mapping[str, Any], max_side: int) -> tuple[Transform, tuple[str, ...]]:
    """Make a transform of values by attribute; the notes say what was clamped."""
    merged = _merge_palette({name: value for name, value in values.items() if name in _ATTRIBUTES})
    return _merge_sides(Transform(**merged), max_side)


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Find the values that are right alone and wrong together."""
    quality, name = values.get("quality"), values.get("format")
    if quality is None or quality <= MAX_QUALITY or name in (None, "gif"):
        return []
    return [f'quality: expected an integer 1..{MAX_QUALITY} for {name}, but received "{quality}"']


def _merge_palette(values: dict[str, Any]) -> dict[str, Any]:
    """Read png8 as a palette of 256, and a quality above 100 as the palette size of a GIF."""
    if values.get("format") == "png8":
        return {**values, "format": "png", "colors": values.get("colors", MAX_COLORS)}
    quality = values.get("quality")
    if values.get("format") == "gif" and quality is not None and quality > MAX_QUALITY:
        return {**values, "quality": None, "colors": values.get("colors", quality)}
    return values


def _rounded(value: Fraction) -> int:
    """Round half up, never to nothing."""
    return max(1, int(value + _HALF))


def _merge_sides(transform: Transform, max_side: int) -> tuple[Transform, tuple[str, ...]]:
    """Multiply the sides by dpr where they are pixels, and bring them below the cap."""
    sides = {"width": transform.width, "height": transform.height}
    pixels = {name: side for name, side in sides.items() if isinstance(side, int)}
    fractions = any(isinstance(side, float) for side in sides.values())
    if not pixels and not fractions:
        return replace(transform, dpr=1.0), ()
    notes = [f"dpr lowered to {MAX_DPR}"] if transform.dpr > MAX_DPR else []
    dpr = min(transform.dpr, float(MAX_DPR))
    if not fractions:
        pixels = {name: _rounded(side * Fraction(str(dpr))) for name, side in pixels.items()}
        dpr = 1.0
    capped = _capped(pixels, transform.aspect, max_side)
    if capped != pixels:
        asked = " and ".join(f"{name} to {side}" for name, side in capped.items())
        notes.append(f"size lowered: {asked}, since no side may be above {max_side}")
    return replace(
        transform, width=capped.get("width", transform.width), height=capped.get("height", transform.height), dpr=dpr
    ), tuple(notes)


def _capped(pixels: Mapping[str, int], aspect: tuple[int, int] | None, max_side: int) -> dict[str, int]:
    """Scale the sides alike until the longer is at most the cap, counting the side that a ratio will add."""
    longest = max(pixels.values(), default=0)
    capped = dict(pixels)
    if longest > max_side:
        capped = {name: _rounded(Fraction(side * max_side, longest)) for name, side in pixels.items()}
    if aspect and len(capped) == 1:
        [(name, side)] = capped.items()
        own, other = aspect if name == "width" else reversed(aspect)
        # Down, not to the nearest: the other side must not come out above the cap again.
        capped = {name: max(1, min(side, max_side * own // other))}
    return capped
