"""Endpoints that analyze tables of image URLs before an import."""

import contextlib
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import BinaryIO, Literal, cast

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.errors import BadRequest, BodyTooLarge
from imgserve.http.headers import content_disposition
from imgserve.http.multipart import FormReader, PartHead
from imgserve.jobs.export import csv_pieces
from imgserve.jobs.table import SAMPLES, Mistake, TableLimits, Totals, analyze, mistake_rows
from imgserve.web.api.endpoint import JSON, Answer, Body, Call, endpoint
from imgserve.web.api.messages import Reply, ResponseModel, body_pieces, media_type
from imgserve.web.api.requests import RequestModel
from imgserve.web.api.upload_body import check_length
from imgserve.web.original import Streamed

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_FORM = "multipart/form-data"
import_endpoint = partial(endpoint, tag="imports")
_IN_MEMORY = 1 << 20
_FORM_ROOM = 1 << 16
"""Bytes of a form in addition to its file."""
_ROWS = {"type": "array", "items": {"type": "object"}}
_FILE = {"type": "string", "format": "binary", "description": "The table; its type is detected from its content."}
TABLE_BODIES = (
    Body(_FORM, {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}),
    Body(CSV, {"type": "string"}, "Product Number,Image Src\nA-100,https://www.example.com/shoe.jpg\n"),
    Body(XLSX, _FILE),
    Body(JSON, _ROWS, [{"Product Number": "A-100", "Image Src": "https://www.example.com/shoe.jpg"}]),
)
"""Types of body with a table."""


class MistakeOut(ResponseModel, record=Mistake):
    """What is wrong with a cell."""


class FirstRow(ResponseModel):
    """One of the first rows."""

    line: int
    """The line of the file, or the number of the object in JSON."""
    cells: list[str]
    """Its cells, in the order of the headers."""
    product: str
    """The product as a part of image ids; empty if the row is invalid."""


class AnalysisOut(ResponseModel, record=Totals):
    """What is in a table."""

    headers: list[str]
    """Headers of its columns; those of a table without headers are `Product Number` and `Image Src`."""
    mistakes: list[MistakeOut]
    """What is wrong, up to 10,000 entries; the CSV has all."""
    first_rows: list[FirstRow]
    """The first 100 rows."""


class AnalysisOptions(RequestModel):
    """How to respond."""

    report: Literal["json", "csv"] = "json"
    """CSV lists every mistake."""


class SampleOptions(RequestModel):
    """Which sample."""

    form: Literal["numbers", "names"] = "numbers"
    """Products by number with one URL in a row, or by name with several URLs in a cell."""


@dataclass(frozen=True, slots=True)
class ImportInput:
    """Endpoints of tables."""

    limits: TableLimits
    max_bytes: int

    @import_endpoint(
        "POST",
        "/api/imports/analyze",
        Scope.IMPORT,
        "Analyze a table of image URLs",
        bodies=TABLE_BODIES,
        errors=[BodyTooLarge],
        answers={200: Answer("What is in the table.", AnalysisOut, [JSON, CSV])},
    )
    async def analyze(self, query: AnalysisOptions, call: Call) -> Reply | Response:
        """Report the products, the images and every mistake in a table, which is not stored.

        The body is pasted text or a file: CSV with commas, semicolons or tabs, XLSX, or a JSON list of objects.
        """
        file = await receive_table(call.request, self.max_bytes)
        if query.report == "csv":
            return await _csv(csv_pieces(mistake_rows(file, self.limits)), "mistakes.csv", file)
        with file:
            found = await to_thread.run_sync(analyze, file, self.limits)
        lists = {"headers": found.table.headers, "mistakes": found.mistakes, "first_rows": found.first_rows}
        return Reply(AnalysisOut.model_validate({**asdict(found.table.totals), **lists}))

    @import_endpoint(
        "GET",
        "/api/imports/sample.csv",
        Scope.IMPORT,
        "Download a sample table",
        answers={200: Answer("The table.", media_types=[CSV])},
    )
    async def sample(self, query: SampleOptions) -> Response:
        """Return a table that an import accepts."""
        return await _csv(csv_pieces(SAMPLES[query.form]), "sample.csv")


async def receive_table(request: Request, max_bytes: int) -> BinaryIO:
    """Return the body, or the only field of its form, as a temporary file; raise BadRequest or BodyTooLarge."""
    file = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115  the caller closes it
    try:
        await _receive(request, file, max_bytes)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


async def _receive(request: Request, file: BinaryIO, max_bytes: int) -> None:
    form = FormReader(request.headers["content-type"]) if media_type(request) == _FORM else None
    check_length(request, max_bytes + (_FORM_ROOM if form else 0))
    async for piece in body_pieces(request):
        for data in [piece] if form is None else _first_part(form, piece, file.tell()):
            await to_thread.run_sync(file.write, data)
        if file.tell() > max_bytes:
            raise BodyTooLarge(f"The table is larger than {max_bytes} bytes, the limit of this server.")
    if form is not None:
        form.end()


def _first_part(form: FormReader, piece: bytes, written: int) -> Iterator[bytes]:
    """Yield the data of the only part of a form with any."""
    for event in form.feed(piece):
        if isinstance(event, PartHead) and written:
            raise BadRequest("expected one file in the form; options belong into the query")
        if isinstance(event, bytes):
            written += len(event)
            yield event


async def _csv(pieces: Iterator[bytes], name: str, *files: BinaryIO) -> Response:
    """Return a response with a CSV file that is written in a thread as it is sent; at the end other files are closed.

    Raises what the first piece raises.
    """
    with contextlib.ExitStack() as stack:
        for file in files:
            stack.enter_context(file)
        first = await to_thread.run_sync(next, pieces, b"")
        closing = stack.pop_all()

    async def stream() -> AsyncGenerator[bytes]:
        with closing:
            piece = first
            while piece:
                yield piece
                piece = await to_thread.run_sync(next, pieces, b"")

    return Streamed(stream(), CSV, {"content-disposition": content_disposition("attachment", name)})
