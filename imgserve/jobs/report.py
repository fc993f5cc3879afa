"""Delimited text for spreadsheet programs, and what an analysis found."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from imgserve.jobs.table import Mistake, Table, TableLimits, TableRow

_BOM = "\ufeff"
"""By which Excel recognizes UTF-8."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LINES = 500
_FIRST_ROWS = 100
_MOST_MISTAKES = 10_000


def neutral(cell: str) -> str:
    """Return a cell that no spreadsheet program evaluates as a formula, which could run commands."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def csv_text(rows: Iterable[Sequence[object]], *, first: bool = False) -> bytes:
    """Return rows as CSV; cells that look like formulas are neutralized. The first rows of a file mark it as UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[neutral(str(cell)) for cell in row] for row in rows])
    return ((_BOM if first else "") + text.getvalue()).encode()


def csv_pieces(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Yield rows as CSV in pieces of some hundred lines."""
    left, first = iter(rows), True
    while some := list(islice(left, _LINES)):
        yield csv_text(some, first=first)
        first = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is in a table."""

    table: Table
    mistakes: list[Mistake]
    """The first ones."""
    first_rows: list[TableRow]


def analyze(file: BinaryIO, limits: TableLimits) -> Analysis:
    """Return what is in a table, after some seconds for a large one; raises as `Table.rows`."""
    table, mistakes, first_rows = Table(file, limits), list[Mistake](), list[TableRow]()
    for row in table.rows():
        if len(first_rows) < _FIRST_ROWS:
            first_rows.append(row)
        if len(mistakes) < _MOST_MISTAKES:
            mistakes += row.mistakes
    return Analysis(table, mistakes, first_rows)


def mistake_rows(file: BinaryIO, limits: TableLimits) -> Iterator[Sequence[object]]:
    """Yield every mistake in a table as a row, with headers; raises as `Table.rows`."""
    yield "Line", "Column", "Value", "Reason"
    for row in Table(file, limits).rows():
        for mistake in row.mistakes:
            yield mistake.line, mistake.column, mistake.value, mistake.reason
