"""Read the rows of a spreadsheet: text as spreadsheet programs write it, XLSX or JSON."""

import codecs
import contextlib
import csv
import functools
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from imgserve.errors import BadRequest, BodyTooLarge

Rows = Iterator[tuple[int, list[str]]]
"""The line on which each row begins, from 1, and its cells."""
Fits = Callable[[Sequence[str]], bool]
"""Returns whether cells look like the first row of a table."""

_PIECE = 1 << 16
_SAMPLE = 1 << 16
_MARK = re.compile(r"sep=([,;\t])\r?\n", re.IGNORECASE)
"""A first line by which Excel knows the delimiter."""
_DELIMITERS = "\t;,"
"""In the order of preference: a tab or a semicolon rarely appears in a URL."""
_INFLATED = 128 * 1024 * 1024
"""Bytes of the XML of a sheet with its texts: a small archive may expand to gigabytes."""
_COLUMNS = 500
_RELATION = re.compile(r"(?:^|:)id$")


def read_rows(file: BinaryIO, fits: Fits) -> Rows:
    """Yield the rows of a file, whose type is recognized by its content; rows without text are left out.

    Only the shared texts of XLSX, and JSON, are in memory as a whole. The file may be closed at the end.

    Raises BadRequest or BodyTooLarge for content that cannot be read.
    """
    head = file.read(4)
    file.seek(0)
    rows = _xlsx_rows(file) if head.startswith(b"PK\x03\x04") else _text_rows(file, head, fits)
    return ((line, cells) for line, cells in rows if any(map(str.strip, cells)))


def _text_rows(file: BinaryIO, head: bytes, fits: Fits) -> Rows:
    text = io.TextIOWrapper(file, _encoding(file, head), errors="replace", newline="")
    sample = text.read(_SAMPLE)
    text.seek(0)
    yield from _json_rows(text) if sample.lstrip()[:1] in {"[", "{"} else _delimited_rows(text, sample, fits)


def _encoding(file: BinaryIO, head: bytes) -> str:
    """Return the encoding of a text: UTF-8, UTF-16, or the Windows-1252 of older programs."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := file.read(_PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    finally:
        file.seek(0)
    return "utf-8-sig"


def _delimited_rows(text: io.TextIOBase, sample: str, fits: Fits) -> Rows:
    marked = _MARK.match(sample)
    skipped = bool(marked and text.readline())
    reader = csv.reader(text, delimiter=marked[1] if marked else _delimiter(sample, fits))
    line = 1 + skipped
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise BadRequest(f"line {line}: the cells cannot be separated; a quote may be missing ({error})") from error


def _delimiter(sample: str, fits: Fits) -> str:
    """Return what separates cells: with it the first row looks like that of a table, or has the most cells."""
    first = {}
    for one in _DELIMITERS:
        with contextlib.suppress(csv.Error):
            first[one] = next((row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=one) if row), [])
    return max(first, key=lambda one: (fits(first[one]), len(first[one])), default=",")


def _json_rows(text: io.TextIOBase) -> Rows:
    try:
        value = json.load(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The file is not JSON: {error}") from error
    if isinstance(value, dict):
        value = next((one for one in value.values() if isinstance(one, list)), None)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadRequest('expected a list of objects such as {"Product Number": "A-1", "Image Src": "https://..."}')
    names = list(dict.fromkeys(name for one in value for name in one))
    yield 0, names
    for number, one in enumerate(value, start=1):
        yield number, [_json_cell(one.get(name)) for name in names]


def _json_cell(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_json_cell, value))
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _xlsx_rows(file: BinaryIO) -> Rows:
    """Yield the rows of the first sheet.

    It is parsed as a stream, since a sheet with two cells far apart makes readers of whole sheets allocate gigabytes.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            pieces = _Pieces(archive)
            book, relations = _Tags(), _Tags()
            pieces.parse("xl/workbook.xml", book)
            pieces.parse("xl/_rels/workbook.xml.rels", relations)
            parts = {tag["Id"]: tag for name, tag in relations.found if name == "Relationship"}
            sheet = next(tag for name, tag in book.found if name == "sheet")
            path = _part(parts[next(value for name, value in sheet.items() if _RELATION.search(name))]["Target"])
            texts = _Texts()
            for tag in parts.values():
                if tag["Type"].endswith("/sharedStrings"):
                    pieces.parse(_part(tag["Target"]), texts)
            cells = _Cells(texts.found)
            for _ in pieces.parsed(path, cells):
                yield from cells.rows
                cells.rows.clear()
    except (
        zipfile.BadZipFile,
        SAXException,
        DefusedXmlException,
        KeyError,
        ValueError,
        IndexError,
        StopIteration,
    ) as error:
        raise BadRequest("The file is not an XLSX workbook, or it is damaged.") from error


def _part(target: str) -> str:
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


class _Pieces:
    """Parses parts of an archive, up to a number of bytes in all."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._left = _INFLATED

    def parse(self, name: str, handler: ContentHandler) -> None:
        for _ in self.parsed(name, handler):
            pass

    def parsed(self, name: str, handler: ContentHandler) -> Iterator[None]:
        """Parse a part, and return to the caller after each piece."""
        parser: Any = make_parser()
        parser.forbid_dtd = True
        parser.setContentHandler(handler)
        with self._archive.open(name) as part:
            while piece := part.read(_PIECE):
                self._left -= len(piece)
                if self._left < 0:
                    raise BodyTooLarge(f"The sheet has more than {_INFLATED} bytes when it is unpacked.")
                parser.feed(piece)
                yield
        parser.close()
        yield


class _Tags(ContentHandler):
    """Collects the names and attributes of elements, of the short parts of a workbook."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[tuple[str, dict[str, str]]]()

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802  SAX's name
        self.found.append((_local(name), dict(attrs)))


class _Texts(ContentHandler):
    """Collects shared texts, each of which may consist of several runs."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[str]()
        self._runs = list[str]()
        self._reading = self._phonetic = False

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: ARG002, N802  SAX's name
        name = _local(name)
        self._reading = name == "t" and not self._phonetic
        self._phonetic = self._phonetic or name == "rPh"

    def characters(self, content: str) -> None:
        if self._reading:
            self._runs.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802  SAX's name
        self._reading, name = False, _local(name)
        if name == "si":
            self.found.append("".join(self._runs))
            self._runs.clear()
        elif name == "rPh":
            self._phonetic = False


class _Cells(ContentHandler):
    """Collects the rows of a sheet as they are complete."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self.rows = list[tuple[int, list[str]]]()
        self._texts = texts
        self._line = self._column = 0
        self._cells = list[str]()
        self._kind = ""
        self._value = list[str]()
        self._reading = False

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802  SAX's name
        name = _local(name)
        if name == "c":
            self._kind, place = attrs.get("t", "n"), attrs.get("r", "").rstrip("0123456789")
            self._column = _column(place) if place else len(self._cells)
            if self._column >= _COLUMNS:
                raise BadRequest(f"line {self._line}: expected at most {_COLUMNS} columns")
            self._value.clear()
        elif name == "row":
            self._line = int(attrs.get("r", self._line + 1))
            self._cells = []
        self._reading = name in {"v", "t"}

    def characters(self, content: str) -> None:
        if self._reading:
            self._value.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802  SAX's name
        self._reading, name = False, _local(name)
        if name == "c":
            self._cells += [""] * (self._column - len(self._cells))
            self._cells.append(self._text("".join(self._value)))
        elif name == "row":
            self.rows.append((self._line, self._cells))

    def _text(self, value: str) -> str:
        if self._kind == "s":
            return self._texts[int(value)]
        if self._kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        # Programs write the number 12 as 12 or 12.0.
        return value.removesuffix(".0") if self._kind == "n" else value


@functools.lru_cache(64)
def _local(name: str) -> str:
    return name.rpartition(":")[2]


@functools.lru_cache(1024)
def _column(letters: str) -> int:
    return functools.reduce(lambda number, letter: number * 26 + ord(letter) - 64, letters[:3].upper(), 0) - 1
