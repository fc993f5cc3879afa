"""Writes the tables of the reference in docs/ from the code: `python -m tests.docs`. A test compares them."""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry

from imgserve.config import Config
from imgserve.config.table import table
from imgserve.errors import every_error
from imgserve.formats import FORMATS
from imgserve.metrics import Metrics
from imgserve.transform.examples import example_of
from imgserve.transform.parameters import GROUPS, PICTURE_GROUPS
from imgserve.transform.presets import LOOKS
from tests.examples import example_file, write_examples

REFERENCE = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
_TABLE = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _rows(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _yes(value: object) -> str:
    return "yes" if value else "-"


def parameters_table() -> str:
    """Return the table of URL parameters, with a row that begins each group."""
    lines = list[tuple[str, ...]]()
    for group, rows in GROUPS.items():
        lines += [(f"**{group}**", "", "", "", "")]
        lines += [
            (
                f"`{row.name}`",
                ", ".join(f"`{alias}`" for alias in row.aliases) or "-",
                row.kind.expects.replace("{max_side}", "8192"),
                row.default,
                f"{row.meaning} E.g. `{row.name}={row.example}`",
            )
            for row in rows
        ]
    return _rows(("name", "short", "value", "default", "meaning"), lines)


def settings_table() -> str:
    """Return the table of settings: name, default, environment variable, meaning."""
    lines = list[tuple[str, ...]]()
    for row in table(Config):
        if not row.section:
            default, meaning = (text.replace("|", "\\|") for text in (row.written, row.help))
            variables = [row.environment, *([row.file_variable] if row.secret else [])]
            code = f"`{default}`" if default else ""
            lines.append((f"`{row.name}`", code, ", ".join(f"`{name}`" for name in variables), meaning))
    return _rows(("setting", "default", "environment", "meaning"), lines)


def looks_table() -> str:
    """Return the table of built-in looks."""
    return _rows(("look", "parameters"), ((f"`{name}`", f"`{query}`") for name, query in LOOKS.items()))


def formats_table() -> str:
    """Return the table of formats."""
    head = ("format", "media type", "extensions", "written", "alpha", "animation", "default quality", "extra")
    return _rows(
        head,
        (
            (
                f"`{item.name}`",
                f"`{item.media_type}`",
                ", ".join(item.extensions),
                _yes(item.writable),
                _yes(item.alpha),
                _yes(item.animation),
                item.quality or "-",
                f"`{item.extra}`" if item.extra else "-",
            )
            for item in FORMATS.values()
        ),
    )


def errors_table() -> str:
    """Return the table of errors that a client can receive."""
    rows = ((kind.status, f"`{kind.code}`", (kind.__doc__ or "").strip()) for kind in every_error())
    return _rows(("status", "code", "meaning"), rows)


def metrics_table() -> str:
    """Return the table of metrics, with the names that a scraper sees."""
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


def examples_table() -> str:
    """Return the rendered examples of all parameters, with a row that begins each group."""
    lines = list[tuple[str, str]]()
    for group, rows in PICTURE_GROUPS.items():
        lines.append((f"**{group}**", ""))
        for row in rows:
            example = example_of(row)
            picture = f"![{row.name}](../static/examples/{example_file(row).name})"
            lines.append((picture, f"`{example.picture}?{example.query}`<br>{row.meaning}"))
    return _rows(("picture", "query"), lines)


TABLES = {
    "examples": examples_table,
    "parameters": parameters_table,
    "looks": looks_table,
    "settings": settings_table,
    "formats": formats_table,
    "errors": errors_table,
    "metrics": metrics_table,
}


def with_tables(text: str) -> str:
    """Return a document with current tables."""
    return _TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]().rstrip()}\n{found[3]}", text)


if __name__ == "__main__":
    write_examples()
    for document in REFERENCE:
        document.write_text(with_tables(document.read_text(encoding="utf-8")), encoding="utf-8")
