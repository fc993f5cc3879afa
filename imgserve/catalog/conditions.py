"""A query as a condition on images, by the index that selects few of them.

No database knows how many images have a word or a tag before it has looked. Where few have it, they are looked up;
where many have it, images are read in the order of the list and compared until the page is full. The other way round,
nearly all images would be sorted or compared.
"""

import operator
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.query import Filter, ImageQuery
from imgserve.catalog.tables import after_prefix, images, microseconds, stored_id, tags
from imgserve.catalog.words import WORD_INDEX, fts, query_words, vector
from imgserve.model import clean_tags, clean_text, described_fields

_MANY = 5000
"""Images that are rather looked up and sorted than found on the way through all of them."""
_TEXT = ""
"""Stands for the text among tags, which are never empty."""
_LARGEST = (1 << 63) - 1
_FILTERS = described_fields(ImageQuery, Filter)
_COMPARISONS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le, "<": operator.lt}


async def narrowed(connection: AsyncConnection, query: ImageQuery) -> sa.ColumnElement[bool]:
    """Return a query as one condition on images, after a look at how many have its words and its tags."""
    dialect, counts = connection.dialect.name, dict[str, sa.ScalarSelect[int]]()
    if words := query_words(query.text):
        counts[_TEXT] = _up_to_many(_with_words(words, dialect))
    counts |= {tag: _up_to_many(sa.select(tags.c.image).where(tags.c.tag == tag)) for tag in clean_tags(query.tags)}
    if not counts:
        return matching(query, dialect)
    row = (await connection.execute(sa.select(*counts.values()))).one()
    return matching(query, dialect, {name for name, number in zip(counts, row, strict=True) if number == _MANY})


def compared(query: ImageQuery) -> set[str]:
    """Return the words and tags of a query, to be compared."""
    return {*clean_tags(query.tags), *([_TEXT] if query_words(query.text) else [])}


def _up_to_many(found: sa.Select[tuple[int]]) -> sa.ScalarSelect[int]:
    """Return how many rows there are, but at most so many."""
    # Materialized, or PostgreSQL would read all images until it has as many.
    all_of_them = found.cte().prefix_with("MATERIALIZED", dialect="postgresql")
    return sa.select(sa.func.count()).select_from(sa.select(all_of_them).limit(_MANY).subquery()).scalar_subquery()


def matching(query: ImageQuery, dialect: str, frequent: Collection[str] = ()) -> sa.ColumnElement[bool]:
    """Return a query as one condition on images; tags, or `_TEXT`, that are `frequent` are compared, not looked up."""
    conditions: list[sa.ColumnElement[bool]] = [sa.true()]
    for name, declared in _FILTERS.items():
        value = getattr(query, name)
        if value is None or value in ("", ()):
            continue
        match declared.operator:
            case "starts":
                conditions.append(beginning(images.c[declared.column], value))
            case "words":
                conditions += _saying(value, dialect, compared=_TEXT in frequent) if value.strip() else []
            case "has all":
                conditions += [_tagged(tag, compared=tag in frequent) for tag in clean_tags(value)]
            case "in":
                conditions.append(images.c[declared.column].in_([clean_text(one) for one in value]))
            case compared:
                conditions.append(_COMPARISONS[compared](images.c[declared.column], _comparable(value)))
    return sa.and_(*conditions)


def having_tags(names: Sequence[str]) -> sa.ColumnElement[int]:
    """Return how many of these tags an image has."""
    found = sa.select(sa.func.count()).where(tags.c.image == images.c.number, tags.c.tag.in_(names))
    return found.correlate(images).scalar_subquery()


def beginning(column: sa.ColumnElement[bytes], prefix: str) -> sa.ColumnElement[bool]:
    """Return the condition that an id starts with a prefix: a range in its index, without wildcards."""
    first = stored_id(prefix)
    if first is None:
        return sa.false()
    end = after_prefix(first)
    return column >= first if end is None else sa.and_(column >= first, column < end)


def _comparable(value: StrEnum | datetime | int) -> str | int:
    """Return a value as its column stores it."""
    if isinstance(value, StrEnum):
        return value.value
    return microseconds(value) if isinstance(value, datetime) else max(-_LARGEST, min(value, _LARGEST))


def _tagged(tag: str, *, compared: bool) -> sa.ColumnElement[bool]:
    if compared:
        return sa.exists().where(tags.c.image == images.c.number, tags.c.tag == tag).correlate(images)
    return images.c.number.in_(sa.select(tags.c.image).where(tags.c.tag == tag))


def _saying(text: str, dialect: str, *, compared: bool) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that each word starts a stored one."""
    words = query_words(text)
    if not words:
        return [sa.false()]
    if compared:
        place = sa.func.instr if dialect == "sqlite" else sa.func.strpos
        stored = sa.literal(" ") + images.c.words + " " + images.c.tag_words
        return [place(stored, f" {word}") > 0 for word in words]
    found = _with_words(words, dialect)
    # An array is made first, whatever PostgreSQL expects: it cannot tell how many words have a start.
    return [
        images.c.number.in_(found)
        if dialect == "sqlite"
        else images.c.number == sa.func.any(sa.func.array(found.scalar_subquery()))
    ]


def _with_words(words: Sequence[str], dialect: str) -> sa.Select[tuple[int]]:
    """Return a query for the numbers of images with these words. Words are letters and digits: no escaping."""
    if dialect == "sqlite":
        asked = " AND ".join(f'"{word}"*' for word in words)
        return sa.select(fts.c.rowid).where(sa.literal_column(WORD_INDEX).bool_op("MATCH")(asked))
    from sqlalchemy.dialects.postgresql import TSQUERY  # noqa: PLC0415  a catalog in SQLite does without it

    asked = " & ".join(f"'{word}':*" for word in words)
    others = images.alias("with_words")
    return sa.select(others.c.number).where(vector.bool_op("@@")(sa.cast(asked, TSQUERY)))
