"""Writes the tables of USAGE.md from the code: `python -m tests.docs`. A test compares what is committed."""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry

from imgserve.config import markdown_table as settings_table
from imgserve.errors import every_error
from imgserve.formats import FORMATS
from imgserve.metrics import Metrics
from imgserve.transform import markdown_table as parameters_table

USAGE = Path(__file__).parents[1] / "USAGE.md"
_TABLE = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _rows(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _yes(value: object) -> str:
    return "yes" if value else "-"


def formats_table() -> str:
    """Write a row a format."""
    head = ("format", "media type", "extensions", "in", "out", "alpha", "animation", "default quality")
    return _rows(
        head,
        (
            (
                f"`{item.name}`",
                f"`{item.media_type}`",
                ", ".join(item.extensions),
                _yes(item.readable),
                _yes(item.writable),
                _yes(item.alpha),
                _yes(item.animation),
                item.quality or "-",
            )
            for item in FORMATS.values()
        ),
    )


def errors_table() -> str:
    """Write a row an error that a client can meet."""
    rows = ((kind.status, f"`{kind.code}`", (kind.__doc__ or "").strip()) for kind in every_error())
    return _rows(("status", "code", "meaning"), rows)


def metrics_table() -> str:
    """Write a row a metric, named as it is scraped."""
    registry = CollectorRegistry()
    declared = {metric._name: metric for metric in vars(Metrics(registry)).values() if hasattr(metric, "_labelnames")}
    return _rows(
        ("metric", "kind", "labels", "meaning"),
        (
            (
                f"`{name}{'_total' if metric._type == 'counter' else ''}`",
                metric._type,
                ", ".join(f"`{label}`" for label in metric._labelnames) or "-",
                metric._documentation,
            )
            for name, metric in declared.items()
        ),
    )


TABLES = {
    "parameters": parameters_table,
    "settings": settings_table,
    "formats": formats_table,
    "errors": errors_table,
    "metrics": metrics_table,
}


def written(text: str) -> str:
    """Put every table in its place."""
    return _TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]().rstrip()}\n{found[3]}", text)


if __name__ == "__main__":
    USAGE.write_text(written(USAGE.read_text(encoding="utf-8")), encoding="utf-8")
