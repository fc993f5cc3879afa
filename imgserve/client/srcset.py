"""The candidates of a `srcset`: widths and densities, none beyond what the original gives."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

from imgserve.geometry.plan import rendition_size, shown_size
from imgserve.transform import DECIMALS, MAX_DPR, MAX_SIDE, transform_of

Sides = tuple[int | None, int | None]
"""Width and height in pixels, each if known."""
_UNKNOWN: Sides = (None, None)
_LEFT_TO_DEFAULT = frozenset({"dpr", "download"})
"""With only these, the server applies its default preset."""
_SHOWING = frozenset({"rect", "rotate", "orient"})
"""Attributes that select what of the original is shown, before any size applies."""
_BOUNDLESS = 1000
"""How much larger an original is than one that could limit a picture."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture that a browser may choose."""

    values: Mapping[str, Any]
    """Parameters by attribute."""
    descriptor: str


@dataclass(frozen=True, slots=True)
class SrcsetPlan:
    """Which pictures a browser may choose from: one, or several by width or by density."""

    widths: tuple[int, ...]
    densities: tuple[float, ...]
    original: Sides
    """Upright."""

    @classmethod
    def of(
        cls, widths: Iterable[int], densities: Iterable[float], original_width: int | None, original_height: int | None
    ) -> "SrcsetPlan":
        """Return the plan of widths or of densities.

        Raises:
            ValueError: both are given, or a side of the original is negative.
        """
        if min(original_width or 0, original_height or 0) < 0:
            given = f"{original_width} and {original_height}"
            raise ValueError(f"original: expected a width and a height above 0, but received {given}")
        # 0, as in the record of an image whose size was not found, is unknown.
        plan = cls(tuple(widths), tuple(densities), (original_width or None, original_height or None))
        if plan.widths and plan.densities:
            raise ValueError("srcset: expected widths or densities, but received both")
        return plan

    def candidates(self, values: Mapping[str, Any]) -> list[Candidate]:
        """Return the pictures, the smallest first; none if there is only one picture.

        Raises:
            ValueError: the parameters leave no choice, or a width or density is out of range.
        """
        if self.widths:
            return _by_width(values, self.widths, self.original)
        return _by_density(values, self.densities, self.original) if self.densities else []

    def size(self, values: Mapping[str, Any]) -> Sides:
        """Return the size of a picture as far as known; only the server knows the sizes of presets."""
        if "preset" in values or values.keys() <= _LEFT_TO_DEFAULT:
            return _UNKNOWN
        return _size(values, self.original)


def width_ladder(least: int = 100, most: int = MAX_SIDE, *, tolerance: float = 0.08) -> tuple[int, ...]:
    """Return widths of which one is always within the tolerance of any width that a screen needs.

    Each is `1 + 2 * tolerance` times the one before; the last is `most`.

    Raises:
        ValueError: the widths or the tolerance are out of range.
    """
    if not 1 <= least <= most:
        raise ValueError(f"widths: expected 1 <= least <= most, but received {least} and {most}")
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance: expected a number above 0, but received {tolerance}")
    widths, width = list[int](), float(least)
    while round(width) < most:
        widths.append(round(width))
        width = max(width * (1 + 2 * tolerance), widths[-1] + 1.0)
    return (*widths, most)


def _by_width(values: Mapping[str, Any], widths: Iterable[int], original: Sides) -> list[Candidate]:
    """Return a picture for each width, described by the width that it will have, and none twice."""
    if conflicting := sorted({"width", "dpr"} & values.keys()):
        raise ValueError(f"widths: expected no {' and '.join(conflicting)} as well")
    found = dict[int, Candidate]()
    for width in _capped(values, _ascending("widths", map(index, widths), MAX_SIDE), original):
        actual = _size({**values, "width": width}, original)[0] or width
        exact = _size({**values, "width": actual}, original)[0] == actual
        found.setdefault(actual, Candidate({**values, "width": actual if exact else width}, f"{actual}w"))
    return list(found.values())


def _by_density(values: Mapping[str, Any], densities: Iterable[float], original: Sides) -> list[Candidate]:
    """Return a picture for each density; the densest that the original gives replaces all beyond it."""
    if "dpr" in values:
        raise ValueError("densities: expected no dpr as well")
    if not {"width", "height", "preset"} & values.keys():
        raise ValueError("densities: expected a width, a height or a preset as well")
    steps = _ascending("densities", (round(float(step), DECIMALS) for step in densities), MAX_DPR)
    full = [step for step in steps if _is_full(values, step, original)]
    if len(full) < len(steps):
        most = _most_dense(values, steps[len(full)], original)
        # An original smaller than the page shows it gives one picture, shown as small as it is.
        full = [*full, most] if full and most > full[-1] else full or [max(1.0, most)]
    return [_dense(values, step) for step in full]


def _ascending(name: str, steps: Iterable[float], most: float) -> list[Any]:
    ascending = sorted(set(steps))
    if not ascending or not 0 < ascending[0] <= ascending[-1] <= most:
        raise ValueError(f"{name}: expected numbers above 0 and up to {most}, but received {ascending}")
    return ascending


def _size(values: Mapping[str, Any], original: Sides) -> Sides:
    return _UNKNOWN if "preset" in values else rendition_size(*original, transform_of(values))


def _capped(values: Mapping[str, Any], widths: list[int], original: Sides) -> list[int]:
    """Return the widths, with those beyond the original replaced by its own width."""
    transform = transform_of(values)
    widest, _ = shown_size(*original, transform)
    if widest is None or transform.enlarge or widths[-1] <= widest:
        return widths
    return [*(width for width in widths if width < widest), widest]


def _dense(values: Mapping[str, Any], density: float) -> Candidate:
    plain = density == 1
    return Candidate(values if plain else {**values, "dpr": density}, f"{density:g}x")


def _sizes_at(values: Mapping[str, Any], density: float, original: Sides) -> tuple[Sides, Sides]:
    """Return the size at a density, for this original and for one of its shape that limits nothing."""
    dense = {**values, "dpr": density}
    width, height = shown_size(*original, transform_of(values))
    boundless = (width and width * _BOUNDLESS, height and height * _BOUNDLESS)
    whole = {name: value for name, value in dense.items() if name not in _SHOWING}
    return _size(dense, original), _size(whole, boundless)


def _has_fraction(values: Mapping[str, Any]) -> bool:
    return any(isinstance(values.get(name), float) for name in ("width", "height"))


def _is_full(values: Mapping[str, Any], density: float, original: Sides) -> bool:
    actual, unlimited = _sizes_at(values, density, original)
    return actual == unlimited or _has_fraction(values)


def _most_dense(values: Mapping[str, Any], density: float, original: Sides) -> float:
    """Return the density, in hundredths, of the largest picture that the original gives."""
    actual, _ = _sizes_at(values, density, original)
    _, single = _sizes_at(values, 1, original)
    ratios = [have / need for have, need in zip(actual, single, strict=True) if have and need]
    return math.floor(100 * min(ratios)) / 100
