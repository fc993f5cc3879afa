"""Convert records to rows and back."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, TypeVar

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.tables import STORED, images, tags
from imgserve.model import FocalPoint, ImageRecord

_WORD_CHARACTERS = 100
"""A longer word is cut: PostgreSQL takes at most 2046 bytes, and nobody types more."""
_TEXT_CHARACTERS = 100_000
"""Words of one image, together: PostgreSQL takes at most a megabyte."""
_QUERY_CHARACTERS = 1000
_QUERY_WORDS = 20
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Letters that people type without their stroke, but Unicode does not take apart."""
_SINGLE = re.compile("([\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])")
"""Scripts without spaces between words: every character is a word."""


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Take texts apart into folded words, each once, in order of first appearance."""
    found = dict.fromkeys(word[:_WORD_CHARACTERS] for text in texts for word in _fold(text).split())
    return tuple(found)


def stored_words(texts: Iterable[str]) -> str:
    """Write the words of texts as they are stored: with a space between them."""
    joined = " ".join(words_of(texts))
    return joined if len(joined) <= _TEXT_CHARACTERS else joined[:_TEXT_CHARACTERS].rpartition(" ")[0]


def query_words(text: str) -> tuple[str, ...]:
    """Take apart what somebody searches for; far more than anybody types is cut."""
    return words_of([text[:_QUERY_CHARACTERS]])[:_QUERY_WORDS]


def _fold(text: str) -> str:
    if text.isascii():
        return "".join(char if char.isalnum() else " " for char in text.lower())
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LETTERS)
    kept = "".join(map(_kept, (char for char in apart if not unicodedata.combining(char))))
    return _SINGLE.sub(r" \1 ", kept)


def _kept(char: str) -> str:
    """Keep letters, digits and vowel signs; anything else parts words."""
    return char if char.isalnum() or unicodedata.category(char).startswith("M") else " "


_DERIVED = {"words", "tag_words", "pixels"}
"""Columns that follow from the others."""
RECORD = [column for column in images.columns if column.name not in _DERIVED]
"""The columns that a record is read from."""


def as_row(record: ImageRecord) -> dict[str, Any]:
    """Return a record as the values of its row.

    Raises:
        BadRequest: the image id cannot be stored.
    """
    row = dict[str, Any]()
    for name, stored in STORED.items():
        value = getattr(record, name)
        row[stored.column or name] = value if value is None or stored.write is None else stored.write(value)
    point = record.focal_point
    return row | {
        "focal_x": point.x if point else None,
        "focal_y": point.y if point else None,
        "pixels": record.width * record.height,
        "words": stored_words((record.image_id, record.title, record.alt, record.description)),
        "tag_words": stored_words(record.tags),
    }


def as_record(row: Row[Any], tags: Iterable[str]) -> ImageRecord:
    """Return the record of a row and its tags."""
    values = dict[str, Any]()
    for name, stored in STORED.items():
        value = getattr(row, stored.column or name)
        values[name] = value if value is None or stored.read is None else stored.read(value)
    point = None if row.focal_x is None else FocalPoint(row.focal_x, row.focal_y)
    return ImageRecord(**values, tags=tuple(tags), focal_point=point)


T = TypeVar("T")
AT_ONCE = 5000
"""Values of one statement: SQLite takes 32,766."""


def select_records() -> Select[Any]:
    """Begin a query for whole records."""
    return select(*RECORD, images.c.pixels)


async def with_tags(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[ImageRecord]:
    """Make records of rows, in their order."""
    found = await tags_of(connection, [row.number for row in rows])
    return [as_record(row, found.get(row.number, ())) for row in rows]


async def tags_of(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Read the tags of images by the numbers of their rows."""
    found = dict[int, tuple[str, ...]]()
    for some in pieces(numbers):
        query = select(tags.c.image, tags.c.tag).where(tags.c.image.in_(some)).order_by(tags.c.image, tags.c.tag)
        rows = (await connection.execute(query)).all()
        found |= {number: tuple(row.tag for row in group) for number, group in groupby(rows, lambda row: row.image)}
    return found


def pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """Part values into lists that one statement takes."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
