"""Searches of images: pages in order, by filters, equal bytes or similarity.

Values are bound, never written into a statement.
"""

import functools
import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.batched import Batched
from imgserve.catalog.conditions import compared, matching, narrowed
from imgserve.catalog.database import Database, Part, finished
from imgserve.catalog.hashes import near_hashes
from imgserve.catalog.query import (
    MOST,
    ImageQuery,
    Page,
    Place,
    Similar,
    Sort,
    Totals,
    page_of,
    read_cursor,
    read_digest,
    read_id,
    write_cursor,
    write_digest,
    write_id,
)
from imgserve.catalog.tables import (
    after_prefix,
    image_id_of,
    images,
    select_records,
    stored_id,
    tags,
    with_tags,
)
from imgserve.model import ImageRecord

_EVERY = ImageQuery()
_COLUMNS = {
    Sort.CREATED: images.c.created,
    Sort.CHANGED: images.c.changed,
    Sort.ID: images.c.id,
    Sort.BYTES: images.c.size,
    Sort.PIXELS: images.c.pixels,
}
_MOST_EQUAL = 100
_COMPARED = 4000
"""Images of a list that are compared one by one before anything is looked up."""


class ImageSearch(Part):
    """The searches."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._equal = Batched(self._equal_many)

    @finished
    async def page(
        self,
        query: ImageQuery = _EVERY,
        *,
        sort: Sort = Sort.CREATED,
        descending: bool = True,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[ImageRecord]:
        """Return a page of the images that match a query; changes between two pages do not shift the others.

        Raises BadCursor if the cursor is not valid, or belongs to another order.
        """
        place = None if cursor is None else read_cursor(cursor, sort, descending)
        limit = max(1, min(limit, MOST))
        ordered = functools.partial(in_order, sort=sort, descending=descending, place=place)
        async with self.database.reading() as connection:
            rows, complete = await _compared(connection, query, limit + 1, sort, ordered)
            if not complete:
                statement = select_records().where(await narrowed(connection, query)).limit(limit + 1)
                rows = (await connection.execute(ordered(statement))).all()
            records = await with_tags(connection, rows[:limit])
        if len(rows) <= limit:
            return Page(tuple(records), None)
        last = rows[limit - 1]
        return Page(tuple(records), write_cursor(sort, descending, sort_value(sort, last), image_id_of(last.id)))

    @finished
    async def ids(self, query: ImageQuery = _EVERY, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return the ids of the images that match a query and follow an id, in their order."""
        least = stored_id(after)
        if least is None:
            return []
        async with self.database.reading() as connection:
            statement = sa.select(images.c.id).where(await narrowed(connection, query), images.c.id > least)
            rows = (await connection.execute(statement.order_by(images.c.id).limit(limit))).all()
        return [image_id_of(row.id) for row in rows]

    @finished
    async def totals(self, query: ImageQuery = _EVERY) -> Totals:
        """Return the number and size of the images that match a query."""
        statement = sa.select(
            sa.func.count().label("number"), sa.func.coalesce(sa.func.sum(images.c.size), 0).label("size")
        )
        async with self.database.reading() as connection:
            sqlite = self.database.dialect == "sqlite"  # PostgreSQL reads all images faster than many by an index
            condition = matching(query, "sqlite") if sqlite else await narrowed(connection, query)
            row = (await connection.execute(statement.select_from(images).where(condition))).one()
        return Totals(int(row.number), int(row.size))

    async def folders(self, prefix: str = "", *, limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Return a page of the starts of image ids up to the first slash after a prefix, in order.

        Each is one look-up in the index of ids, however many images it has. Raises BadCursor if the cursor does not
        belong to this list.
        """
        limit, first = max(1, min(limit, MOST)), stored_id(prefix)
        if first is None:
            return Page((), None)
        end, dialect = after_prefix(first), self.database.dialect
        start = first
        if cursor is not None:
            last = read_id(cursor)
            start = max(first, after_prefix(last) or last)
        found = sa.select(_folder_from(sa.literal(start), end, len(first), dialect).label("folder")).cte(
            "found", recursive=True
        )
        # A slash is followed by a zero in ASCII.
        after = sa.cast(
            sa.func.substr(found.c.folder, 1, sa.func.length(found.c.folder) - 1).op("||")(b"0"), sa.LargeBinary
        )
        following = sa.select(_folder_from(after, end, len(first), dialect)).where(found.c.folder.is_not(None))
        found = found.union_all(following)
        rows = await self.database.fetch(sa.select(found.c.folder).where(found.c.folder.is_not(None)).limit(limit + 1))
        folders = [image_id_of(row.folder) for row in rows]
        return page_of(folders, limit, str, write_id)

    async def tag_counts(self, limit: int = 1000) -> dict[str, int]:
        """Return the tags in use with the number of their images, the most used first."""
        number = sa.func.count().label("number")
        statement = sa.select(tags.c.tag, number).group_by(tags.c.tag).order_by(number.desc(), tags.c.tag).limit(limit)
        return {row.tag: int(row.number) for row in await self.database.fetch(statement)}

    async def equal(self, sha256: str, *, wait: float = 0.0) -> list[ImageRecord]:
        """Return up to a hundred images with the same bytes; wait so many seconds for other such searches."""
        return await self._equal(sha256, wait=wait)

    async def _equal_many(self, digests: Sequence[str]) -> list[list[ImageRecord]]:
        found, different = defaultdict[str, list[ImageRecord]](list), set(digests)
        records = await self.by_sha256(different, limit=_MOST_EQUAL * len(different))
        if len(different) > 1 and len(records) == _MOST_EQUAL * len(different):  # copies of one may hide another
            records = [record for one in different for record in await self.by_sha256([one], limit=_MOST_EQUAL)]
        for record in records:
            found[record.sha256].append(record)
        return [found[digest] for digest in digests]

    @finished
    async def by_sha256(self, digests: Collection[str], *, limit: int = 1000) -> list[ImageRecord]:
        """Return the images whose original has one of these digests, in the order of their ids."""
        wanted = sorted({bytes.fromhex(digest) for digest in digests})
        statement = select_records().where(images.c.sha256.in_(wanted)).order_by(images.c.id).limit(limit)
        async with self.database.reading() as connection:
            return await with_tags(connection, (await connection.execute(statement)).all())

    @finished
    async def duplicates(self, *, limit: int = 50, cursor: str | None = None) -> Page[tuple[ImageRecord, ...]]:
        """Return a page of groups of images with the same bytes.

        Raises BadCursor if the cursor does not belong to this list.
        """
        least = b"" if cursor is None else read_digest(cursor)
        limit = max(1, min(limit, MOST))
        repeated = sa.select(images.c.sha256).where(images.c.sha256 > least).group_by(images.c.sha256)
        statement = repeated.having(sa.func.count() > 1).order_by(images.c.sha256).limit(limit + 1)
        async with self.database.reading() as connection:
            digests = (await connection.execute(statement)).scalars().all()
            same = select_records().where(images.c.sha256.in_(digests[:limit])).order_by(images.c.sha256, images.c.id)
            records = await with_tags(connection, (await connection.execute(same)).all())
        groups = tuple(tuple(group) for _, group in groupby(records, lambda one: one.sha256))
        return Page(groups, write_digest(bytes(digests[limit - 1]).hex()) if len(digests) > limit else None)

    @finished
    async def similar(self, perceptual_hash: int, *, distance: int = 10, limit: int = 50) -> list[Similar]:
        """Return images whose perceptual hashes differ in at most `distance` bits, the most similar first."""
        near = near_hashes(perceptual_hash, distance, self.database.dialect)
        near = near.order_by("distance", "number").limit(max(1, min(limit, MOST)))
        async with self.database.reading() as connection:
            distances = {row[0]: int(row[1]) for row in (await connection.execute(near)).all()}
            statement = select_records().where(images.c.number.in_(distances))
            rows = (await connection.execute(statement)).all()
            records = await with_tags(connection, rows)
        found = [Similar(record, distances[row.number]) for row, record in zip(rows, records, strict=True)]
        return sorted(found, key=lambda one: (one.distance, one.record.image_id))


async def _compared(
    connection: AsyncConnection, query: ImageQuery, limit: int, sort: Sort, ordered: Callable[..., sa.Select[Any]]
) -> tuple[Sequence[sa.Row[Any]], bool]:
    """Compare the next images of a list with a query; return those that match, and whether these are all to be shown.

    Of words and tags that many images have this fills a page, without a look at all of them.
    """
    frequent = compared(query)
    if not frequent:
        return (), False
    column = _COLUMNS[sort]
    end = (await connection.execute(ordered(sa.select(images.c.id, column)).offset(_COMPARED).limit(1))).first()
    until = None if end is None else Place(sort_value(sort, end), end.id)
    condition = matching(query, connection.dialect.name, frequent)
    statement = ordered(select_records().where(condition).limit(limit), until=until)
    rows = (await connection.execute(statement)).all()
    return rows, end is None or len(rows) == limit


def in_order(
    statement: sa.Select[Any], sort: Sort, descending: bool, place: Place | None, until: Place | None = None
) -> sa.Select[Any]:
    """Return a statement in an order, starting after a place, and ending with another."""
    column = _COLUMNS[sort]
    keys = [images.c.id] if sort is Sort.ID else [column, images.c.id]
    after, upto = (operator.lt, operator.ge) if descending else (operator.gt, operator.le)
    for compare, at in ((after, place), (upto, until)):
        if at is not None:
            values = [at.id] if sort is Sort.ID else [at.value, at.id]
            here = sa.tuple_(*(sa.bindparam(None, value, key.type) for key, value in zip(keys, values, strict=True)))
            statement = statement.where(compare(sa.tuple_(*keys), here))
    return statement.order_by(*(key.desc() if descending else key for key in keys))


def sort_value(sort: Sort, row: sa.Row[Any]) -> int:
    """Return the value that a row is sorted by."""
    return 0 if sort is Sort.ID else int(getattr(row, _COLUMNS[sort].name))


def _folder_from(
    start: sa.ColumnElement[bytes], end: bytes | None, length: int, dialect: str
) -> sa.ColumnElement[bytes]:
    """Return the folder of the first image at or after an id, and before an end, with a slash after so many bytes."""
    rest = sa.func.substr(images.c.id, length + 1)
    slash = sa.func.instr(rest, b"/") if dialect == "sqlite" else sa.func.pg_catalog.position(rest, b"/")
    folder = sa.func.substr(images.c.id, 1, length + slash, type_=sa.LargeBinary)
    query = sa.select(folder).where(images.c.id >= start, slash > 0)
    if end is not None:
        query = query.where(images.c.id < end)
    return query.order_by(images.c.id).limit(1).correlate_except(images).scalar_subquery()
