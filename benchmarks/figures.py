"""Figures by name, with median, spread and required value, as a table and as JSON."""

import json
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HEAD = "| measure | median | spread | unit | wanted | met |\n|---|--:|--:|---|---|---|"

_MEETS: Mapping[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, "=": operator.eq}
_WIDE, _MIDDLE = 100, 10
"""From here on no decimal, and one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound on the median."""

    sign: str
    value: float

    def met(self, value: float) -> bool:
        """Return whether a value is within the bound."""
        return _MEETS[self.sign](value, self.value)

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


def at_least(value: float) -> Wanted:
    """Return a lower bound."""
    return Wanted(">=", value)


def at_most(value: float) -> Wanted:
    """Return an upper bound."""
    return Wanted("<=", value)


def exactly(value: float) -> Wanted:
    """Return a bound that only this value meets."""
    return Wanted("=", value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure over several rounds."""

    name: str
    unit: str
    values: tuple[float, ...]
    wanted: Wanted | None = None

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median is within the bound, or None without one."""
        return self.wanted.met(self.median) if self.wanted else None

    def row(self) -> str:
        """Write a row of a Markdown table."""
        spread = f"{_short(min(self.values))} .. {_short(max(self.values))}" if len(self.values) > 1 else ""
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return f"| {self.name} | {_short(self.median)} | {spread} | {self.unit} | {self.wanted or ''} | {met} |"

    def plain(self) -> dict[str, object]:
        """Return the figure as JSON values."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "least": min(self.values),
            "most": max(self.values),
            "rounds": list(self.values),
            "wanted": str(self.wanted) if self.wanted else None,
            "met": self.met,
        }


@dataclass(slots=True)
class Figures:
    """All measures of a run, in order; each is printed as soon as it is known."""

    print_line: Callable[[str], None]
    items: list[Figure] = field(default_factory=list)

    def add(self, name: str, unit: str, values: Sequence[float], wanted: Wanted | None = None) -> None:
        """Store a measure and print it; one without values was too small for the clock, and is only printed."""
        if not values:
            self.print_line(f"| {name} | too little to measure | | {unit} | {wanted or ''} | |")
            return
        figure = Figure(name, unit, tuple(values), wanted)
        self.items.append(figure)
        self.print_line(figure.row())

    def write(self, file: Path, circumstances: Mapping[str, object]) -> None:
        """Write everything as JSON."""
        document = {**circumstances, "figures": [item.plain() for item in self.items]}
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def ratios(ours: Sequence[float], floor: Sequence[float]) -> list[float]:
    """Return the ratio of each round, so that whatever slows both down at the same time cancels out.

    Processor time is counted in hundredths of a second: a round in which it was none cannot be divided by.
    """
    return [one / other for one, other in zip(ours, floor, strict=True) if other]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent do not exceed."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _short(value: float) -> str:
    if abs(value) >= _WIDE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _MIDDLE else f"{value:.3f}".rstrip("0").rstrip(".")
