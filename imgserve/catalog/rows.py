"""Records as rows and back, and the words that are searched."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, TypeVar

from sqlalchemy import Row, Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.database import Database
from imgserve.catalog.tables import STORED, after_prefix, image_id_of, images, stored_id, tags
from imgserve.model import FocalPoint, ImageRecord

_WORD_CHARACTERS = 100
"""A longer word is cut: PostgreSQL accepts at most 2046 bytes."""
_TEXT_CHARACTERS = 100_000
"""All words of one image: PostgreSQL accepts at most a megabyte."""
_QUERY_CHARACTERS = 1000
_QUERY_WORDS = 20
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Letters that people type without their stroke, but Unicode does not decompose."""
_SINGLE = re.compile("([\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])")
"""Scripts without spaces between words: every character is a word."""


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the folded words of texts, each once, in order of first appearance."""
    found = dict.fromkeys(word[:_WORD_CHARACTERS] for text in texts for word in _fold(text).split())
    return tuple(found)


def stored_words(texts: Iterable[str]) -> str:
    """Return the words of texts as they are stored: with a space between them."""
    joined = " ".join(words_of(texts))
    return joined if len(joined) <= _TEXT_CHARACTERS else joined[:_TEXT_CHARACTERS].rpartition(" ")[0]


def query_words(text: str) -> tuple[str, ...]:
    """Return the words of a search; an absurdly long search is cut."""
    return words_of([text[:_QUERY_CHARACTERS]])[:_QUERY_WORDS]


def _fold(text: str) -> str:
    if text.isascii():
        return "".join(char if char.isalnum() else " " for char in text.lower())
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LETTERS)
    kept = "".join(map(_kept, (char for char in apart if not unicodedata.combining(char))))
    return _SINGLE.sub(r" \1 ", kept)


def _kept(char: str) -> str:
    """Return a letter, digit or vowel sign, or a space for anything else."""
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
"""Values of one statement: SQLite accepts 32,766."""


def select_records() -> Select[Any]:
    """Return a query for whole records."""
    return select(*RECORD, images.c.pixels)


async def with_tags(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[ImageRecord]:
    """Return the records of rows, in their order."""
    found = await tags_of(connection, [row.number for row in rows])
    return [as_record(row, found.get(row.number, ())) for row in rows]


async def tags_of(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the tags of images by the numbers of their rows."""
    found = dict[int, tuple[str, ...]]()
    for some in pieces(numbers):
        query = select(tags.c.image, tags.c.tag).where(tags.c.image.in_(some)).order_by(tags.c.image, tags.c.tag)
        rows = (await connection.execute(query)).all()
        found |= {number: tuple(row.tag for row in group) for number, group in groupby(rows, lambda row: row.image)}
    return found


def pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists that one statement accepts."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some


def stored_ids(image_ids: Iterable[str]) -> list[bytes]:
    """Return the ids that can be stored, in order, each once."""
    return sorted({stored for image_id in image_ids if (stored := stored_id(image_id)) is not None})


async def versions_between(database: Database, table: Table, prefix: str, after: str, limit: int) -> dict[str, str]:
    """Return the versions of the rows of a table whose ids start with a prefix and follow another, in order."""
    first, least = stored_id(prefix), stored_id(after)
    if first is None or least is None:
        return {}
    query = select(table.c.id, table.c.version).where(table.c.id >= first, table.c.id > least)
    if end := after_prefix(first):
        query = query.where(table.c.id < end)
    rows = await database.fetch(query.order_by(table.c.id).limit(limit))
    return {image_id_of(row.id): row.version for row in rows}
