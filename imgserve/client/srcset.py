"""The candidates of a `srcset`: widths and densities, none beyond the size of the original."""

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
        """Return the plan of widths or of densities; raise ValueError for both, or for a negative side."""
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

        Raises ValueError if the parameters leave no choice, or a width or density is out of range.
        """
        if self.widths:
            return self._by_width(values)
        return self._by_density(values) if self.densities else []

    def size(self, values: Mapping[str, Any]) -> Sides:
        """Return the size of a picture; unknown where the default preset applies."""
        return _UNKNOWN if values.keys() <= _LEFT_TO_DEFAULT else size_of(values, self.original)

    def _by_width(self, values: Mapping[str, Any]) -> list[Candidate]:
        """Return a picture for each width, described by the width that it will have, and none twice."""
        if conflicting := sorted({"width", "dpr"} & values.keys()):
            raise ValueError(f"widths: expected no {' and '.join(conflicting)} as well")
        widths, transform = _ascending("widths", map(index, self.widths), MAX_SIDE), transform_of(values)
        widest, _ = shown_size(*self.original, transform)
        if widest is not None and not transform.enlarge and widths[-1] > widest:
            widths = [*(width for width in widths if width < widest), widest]
        found = dict[int, Candidate]()
        for width in widths:
            actual = size_of({**values, "width": width}, self.original)[0] or width
            exact = size_of({**values, "width": actual}, self.original)[0] == actual
            found.setdefault(actual, Candidate({**values, "width": actual if exact else width}, f"{actual}w"))
        return list(found.values())

    def _by_density(self, values: Mapping[str, Any]) -> list[Candidate]:
        """Return a picture for each density; the densest that the original has pixels for replaces all beyond it."""
        if "dpr" in values:
            raise ValueError("densities: expected no dpr as well")
        if not {"width", "height", "preset"} & values.keys():
            raise ValueError("densities: expected a width, a height or a preset as well")
        steps = _ascending("densities", (round(float(step), DECIMALS) for step in self.densities), MAX_DPR)
        full = [step for step in steps if self._is_full(values, step)]
        if len(full) < len(steps):
            actual, _ = self._sizes_at(values, steps[len(full)])
            _, single = self._sizes_at(values, 1)
            ratios = [have / need for have, need in zip(actual, single, strict=True) if have and need]
            densest = math.floor(100 * min(ratios)) / 100
            # An original smaller than the page shows it has one picture, shown as small as it is.
            full = [*full, densest] if full and densest > full[-1] else full or [max(1.0, densest)]
        return [Candidate(values if step == 1 else {**values, "dpr": step}, f"{step:g}x") for step in full]

    def _is_full(self, values: Mapping[str, Any], density: float) -> bool:
        """Return whether the original limits nothing at a density; a fraction of it never exceeds it."""
        actual, unlimited = self._sizes_at(values, density)
        return actual == unlimited or any(isinstance(values.get(name), float) for name in ("width", "height"))

    def _sizes_at(self, values: Mapping[str, Any], density: float) -> tuple[Sides, Sides]:
        """Return the size at a density, for this original and for one of its shape that limits nothing."""
        dense = {**values, "dpr": density}
        width, height = shown_size(*self.original, transform_of(values))
        boundless = (width and width * _BOUNDLESS, height and height * _BOUNDLESS)
        whole = {name: value for name, value in dense.items() if name not in _SHOWING}
        return size_of(dense, self.original), size_of(whole, boundless)


def width_ladder(least: int = 100, most: int = MAX_SIDE, *, tolerance: float = 0.08) -> tuple[int, ...]:
    """Return widths of which one is always within the tolerance of any width that a screen needs.

    Each is `1 + 2 * tolerance` times the one before; the last is `most`.

    Raises ValueError if the widths or the tolerance are out of range.
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


def _ascending(name: str, steps: Iterable[float], most: float) -> list[Any]:
    ascending = sorted(set(steps))
    if not ascending or not 0 < ascending[0] <= ascending[-1] <= most:
        raise ValueError(f"{name}: expected numbers above 0 and up to {most}, but received {ascending}")
    return ascending


def size_of(values: Mapping[str, Any], original: Sides) -> Sides:
    """Return the size of a picture of an original as far as known; only the server knows the sizes of presets."""
    return _UNKNOWN if "preset" in values else rendition_size(*original, transform_of(values))
