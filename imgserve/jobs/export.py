"""The completed table of an import: its rows with the URLs of the outputs, as CSV, XLSX or JSON."""

import csv
import io
import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, cast

from anyio import to_thread

from imgserve.access.sites import Sites
from imgserve.catalog import ImportRow, Imports, StoredItem, StoredJob
from imgserve.client import ImageUrls
from imgserve.errors import BadTransform
from imgserve.jobs.table import RESULTS

_BATCH = 500
_PIECE = 1 << 16
_CELL_CHARACTERS = 32_767
"""The limit of XLSX."""
_BOM = "\ufeff"
"""By which Excel recognizes UTF-8."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LINES = 500


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
class OutputUrls:
    """URLs of the outputs of imports, signed where URLs can be signed."""

    sites: Sites
    public: str
    """The address of the server; empty for that of each request."""
    prefix: str

    def url(self, item: StoredItem, output: str, address: str = "") -> str:
        """Return the URL of the output of a stored item; empty if it has none, or the parameters are no longer valid.

        `address` is that of the request, for a server without a public one.
        """
        if item.state not in {"stored", "duplicate"}:
            return ""
        secrets = self.sites.find(b"", item.image_id)[0].rules.secrets
        urls = ImageUrls((self.public or address) + self.prefix, secret=secrets[0] if secrets else None)
        try:
            return urls.with_query(output).url(item.image_id)
        except BadTransform:
            return ""


@dataclass(frozen=True, slots=True)
class CompletedRow:
    """A row of the table, and what became of its images."""

    cells: Sequence[str]
    urls: list[str]
    status: str
    """The state of its images, `partial` if they have different ones, `invalid` if it has none."""
    reason: str

    @property
    def all_cells(self) -> list[str]:
        """All cells of the completed row."""
        return [*self.cells, ", ".join(self.urls), self.status, self.reason]


@dataclass(frozen=True, slots=True)
class Export:
    """Writes completed tables with little in memory."""

    imports: Imports
    urls: OutputUrls

    async def csv(self, job: StoredJob, address: str) -> AsyncGenerator[bytes]:
        """Yield CSV in UTF-8."""
        yield csv_text([[*job.headers, *RESULTS]], first=True)
        async for rows in self._batches(job, address):
            yield csv_text(row.all_cells for row in rows)

    async def json(self, job: StoredJob, address: str) -> AsyncGenerator[bytes]:
        """Yield a list of objects; the URLs of an image are a list."""
        start = b"[\n"
        async for rows in self._batches(job, address):
            objects = (
                dict(zip([*job.headers, *RESULTS], [*row.cells, row.urls, row.status, row.reason], strict=True))
                for row in rows
            )
            yield start + b",\n".join(json.dumps(one, ensure_ascii=False).encode() for one in objects)
            start = b",\n"
        yield b"\n]\n" if start == b",\n" else b"[]\n"

    async def xlsx(self, job: StoredJob, address: str) -> AsyncGenerator[bytes]:
        """Yield a workbook, after it was written to a temporary file."""
        import xlsxwriter  # noqa: PLC0415  few servers write any workbook

        with cast("BinaryIO", tempfile.TemporaryFile()) as file:
            book = xlsxwriter.Workbook(file, {"constant_memory": True, "strings_to_urls": False})
            sheet, number = book.add_worksheet(), 0

            def write(rows: list[list[str]]) -> None:
                for line, cells in enumerate(rows, number):
                    for column, cell in enumerate(cells):
                        sheet.write_string(line, column, neutral(cell)[:_CELL_CHARACTERS])

            write([[*job.headers, *RESULTS]])
            number = 1
            async for rows in self._batches(job, address):
                await to_thread.run_sync(write, [row.all_cells for row in rows])
                number += len(rows)
            await to_thread.run_sync(book.close)
            file.seek(0)
            while piece := await to_thread.run_sync(file.read, _PIECE):
                yield piece

    async def _batches(self, job: StoredJob, address: str) -> AsyncIterator[list[CompletedRow]]:
        after = -1
        while rows := await self.imports.rows(job.job_id, after=after, limit=_BATCH):
            items = await self.imports.numbered(job.job_id, {number for row in rows for number in row.items})
            yield [self._completed(row, items, job, address) for row in rows]
            after = rows[-1].number

    def _completed(self, row: ImportRow, items: Mapping[int, StoredItem], job: StoredJob, address: str) -> CompletedRow:
        own = [items[number] for number in row.items if number in items]
        states = {item.state for item in own}
        status = "invalid" if not states else states.pop() if len(states) == 1 else "partial"
        reasons = dict.fromkeys([row.reason, *(item.reason for item in own)])
        urls = [url for item in own if (url := self.urls.url(item, job.output, address))]
        return CompletedRow(row.cells, urls, status, "; ".join(filter(None, reasons)))
