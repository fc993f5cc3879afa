"""Tables are analyzed without storing anything."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.importing import Importer, importing

pytestmark = pytest.mark.anyio

TABLE = "SKU;Image URL;Color\nA;https://img.example.com/a.jpg;red\nA;https://img.example.com/a.jpg;red\nb c;=1+1;red\n"
FILE = {"file": ("table.csv", TABLE.encode("utf-16"))}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def importer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Importer]:
    async with importing(tmp_path_factory.mktemp("analyze"), imports={"rows": 3, "file_bytes": 10_000}) as found:
        yield found


@pytest.mark.parametrize("body", [{"content": TABLE}, {"files": FILE}, {"files": {"text": (None, TABLE)}}])
async def test_a_table_is_analyzed_however_it_is_sent(importer: Importer, body: dict[str, Any]) -> None:
    found = await importer.post("/api/imports/analyze", **body)
    totals = {name: found[name] for name in ("rows", "products", "images", "duplicates", "invalid")}
    assert totals == {"rows": 3, "products": 1, "images": 1, "duplicates": 1, "invalid": 1}
    assert found["headers"] == ["SKU", "Image URL", "Color"]
    (mistake,) = found["mistakes"]
    assert (mistake["line"], mistake["column"], mistake["value"]) == (4, "SKU", "b c")
    assert [row["product"] for row in found["first_rows"]] == ["A", "A", ""]


async def test_every_mistake_is_in_the_csv_and_no_cell_is_a_formula(importer: Importer) -> None:
    table = "Product,Image URL\nA,=1+1\nA,\n"
    answer = await importer.ask("POST", "/api/imports/analyze?report=csv", content=table)
    assert answer.headers["content-disposition"] == 'attachment; filename="mistakes.csv"'
    lines = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [line[:3] for line in lines] == [
        ["Line", "Column", "Value"], ["2", "Image URL", "'=1+1"], ["3", "Image URL", ""],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("a,b\n1,2\n", 400, "bad_request"),
        (TABLE + "x;https://img.example.com/b.jpg;red\n", 413, "body_too_large"),
        ("x" * 10_001, 413, "body_too_large"),
    ],
)
@pytest.mark.parametrize("query", ["", "?report=csv"])
async def test_what_cannot_be_imported_is_rejected(
    importer: Importer, body: str, status: int, code: str, query: str
) -> None:
    found = await importer.post(f"/api/imports/analyze{query}", status, content=body)
    assert found["code"] == code


@pytest.mark.parametrize("form", ["numbers", "names"])
async def test_the_samples_are_accepted(importer: Importer, form: str) -> None:
    sample = await importer.ask("GET", f"/api/imports/sample.csv?form={form}")
    found = await importer.post("/api/imports/analyze", content=sample.content)
    assert (found["images"], found["invalid"]) == (3, 0)
