"""SQL conditions and order of a query. Values are bound, never written into the statement."""

import operator
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
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

from imgserve.catalog.query import Filter, ImageQuery, Place, Sort
from imgserve.catalog.tables import (
    WORD_INDEX,
    after_prefix,
    fts,
    images,
    microseconds,
    query_words,
    stored_id,
    tags,
    vector,
)
from imgserve.model import clean_tags, clean_text, described_fields

_COLUMNS = {
    Sort.CREATED: images.c.created,
    Sort.CHANGED: images.c.changed,
    Sort.ID: images.c.id,
    Sort.BYTES: images.c.size,
    Sort.PIXELS: images.c.pixels,
}
_LARGEST = (1 << 63) - 1
_FILTERS = described_fields(ImageQuery, Filter)
_COMPARISONS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le, "<": operator.lt}


def matching(query: ImageQuery, dialect: str) -> ColumnElement[bool]:
    """Return a query as one condition on images."""
    conditions: list[ColumnElement[bool]] = [true()]
    for name, declared in _FILTERS.items():
        value = getattr(query, name)
        if value is None or value in ("", ()):
            continue
        match declared.operator:
            case "starts":
                conditions.append(beginning(images.c[declared.column], value))
            case "words":
                conditions += [_saying(value, dialect)] if value.strip() else []
            case "has all":
                having = (tags.c.tag == tag for tag in clean_tags(value))
                conditions += [exists().where(tags.c.image == images.c.number, tag).correlate(images) for tag in having]
            case "in":
                conditions.append(images.c[declared.column].in_([clean_text(one) for one in value]))
            case compared:
                conditions.append(_COMPARISONS[compared](images.c[declared.column], _comparable(value)))
    return and_(*conditions)


def in_order(statement: Select[Any], sort: Sort, descending: bool, place: Place | None) -> Select[Any]:
    """Return a statement in an order, starting after a place."""
    column = _COLUMNS[sort]
    keys = [images.c.id] if sort is Sort.ID else [column, images.c.id]
    if place is not None:
        values = [place.id] if sort is Sort.ID else [place.value, place.id]
        here = tuple_(*(bindparam(None, value, key.type) for key, value in zip(keys, values, strict=True)))
        statement = statement.where(tuple_(*keys) < here if descending else tuple_(*keys) > here)
    return statement.order_by(*(key.desc() if descending else key for key in keys))


def sort_value(sort: Sort, row: Row[Any]) -> int:
    """Return the value that a row is sorted by."""
    return 0 if sort is Sort.ID else int(getattr(row, _COLUMNS[sort].name))


def having_tags(names: Sequence[str]) -> ColumnElement[int]:
    """Return how many of these tags an image has."""
    found = select(func.count()).where(tags.c.image == images.c.number, tags.c.tag.in_(names))
    return found.correlate(images).scalar_subquery()


def beginning(column: ColumnElement[bytes], prefix: str) -> ColumnElement[bool]:
    """Return the condition that an id starts with a prefix: a range in its index, without wildcards."""
    first = stored_id(prefix)
    if first is None:
        return false()
    end = after_prefix(first)
    return column >= first if end is None else and_(column >= first, column < end)


def _comparable(value: StrEnum | datetime | int) -> str | int:
    """Return a value as its column stores it."""
    if isinstance(value, StrEnum):
        return value.value
    return microseconds(value) if isinstance(value, datetime) else max(-_LARGEST, min(value, _LARGEST))


def _saying(text: str, dialect: str) -> ColumnElement[bool]:
    """Return the condition that each word starts a stored one. Words are letters and digits: no escaping."""
    words = query_words(text)
    if not words:
        return false()
    if dialect == "sqlite":
        asked = " AND ".join(f'"{word}"*' for word in words)
        return images.c.number.in_(select(fts.c.rowid).where(literal_column(WORD_INDEX).bool_op("MATCH")(asked)))
    asked = " & ".join(f"'{word}':*" for word in words)
    return vector.bool_op("@@")(cast(asked, TSQUERY))
