"""The completed table of an import: its rows with the URLs of the outputs, as CSV, XLSX or JSON."""

import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from anyio import to_thread

from imgserve.catalog import ImportRow, Imports, StoredItem, StoredJob
from imgserve.jobs.report import csv_text, neutral
from imgserve.jobs.urls import OutputUrls

_ADDED = ("Output Image Urls", "Status", "Reason")
_BATCH = 500
_PIECE = 1 << 16
_CELL_CHARACTERS = 32_767
"""The limit of XLSX."""


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
        yield csv_text([[*job.headers, *_ADDED]], first=True)
        async for rows in self._batches(job, address):
            yield csv_text(row.all_cells for row in rows)

    async def json(self, job: StoredJob, address: str) -> AsyncGenerator[bytes]:
        """Yield a list of objects; the URLs of an image are a list."""
        start = b"[\n"
        async for rows in self._batches(job, address):
            objects = (
                dict(zip([*job.headers, *_ADDED], [*row.cells, row.urls, row.status, row.reason], strict=True))
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

            write([[*job.headers, *_ADDED]])
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
