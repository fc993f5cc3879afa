"""Reads records with their tags, whatever chose them: two queries, however many there are."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, TypeVar

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.rows import RECORD, as_record
from imgserve.catalog.tables import images, tags
from imgserve.model import ImageRecord

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
