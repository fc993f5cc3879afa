"""Finds images: lists in order, piece by piece, by text, equal bytes or likeness. Changes nothing."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BIGINT, ColumnElement, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.conditions import in_order, matching, sort_value
from imgserve.catalog.database import Database, finished
from imgserve.catalog.query import (
    MOST,
    Duplicates,
    ImageQuery,
    Page,
    Similar,
    Sort,
    Totals,
    read_cursor,
    read_digest,
    write_cursor,
    write_digest,
)
from imgserve.catalog.rows import select_records, with_tags
from imgserve.catalog.tables import as_signed, image_id_of, images, stored_id, tags
from imgserve.model import ImageRecord

_EVERY = ImageQuery()


class ImageSearch:
    """The questions. Every method raises CatalogUnavailable where the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        """Take the database that keeps the records."""
        self.database = database

    @finished
    async def page(
        self,
        query: ImageQuery = _EVERY,
        *,
        sort: Sort = Sort.CREATED,
        descending: bool = True,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """List what a query means, from where a cursor says; what comes or goes meanwhile moves nothing else.

        Raises:
            BadCursor: the cursor is none, or one of another order.
        """
        place = None if cursor is None else read_cursor(cursor, sort, descending)
        limit = max(1, min(limit, MOST))
        statement = select_records().where(matching(query, self.database.dialect)).limit(limit + 1)
        async with self.database.reading() as connection:
            rows = (await connection.execute(in_order(statement, sort, descending, place))).all()
            records = await with_tags(connection, rows[:limit])
        if len(rows) <= limit:
            return Page(tuple(records), None)
        last = rows[limit - 1]
        return Page(tuple(records), write_cursor(sort, descending, sort_value(sort, last), image_id_of(last.id)))

    @finished
    async def ids(self, query: ImageQuery = _EVERY, *, after: str = "", limit: int = 1000) -> list[str]:
        """List the ids of what a query means, in their order, those that follow an id: a walk over any number."""
        least = stored_id(after)
        if least is None:
            return []
        statement = select(images.c.id).where(matching(query, self.database.dialect), images.c.id > least)
        async with self.database.reading() as connection:
            found = (await connection.execute(statement.order_by(images.c.id).limit(limit))).scalars().all()
        return [image_id_of(stored) for stored in found]

    @finished
    async def totals(self, query: ImageQuery = _EVERY) -> Totals:
        """Count what a query means."""
        statement = select(func.count(), func.coalesce(func.sum(images.c.size), 0)).select_from(images)
        async with self.database.reading() as connection:
            row = (await connection.execute(statement.where(matching(query, self.database.dialect)))).one()
        return Totals(int(row[0]), int(row[1]))

    @finished
    async def tag_counts(self, limit: int = 1000) -> dict[str, int]:
        """Tell the tags in use and how many images have each, the most used first."""
        number = func.count()
        statement = select(tags.c.tag, number).group_by(tags.c.tag).order_by(number.desc(), tags.c.tag).limit(limit)
        async with self.database.reading() as connection:
            return {row[0]: int(row[1]) for row in (await connection.execute(statement)).all()}

    @finished
    async def by_sha256_of(self, digests: Collection[str], *, limit: int = 1000) -> list[ImageRecord]:
        """List images of exactly the bytes of any of these digests, in the order of their ids."""
        wanted = sorted({bytes.fromhex(digest) for digest in digests})
        statement = select_records().where(images.c.sha256.in_(wanted)).order_by(images.c.id).limit(limit)
        async with self.database.reading() as connection:
            return await with_tags(connection, (await connection.execute(statement)).all())

    @finished
    async def by_sha256(self, sha256: str, *, limit: int = 100) -> list[ImageRecord]:
        """List images of exactly these bytes, in the order of their ids."""
        try:
            digest = bytes.fromhex(sha256)
        except ValueError:
            return []
        statement = select_records().where(images.c.sha256 == digest).order_by(images.c.id).limit(limit)
        async with self.database.reading() as connection:
            return await with_tags(connection, (await connection.execute(statement)).all())

    @finished
    async def duplicates(self, *, limit: int = 50, cursor: str | None = None) -> Duplicates:
        """List groups of images with the same bytes.

        Raises:
            BadCursor: the cursor is none of this list.
        """
        least = b"" if cursor is None else read_digest(cursor)
        limit = max(1, min(limit, MOST))
        repeated = select(images.c.sha256).where(images.c.sha256 > least).group_by(images.c.sha256)
        statement = repeated.having(func.count() > 1).order_by(images.c.sha256).limit(limit + 1)
        async with self.database.reading() as connection:
            digests = (await connection.execute(statement)).scalars().all()
            groups = await self._groups(connection, [bytes(digest) for digest in digests[:limit]])
        more = len(digests) > limit
        return Duplicates(groups, write_digest(bytes(digests[limit - 1]).hex()) if more else None)

    @finished
    async def similar(self, perceptual_hash: int, *, distance: int = 10, limit: int = 50) -> list[Similar]:
        """List images whose perceptual hashes differ from one in at most `distance` bits, the most alike first."""
        given = bindparam("hash", as_signed(perceptual_hash), BIGINT)
        bits = _distance(given, self.database.dialect)
        # The hashes alone are scanned, in their index; the records are read of those that are near.
        near = select(images.c.number, bits.label("distance")).where(bits <= distance)
        near = near.order_by("distance", images.c.number).limit(max(1, min(limit, MOST)))
        async with self.database.reading() as connection:
            distances = {row[0]: int(row[1]) for row in (await connection.execute(near)).all()}
            statement = select_records().where(images.c.number.in_(distances))
            rows = (await connection.execute(statement)).all()
            records = await with_tags(connection, rows)
        found = [Similar(record, distances[row.number]) for row, record in zip(rows, records, strict=True)]
        return sorted(found, key=lambda one: (one.distance, one.record.image_id))

    async def _groups(self, connection: AsyncConnection, digests: list[bytes]) -> tuple[tuple[ImageRecord, ...], ...]:
        statement = select_records().where(images.c.sha256.in_(digests)).order_by(images.c.sha256, images.c.id)
        groups = dict[str, tuple[ImageRecord, ...]]()
        for record in await with_tags(connection, (await connection.execute(statement)).all()):
            groups[record.sha256] = (*groups.get(record.sha256, ()), record)
        return tuple(groups.values())


def _distance(given: ColumnElement[Any], dialect: str) -> ColumnElement[int]:
    """Count differing bits; a scan, since even at 100,000 images it takes some ten milliseconds on either database."""
    if dialect == "sqlite":
        return func.hamming(images.c.perceptual_hash, given, type_=BIGINT)
    differing = images.c.perceptual_hash.bitwise_xor(given)
    return func.bit_count(cast(differing, BIT(64)), type_=BIGINT)
