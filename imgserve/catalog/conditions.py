"""Turns what a caller asks for into conditions of SQL. Values are bound, never written into the statement."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    cast,
    exists,
    false,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from imgserve.catalog.query import ImageQuery, Place, Sort
from imgserve.catalog.rows import after_prefix, microseconds, query_words, stored_id
from imgserve.catalog.tables import WORD_INDEX, fts, images, tags, vector
from imgserve.model import clean_tags, clean_text

_COLUMNS = {
    Sort.CREATED: images.c.created,
    Sort.CHANGED: images.c.changed,
    Sort.ID: images.c.id,
    Sort.BYTES: images.c.size,
    Sort.PIXELS: images.c.pixels,
}
_LARGEST = (1 << 63) - 1


def matching(query: ImageQuery, dialect: str) -> ColumnElement[bool]:
    """Write a query as one condition on images."""
    return and_(true(), *_conditions(query, dialect))


def in_order(statement: Select[Any], sort: Sort, descending: bool, place: Place | None) -> Select[Any]:
    """Order images, and begin after a place."""
    column = _COLUMNS[sort]
    keys = [images.c.id] if sort is Sort.ID else [column, images.c.id]
    if place is not None:
        here = tuple_(
            *(bindparam(None, value, key.type) for key, value in zip(keys, _values(sort, place), strict=True))
        )
        statement = statement.where(tuple_(*keys) < here if descending else tuple_(*keys) > here)
    return statement.order_by(*(key.desc() if descending else key for key in keys))


def sort_value(sort: Sort, row: Row[Any]) -> int:
    """Read what a row is sorted by."""
    return 0 if sort is Sort.ID else int(getattr(row, _COLUMNS[sort].name))


def having_tags(names: Sequence[str]) -> ColumnElement[int]:
    """Count how many of these tags an image has."""
    found = select(func.count()).where(tags.c.image == images.c.number, tags.c.tag.in_(names))
    return found.correlate(images).scalar_subquery()


def beginning(column: ColumnElement[bytes], prefix: str) -> ColumnElement[bool]:
    """Begin so: a range of ids, which their index answers and in which no character is special."""
    first = stored_id(prefix)
    if first is None:
        return false()
    end = after_prefix(first)
    return column >= first if end is None else and_(column >= first, column < end)


def _values(sort: Sort, place: Place) -> tuple[Any, ...]:
    return (place.id,) if sort is Sort.ID else (place.value, place.id)


def _conditions(query: ImageQuery, dialect: str) -> Iterator[ColumnElement[bool]]:
    if query.prefix:
        yield beginning(images.c.id, query.prefix)
    if query.text.strip():
        yield _saying(query.text, dialect)
    for tag in clean_tags(query.tags):
        yield exists().where(tags.c.image == images.c.number, tags.c.tag == tag).correlate(images)
    if query.formats:
        yield images.c.format.in_([clean_text(name) for name in query.formats])
    if query.origin is not None:
        yield images.c.origin == query.origin.value
    yield from _ranges(query)


def _ranges(query: ImageQuery) -> Iterator[ColumnElement[bool]]:
    for column, least, most in (
        (images.c.size, query.min_bytes, query.max_bytes),
        (images.c.width, query.min_width, query.max_width),
        (images.c.height, query.min_height, query.max_height),
    ):
        if least is not None:
            yield column >= _bounded(least)
        if most is not None:
            yield column <= _bounded(most)
    for column, first, end in (
        (images.c.created, query.created_from, query.created_before),
        (images.c.changed, query.changed_from, query.changed_before),
    ):
        if first is not None:
            yield column >= microseconds(first)
        if end is not None:
            yield column < microseconds(end)


def _bounded(number: int) -> int:
    return max(-_LARGEST, min(number, _LARGEST))


def _saying(text: str, dialect: str) -> ColumnElement[bool]:
    """Hold a word that begins with each word of the text. Words are letters and digits alone: nothing to escape."""
    words = query_words(text)
    if not words:
        return false()
    if dialect == "sqlite":
        asked = " AND ".join(f'"{word}"*' for word in words)
        return images.c.number.in_(select(fts.c.rowid).where(literal_column(WORD_INDEX).bool_op("MATCH")(asked)))
    asked = " & ".join(f"'{word}':*" for word in words)
    return vector.bool_op("@@")(cast(asked, TSQUERY))
