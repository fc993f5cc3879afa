"""What was measured: figures by name with median and spread, as a table and as JSON."""

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measure over several rounds."""

    name: str
    unit: str
    values: tuple[float, ...]
    wanted: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def row(self) -> str:
        """Write a row of a Markdown table."""
        spread = f"{_short(min(self.values))} .. {_short(max(self.values))}" if len(self.values) > 1 else ""
        return f"| {self.name} | {_short(self.median)} | {spread} | {self.unit} | {self.wanted} |"


@dataclass
class Figures:
    """All measures of a run, in order."""

    items: list[Figure] = field(default_factory=list)

    def add(self, name: str, unit: str, *values: float, wanted: str = "") -> None:
        """Keep a measure and print it."""
        figure = Figure(name, unit, values, wanted)
        self.items.append(figure)
        print(figure.row(), flush=True)

    def write(self, file: Path) -> None:
        """Write everything as JSON."""
        figures = {item.name: {"unit": item.unit, "median": item.median, "rounds": item.values} for item in self.items}
        file.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n", encoding="utf-8")


HEAD = "| measure | median | spread | unit | wanted |\n|---|--:|--:|---|---|"


def machine() -> str:
    """Tell when and on what this runs."""
    load = f"load before {os.getloadavg()[0]:.1f}"
    return f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, Python {platform.python_version()}, {load}"


def ratios(ours: list[float], floor: list[float]) -> list[float]:
    """Divide round by round, so that what slows both down at a time cancels out."""
    return [one / other for one, other in zip(ours, floor, strict=True)]


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}".rstrip("0").rstrip(".")
