"""Tables of products and URLs, as programs write them."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import xlsxwriter

from imgserve.errors import BadRequest, BodyTooLarge
from imgserve.jobs.table import SAMPLES, Table, TableLimits, TableRow, path_safe

A, B, C = (f"https://img.example.com/{name}.jpg" for name in "abc")
PLAIN = [["Product Number", "Image Src"], ["A-1", A], ["A-1", B], ["B_2", A]]
FOUND = [("A-1", [A]), ("A-1", [B]), ("B_2", [A])]


def read(data: bytes, limits: TableLimits | None = None) -> tuple[Table, list[TableRow]]:
    table = Table(io.BytesIO(data), limits or TableLimits())
    return table, list(table.rows())


def found(data: bytes) -> list[tuple[str, list[str]]]:
    return [(row.product, [image.url for image in row.new]) for row in read(data)[1]]


def text(rows: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\r\n") -> str:
    return end.join(delimiter.join(row) for row in rows)


def xlsx(rows: Sequence[Sequence[object]], **options: object) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_urls": False, **options}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return file.getvalue()


def test_the_columns_of_a_completed_table_are_no_columns_of_the_next_import() -> None:
    added = ["Output Image Urls", "Status", "Reason"]
    rows = [["SKU", "Image URL", "Status", *added, *added], ["A-1", A, "new", f'"{A}, {B}"', "stored", "", "", "", "x"]]
    table, (row,) = read(text(rows).encode())
    assert (table.headers, list(row.cells)) == (["SKU", "Image URL", "Status"], ["A-1", A, "new"])
    assert [image.url for image in row.new] == [A]
    table, (row,) = read(text([*rows[:1], [*rows[1], "extra"]]).encode())
    assert [mistake.reason for mistake in row.mistakes] == ["expected 3 cells, but there are 4; a quote may be missing"]


@pytest.mark.parametrize(
    "data",
    [
        text(PLAIN).encode(),
        text(PLAIN, end="\n").encode("utf-8-sig"),  # Excel: CSV UTF-8
        text(PLAIN, ";").encode("utf-8-sig"),
        text(PLAIN, end="\r").encode(),  # Excel: CSV (Macintosh)
        f"sep=;\r\n{text(PLAIN, ';')}".encode(),  # Excel reads the delimiter from the first line
        text([[f'"{cell}"' for cell in row] for row in PLAIN], ";", "\n").encode(),  # LibreOffice: all text quoted
        text(PLAIN, "\t").encode(),  # Google Sheets: TSV
        text([[*row, ""] for row in [*PLAIN, ["", ""]]], ";").encode(),  # Numbers: empty columns and rows of the table
        text(PLAIN, ";").encode("cp1252"),  # Excel: CSV of most countries of Europe
        text(PLAIN, "\t").encode("utf-16"),  # Excel: Unicode text
        text(PLAIN, "\t").encode("utf-16-be"),
        text(PLAIN[1:], "\t", "\n").encode(),  # pasted cells without headers
        text([["IMAGE_URL", "Color", "sku"], *([url, "red", name] for name, url in PLAIN[1:])]).encode(),
        text([["ProductID", "Image URL", ""], *([*row, ""] for row in PLAIN[1:])]).encode(),
        "\r\n".join(['"Product";"ImageURL"', *(f'"{name}";"{url}"' for name, url in PLAIN[1:])]).encode(),
        json.dumps([dict(zip(PLAIN[0], row, strict=True)) for row in PLAIN[1:]]).encode(),
        json.dumps({"items": [{"sku": row[0], "image url": [row[1]], "n": 1} for row in PLAIN[1:]]}).encode(),
        xlsx(PLAIN),
        xlsx(PLAIN, constant_memory=True),  # inline instead of shared texts
        xlsx([*PLAIN[:2], ["", ""], *PLAIN[2:]]),
        xlsx(PLAIN, strings_to_urls=True),  # links, as Excel and Google Sheets make them while one types
    ],
)
def test_every_way_to_write_a_table_is_read_alike(data: bytes) -> None:
    assert found(data) == FOUND


def test_several_urls_of_a_cell_are_separated_by_commas_or_lines() -> None:
    cell = f'"{A}, {B}\n{C},\nhttps://img.example.com/size=1,2.jpg"'
    table, rows = read(f"S. No.,Product Name,Input Image Urls\n1,Red shoe,{cell}\n2,Bag / small,{A}\n".encode())
    assert [image.url for image in rows[0].new] == [A, B, C, "https://img.example.com/size=1,2.jpg"]
    assert [(row.line, row.name) for row in rows] == [(2, "Red shoe"), (5, "Bag / small")]
    assert rows[0].product == "Red-shoe"
    assert rows[1].product.startswith("Bag-small-")
    assert (table.totals.rows, table.totals.products, table.totals.images) == (2, 2, 5)


def test_a_repeated_url_within_a_product_is_used_once_and_counted() -> None:
    table, rows = read(text([*PLAIN, ["A-1", A]]).encode())
    assert (table.totals.images, table.totals.duplicates) == (3, 1)
    assert [list(row.numbers) for row in rows] == [[0], [1], [2], [0]]


def test_numbers_of_xlsx_are_whole_where_they_are() -> None:
    assert [row.product for row in read(xlsx([["SKU", "Image URL"], [12, A], [12.0, B]]))[1]] == ["12", "12"]


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (["", A], "Product Number", "expected a product"),
        (["a b", A], "Product Number", "letters, digits, dash and underscore"),
        (["x" * 65, A], "Product Number", "at most 64"),
        (["A", ""], "Image Src", "expected the URL"),
        (["A", "/a.jpg"], "Image Src", "http:// or https://"),
        (["A", "ftp://example.com/a.jpg"], "Image Src", "http:// or https://"),
        (["A", "https://me:pw@example.com/a.jpg"], "Image Src", "without user name"),
        (["A", f"https://example.com/{'a' * 2048}"], "Image Src", "at most 2048"),
        (["A", "https:///a.jpg"], "Image Src", "host"),
        (["A", A, "1"], "", "a quote may be missing"),
        (["A", f'"{"x" * 32768}"'], "Image Src", "at most 32767"),
    ],
)
def test_every_invalid_cell_is_reported_and_the_other_rows_are_used(row: list[str], column: str, reason: str) -> None:
    table, rows = read(text([*PLAIN[:2], row, *PLAIN[2:]]).encode())
    (mistake,) = rows[1].mistakes
    assert (mistake.line, mistake.column) == (3, column)
    assert reason in mistake.reason
    assert (table.totals.images, table.totals.invalid) == (3, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Name,Color\nshoe,red\n",
        b"[1, 2]",
        b'{"a": 1}',
        b"[" * 100_000,
        b"PK\x03\x04 not a ZIP",
        b'SKU,Image URL\n"' + b"x" * 200_000,
    ],
)
def test_what_is_no_table_is_rejected(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read(data)


@pytest.mark.parametrize("limits", [TableLimits(rows=2), TableLimits(images=2)])
def test_a_table_beyond_a_limit_is_rejected(limits: TableLimits) -> None:
    with pytest.raises(BodyTooLarge):
        read(text(PLAIN).encode(), limits)


def _with_sheet(xml: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(xlsx(PLAIN))) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, xml if name.endswith("sheet1.xml") else source.read(name))
    return file.getvalue()


@pytest.mark.parametrize(
    ("sheet", "kind"),
    [
        (b'<worksheet><row r="1"><c r="A1"/></row><row r="1048576"><c r="XFD1048576"/></row></worksheet>', BadRequest),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><worksheet><row><c><v>&b;</v></c></row></worksheet>', BadRequest),
        (b"<worksheet><row><c><v>" + b"x" * 140_000_000, BodyTooLarge),
        (b"<worksheet><row>", BadRequest),
    ],
)
def test_hostile_workbooks_cost_little(sheet: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read(_with_sheet(sheet))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Red shoe", "Red  shoe", True),
        ("a/b", "a b", False),
        ("a/b", "a\\b", False),
        ("..", "/", False),
        ("é", "e\u0301", True),
    ],
)
def test_names_of_products_become_parts_of_image_ids(one: str, other: str, same: bool) -> None:
    assert (path_safe(one) == path_safe(other)) is same
    assert not set(path_safe(one)) & set("/\\. ")


@pytest.mark.parametrize("form", SAMPLES)
def test_the_samples_are_valid(form: str, tmp_path: Path) -> None:
    rows = [",".join(f'"{cell}"' for cell in row) for row in SAMPLES[form]]
    (tmp_path / "sample.csv").write_text("\n".join(rows))
    table, _ = read((tmp_path / "sample.csv").read_bytes())
    assert (table.totals.products, table.totals.images, table.totals.invalid) == (2, 3, 0)
