"""Which widths and densities a page offers of one picture: steps that are worth it, none that would not be kept."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

from imgserve.client.size import UNKNOWN, Extent, picture_extent, shown_extent
from imgserve.transform import DECIMALS, MAX_DPR, MAX_SIDE, transform_of

_LEFT_TO_DEFAULT = frozenset({"dpr", "download"})
"""With nothing but these, the server applies its default preset."""
_SHOWING = frozenset({"rect", "rotate", "orient"})
"""Attributes that decide what of the original is shown, before any size."""
_BOUNDLESS = 1000
"""How much larger an original is than one that could bound a picture."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture among those that a browser may choose from."""

    values: Mapping[str, Any]
    """Parameters by attribute."""
    descriptor: str


@dataclass(frozen=True, slots=True)
class Offer:
    """How many pictures a browser may choose from: one, or several by width or by density."""

    widths: tuple[int, ...] = ()
    densities: tuple[float, ...] = ()
    original: Extent = UNKNOWN
    """Upright."""

    def __post_init__(self) -> None:
        if self.widths and self.densities:
            raise ValueError("srcset: expected widths or densities, but received both")

    def candidates(self, values: Mapping[str, Any]) -> list[Candidate]:
        """Give the pictures, the smallest first; none where there is only one.

        Raises:
            ValueError: the parameters leave nothing to choose, or a step is none.
        """
        if self.widths:
            return _by_width(values, self.widths, self.original)
        return _by_density(values, self.densities, self.original) if self.densities else []

    def extent(self, values: Mapping[str, Any]) -> Extent:
        """Tell the size of a picture, as far as known; what a preset adds to it is known to the server alone."""
        if "preset" in values or values.keys() <= _LEFT_TO_DEFAULT:
            return UNKNOWN
        return picture_extent(transform_of(values), self.original)


def width_ladder(least: int = 100, most: int = MAX_SIDE, *, tolerance: float = 0.08) -> tuple[int, ...]:
    """Give widths of which no screen needs one that is further off than the tolerance, up or down.

    Each is `1 + 2 * tolerance` times the one before; the last is `most`.

    Raises:
        ValueError: the widths or the tolerance are none.
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


def _by_width(values: Mapping[str, Any], widths: Iterable[int], original: Extent) -> list[Candidate]:
    """Give a picture for each width, described by the width that it will have, and none twice."""
    if beside := sorted({"width", "dpr"} & values.keys()):
        raise ValueError(f"widths: expected no {' and '.join(beside)} beside them")
    found = dict[int, Candidate]()
    for width in _kept(values, _ascending("widths", map(index, widths), MAX_SIDE), original):
        made = _made({**values, "width": width}, original).width or width
        asked = {**values, "width": made if _made({**values, "width": made}, original).width == made else width}
        found.setdefault(made, Candidate(asked, f"{made}w"))
    return list(found.values())


def _by_density(values: Mapping[str, Any], densities: Iterable[float], original: Extent) -> list[Candidate]:
    """Give a picture for each density; the densest that the original has takes the place of all beyond it."""
    if "dpr" in values:
        raise ValueError("densities: expected no dpr beside them")
    if not {"width", "height", "preset"} & values.keys():
        raise ValueError("densities: expected a width, a height or a preset beside them")
    steps = _ascending("densities", (round(float(step), DECIMALS) for step in densities), MAX_DPR)
    full = [step for step in steps if _is_full(values, step, original)]
    if len(full) < len(steps):
        most = _most_dense(values, steps[len(full)], original)
        # Of an original smaller than the page wants it, there is one picture, shown as small as it is.
        full = [*full, most] if full and most > full[-1] else full or [max(1.0, most)]
    return [_dense(values, step) for step in full]


def _ascending(name: str, steps: Iterable[float], most: float) -> list[Any]:
    ascending = sorted(set(steps))
    if not ascending or not 0 < ascending[0] <= ascending[-1] <= most:
        raise ValueError(f"{name}: expected numbers above 0 and up to {most}, but received {ascending}")
    return ascending


def _made(values: Mapping[str, Any], original: Extent) -> Extent:
    return UNKNOWN if "preset" in values else picture_extent(transform_of(values), original)


def _kept(values: Mapping[str, Any], widths: list[int], original: Extent) -> list[int]:
    """Replace all that is wider than the original by its own width."""
    transform = transform_of(values)
    widest = shown_extent(transform, original).width
    if widest is None or transform.enlarge or widths[-1] <= widest:
        return widths
    return [*(width for width in widths if width < widest), widest]


def _dense(values: Mapping[str, Any], density: float) -> Candidate:
    plain = density == 1
    return Candidate(values if plain else {**values, "dpr": density}, f"{density:g}x")


def _densities(values: Mapping[str, Any], density: float, original: Extent) -> tuple[Extent, Extent]:
    """Tell what a density gives of this original, and of one of its shape that bounds nothing."""
    asked = {**values, "dpr": density}
    shown = shown_extent(transform_of(values), original)
    boundless = Extent(*(side and side * _BOUNDLESS for side in (shown.width, shown.height)))
    whole = {name: value for name, value in asked.items() if name not in _SHOWING}
    return _made(asked, original), _made(whole, boundless)


def _has_fraction(values: Mapping[str, Any]) -> bool:
    return any(isinstance(values.get(name), float) for name in ("width", "height"))


def _is_full(values: Mapping[str, Any], density: float, original: Extent) -> bool:
    made, wanted = _densities(values, density, original)
    return made == wanted or _has_fraction(values)


def _most_dense(values: Mapping[str, Any], density: float, original: Extent) -> float:
    """Tell the density, in hundredths, of the largest picture that the original gives."""
    made, _ = _densities(values, density, original)
    _, single = _densities(values, 1, original)
    ratios = [have / need for have, need in ((made.width, single.width), (made.height, single.height)) if have and need]
    return math.floor(100 * min(ratios)) / 100
