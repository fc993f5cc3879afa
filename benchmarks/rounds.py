"""Figures of several rounds, printed as rows of a table while they are measured, and stored for JSON."""

import json
import os
import platform
import statistics
import time
from pathlib import Path

HEAD = "| measure | median | spread | unit | wanted |\n|---|--:|--:|---|---|"


class Rounds:
    """All measures of a run, in order."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, object]] = {}

    def add(self, name: str, unit: str, *values: float, wanted: str = "") -> None:
        """Store a measure and print it."""
        median = statistics.median(values)
        spread = f"{min(values):.4g} .. {max(values):.4g}" if len(values) > 1 else ""
        self._kept[name] = {"unit": unit, "median": median, "rounds": values}
        print(f"| {name} | {median:.4g} | {spread} | {unit} | {wanted} |", flush=True)

    def write(self, file: Path) -> None:
        """Write everything as JSON."""
        file.write_text(json.dumps({"machine": machine(), "figures": self._kept}, indent=1) + "\n", encoding="utf-8")


def machine() -> str:
    """Return the time and the machine."""
    load = f"load before {os.getloadavg()[0]:.1f}"
    return f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, Python {platform.python_version()}, {load}"
