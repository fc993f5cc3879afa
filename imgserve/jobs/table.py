"""Find products and image URLs in the rows of a spreadsheet, and everything that is wrong with them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, BinaryIO

from imgserve.download.networks import read_address
from imgserve.errors import AddressRefused, BadRequest, BodyTooLarge
from imgserve.jobs.sheet import read_rows
from imgserve.model import Doc, clean_text

_NUMBERS = frozenset({"productnumber", "product", "productid", "sku"})
_NAMES = frozenset({"productname"})
_URLS = frozenset({"imagesrc", "imageurl", "inputimageurls"})
_HEADERS = ["Product Number", "Image Src"]
"""Of a table that has none: two columns, product and URL."""
RESULTS = ["Output Image Urls", "Status", "Reason"]
"""Columns that an export adds, and that an import of the completed table ignores."""
_PRODUCT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PRODUCT_RULE = "expected letters, digits, dash and underscore, at most 64 characters"
_PLAIN_URL = re.compile(r"https?://([a-z0-9.-]+)(?::\d{1,5})?(?:/[!-~]*)?", re.IGNORECASE)
"""Most URLs; parsing one is fifty times slower."""
_URL_CHARACTERS = 2048
_BETWEEN_URLS = re.compile(r"\s*[\r\n]+\s*|\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)|,\s*$")
"""Between the URLs of a cell; a comma may also be part of a URL."""
_SEPARATOR = re.compile(r"[,\r\n]")
_CELL_CHARACTERS = 32_767
"""The limit of spreadsheet programs."""
_ROW_CHARACTERS = 60_000
"""Together the cells become the metadata of an image."""
_NAME_CHARACTERS = 50
_SHOWN = 200
"""Characters of a wrong cell that are reported."""
_PORTS = range(65_536)
_FIRST_ROWS = 100
_MOST_MISTAKES = 10_000
SAMPLES = {
    "numbers": (
        ("Product Number", "Image Src", "Color"),
        ("A-100", "https://www.example.com/shoes/red.jpg", "red"),
        ("A-100", "https://www.example.com/shoes/red-sole.jpg", "red"),
        ("B_7", "https://www.example.com/bags/7.png", "black"),
    ),
    "names": (
        ("S. No.", "Product Name", "Input Image Urls"),
        ("1", "Red shoe", "https://www.example.com/shoes/red.jpg, https://www.example.com/shoes/red-sole.jpg"),
        ("2", "Bag", "https://www.example.com/bags/7.png"),
    ),
}
"""The rows of examples: products by their numbers with one URL in a row, or by their names with several."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a cell."""

    line: Annotated[int, Doc("The line of the file, or the number of the object in JSON.")]
    column: Annotated[str, Doc("The header of the column; empty for the row as a whole.")]
    value: Annotated[str, Doc("The start of the cell.")]
    reason: Annotated[str, Doc("What was expected.")]


@dataclass(frozen=True, slots=True)
class TableLimits:
    """Limits of a spreadsheet."""

    rows: int = 100_000
    images: int = 200_000


@dataclass(slots=True)
class Totals:
    """What is in a spreadsheet."""

    rows: Annotated[int, Doc("Rows below the headers.")] = 0
    products: Annotated[int, Doc("Different products.")] = 0
    images: Annotated[int, Doc("Different images of all products, which an import fetches.")] = 0
    duplicates: Annotated[int, Doc("URLs that are repeated within a product, and used once.")] = 0
    invalid: Annotated[int, Doc("Rows with a mistake; their other URLs are used.")] = 0


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to fetch."""

    number: int
    """Counted in the order of the file, from 0."""
    url: str
    host: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a spreadsheet."""

    line: int
    cells: Sequence[str]
    product: str = ""
    """A part of image ids; empty if the row is invalid."""
    name: str = ""
    """The product as the row has it."""
    numbers: Sequence[int] = ()
    """The images of the row; a repeated URL has the number of the first one."""
    new: Sequence[NewImage] = ()
    """Those that no earlier row has."""
    mistakes: Sequence[Mistake] = ()


@dataclass(slots=True)
class _Columns:
    product: int
    urls: list[int]
    named: bool
    """Whether products have names instead of numbers."""


@dataclass(slots=True)
class Table:
    """The rows of a spreadsheet, read once. Memory is needed for the numbers of different images alone."""

    file: BinaryIO
    limits: TableLimits = TableLimits()
    headers: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    _seen: dict[int, int] = field(default_factory=dict)
    _products: set[int] = field(default_factory=set)
    _results: int = 0
    """Cells of earlier results at the end of a row."""

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows; `headers` are known with the first one, and `totals` are complete after the last one.

        Raises:
            BadRequest: the file cannot be read, or its columns are not known.
            BodyTooLarge: there are too many rows or images.
        """
        found = read_rows(self.file, is_first_row)
        line, first = next(found, (0, []))
        columns = _columns(first)
        if columns is None and not _is_pair(first):
            raise BadRequest(
                "expected a first row with Product Number (or Product, ProductID, SKU) and Image Src (or Image URL), "
                "or with Product Name and Input Image Urls; or two columns without headers, product and URL"
            )
        self.headers = list(map(clean_text, first)) if columns else list(_HEADERS)
        if columns is None:
            columns = _Columns(0, [1], named=False)
            yield self._row(line, first, columns)
        while self.headers[-len(RESULTS) :] == RESULTS:
            del self.headers[-len(RESULTS) :]
            self._results += len(RESULTS)
        for number, cells in found:
            del cells[len(self.headers) : len(self.headers) + self._results]
            yield self._row(number, cells, columns)

    def _row(self, line: int, cells: list[str], columns: _Columns) -> TableRow:
        totals = self.totals
        totals.rows += 1
        if totals.rows > self.limits.rows:
            raise BodyTooLarge(f"The table has more than {self.limits.rows} rows.")
        while len(cells) > len(self.headers) and not cells[-1]:
            cells.pop()
        cells = list(map(clean_text, cells)) + [""] * (len(self.headers) - len(cells))
        # The sums first, since almost all rows are short.
        fits = len(cells) == len(self.headers) and sum(map(len, cells)) <= _CELL_CHARACTERS
        mistakes = [] if fits else list(self._size_mistakes(line, cells))
        row = TableRow(line, cells[: len(self.headers)], mistakes=mistakes)
        if not mistakes:
            row = self._checked(line, cells, columns)
        totals.invalid += bool(row.mistakes)
        return row

    def _checked(self, line: int, cells: list[str], columns: _Columns) -> TableRow:
        name = cells[columns.product].strip()
        product = path_safe(name) if columns.named else name
        rule = "" if columns.named or _PRODUCT.fullmatch(name) else _PRODUCT_RULE
        if reason := rule if name else "expected a product":
            return TableRow(line, cells, mistakes=[self._mistake(line, columns.product, name, reason)])
        numbers, new, mistakes = dict[int, None](), list[NewImage](), list[Mistake]()
        for column, url in ((one, url) for one in columns.urls for url in _urls(cells[one])):
            try:
                host = host_of(url)
            except AddressRefused as error:
                mistakes.append(self._mistake(line, column, url, error.detail))
                continue
            number = self._seen.get(hash((product, url)))
            if number is None:
                number = self._add(product, url)
                new.append(NewImage(number, url, host))
            else:
                self.totals.duplicates += 1
            numbers[number] = None
        if not (numbers or mistakes):
            mistakes.append(self._mistake(line, columns.urls[0], "", "expected the URL of an image"))
        return TableRow(line, cells, product, name, tuple(numbers), new, mistakes)

    def _mistake(self, line: int, column: int, value: str, reason: str) -> Mistake:
        return Mistake(line, self.headers[column], value[:_SHOWN], reason)

    def _add(self, product: str, url: str) -> int:
        """Return the number of an image that is the first of its product and URL."""
        number = self._seen[hash((product, url))] = len(self._seen)
        if number >= self.limits.images:
            raise BodyTooLarge(f"The table has more than {self.limits.images} images.")
        self._products.add(hash(product))
        self.totals.images, self.totals.products = len(self._seen), len(self._products)
        return number

    def _size_mistakes(self, line: int, cells: list[str]) -> Iterator[Mistake]:
        if len(cells) > len(self.headers):
            reason = f"expected {len(self.headers)} cells, but there are {len(cells)}; a quote may be missing"
            yield Mistake(line, "", ",".join(cells)[:_SHOWN], reason)
        for column, cell in zip(self.headers, cells, strict=False):
            if len(cell) > _CELL_CHARACTERS:
                yield Mistake(line, column, cell[:_SHOWN], f"expected at most {_CELL_CHARACTERS} characters")
        if sum(map(len, cells)) > _ROW_CHARACTERS:
            yield Mistake(line, "", "", f"expected at most {_ROW_CHARACTERS} characters in a row")


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


def is_first_row(cells: Sequence[str]) -> bool:
    """Return whether cells are headers of known columns, or a product and a URL."""
    return _columns(cells) is not None or _is_pair(cells)


def path_safe(name: str) -> str:
    """Return the name of a product as a part of image ids: the same for the same name, and different for others.

    Spaces become dashes. If other characters are replaced too, or the name is long, a digest follows.
    """
    spaced = "-".join(unicodedata.normalize("NFC", name).split())
    if re.fullmatch(rf"\w[\w-]{{0,{_NAME_CHARACTERS - 1}}}", spaced):
        return spaced
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    start = re.sub(r"\W+", "-", spaced)[:_NAME_CHARACTERS].strip("-")
    return f"{start or 'product'}-{digest}"


def host_of(url: str) -> str:
    """Return the host of a URL; raise AddressRefused if it is not one of an image to fetch."""
    if len(url) > _URL_CHARACTERS:
        raise AddressRefused(f"expected a URL of at most {_URL_CHARACTERS} characters")
    plain = _PLAIN_URL.fullmatch(url)
    return plain[1].lower() if plain else read_address(url, _PORTS).raw_host.decode("ascii")


def _urls(cell: str) -> list[str]:
    cell = cell.strip()
    return [url for url in _BETWEEN_URLS.split(cell) if url] if _SEPARATOR.search(cell) else [cell] if cell else []


def _columns(cells: Sequence[str]) -> _Columns | None:
    """Return where products and URLs are, or None if the cells are not headers of a known table."""
    names = [re.sub(r"[^a-z0-9]", "", cell.casefold()) for cell in cells]
    urls = [number for number, name in enumerate(names) if name in _URLS]
    for known, named in ((_NUMBERS, False), (_NAMES, True)):
        products = [number for number, name in enumerate(names) if name in known]
        if products and urls:
            return _Columns(products[0], urls, named)
    return None


def _is_pair(cells: Sequence[str]) -> bool:
    product, url, *others = [*cells, "", ""]
    return bool(product and re.match(r"\s*https?://", url, re.IGNORECASE) and not any(others))
