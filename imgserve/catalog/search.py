"""Searches of images: pages in order, by filters, equal bytes or similarity."""

from collections.abc import Collection
from itertools import groupby

from sqlalchemy import BIGINT, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import BIT

from imgserve.catalog.conditions import in_order, matching, sort_value
from imgserve.catalog.database import Part, finished
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
from imgserve.catalog.tables import as_signed, image_id_of, images, select_records, stored_id, tags, with_tags
from imgserve.model import ImageRecord

_EVERY = ImageQuery()


class ImageSearch(Part):
    """The searches. Every method raises CatalogUnavailable if the database cannot be used now."""

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
        """Return a page of the images that match a query; changes between two pages do not shift the others.

        Raises:
            BadCursor: the cursor is not valid, or belongs to another order.
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

    async def ids(self, query: ImageQuery = _EVERY, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return the ids of the images that match a query and follow an id, in their order."""
        least = stored_id(after)
        if least is None:
            return []
        statement = select(images.c.id).where(matching(query, self.database.dialect), images.c.id > least)
        rows = await self.database.fetch(statement.order_by(images.c.id).limit(limit))
        return [image_id_of(row.id) for row in rows]

    async def totals(self, query: ImageQuery = _EVERY) -> Totals:
        """Return the number and size of the images that match a query."""
        statement = select(func.count().label("number"), func.coalesce(func.sum(images.c.size), 0).label("size"))
        statement = statement.select_from(images)
        (row,) = await self.database.fetch(statement.where(matching(query, self.database.dialect)))
        return Totals(int(row.number), int(row.size))

    async def tag_counts(self, limit: int = 1000) -> dict[str, int]:
        """Return the tags in use with the number of their images, the most used first."""
        number = func.count().label("number")
        statement = select(tags.c.tag, number).group_by(tags.c.tag).order_by(number.desc(), tags.c.tag).limit(limit)
        return {row.tag: int(row.number) for row in await self.database.fetch(statement)}

    @finished
    async def by_sha256_of(self, digests: Collection[str], *, limit: int = 1000) -> list[ImageRecord]:
        """Return the images whose original has one of these digests, in the order of their ids."""
        wanted = sorted({bytes.fromhex(digest) for digest in digests})
        statement = select_records().where(images.c.sha256.in_(wanted)).order_by(images.c.id).limit(limit)
        async with self.database.reading() as connection:
            return await with_tags(connection, (await connection.execute(statement)).all())

    async def by_sha256(self, sha256: str, *, limit: int = 100) -> list[ImageRecord]:
        """Return the images whose original has this digest, in the order of their ids."""
        try:
            return await self.by_sha256_of([sha256], limit=limit)
        except ValueError:
            return []

    @finished
    async def duplicates(self, *, limit: int = 50, cursor: str | None = None) -> Duplicates:
        """Return a page of groups of images with the same bytes.

        Raises:
            BadCursor: the cursor does not belong to this list.
        """
        least = b"" if cursor is None else read_digest(cursor)
        limit = max(1, min(limit, MOST))
        repeated = select(images.c.sha256).where(images.c.sha256 > least).group_by(images.c.sha256)
        statement = repeated.having(func.count() > 1).order_by(images.c.sha256).limit(limit + 1)
        async with self.database.reading() as connection:
            digests = (await connection.execute(statement)).scalars().all()
            same = select_records().where(images.c.sha256.in_(digests[:limit])).order_by(images.c.sha256, images.c.id)
            records = await with_tags(connection, (await connection.execute(same)).all())
        groups = tuple(tuple(group) for _, group in groupby(records, lambda one: one.sha256))
        return Duplicates(groups, write_digest(bytes(digests[limit - 1]).hex()) if len(digests) > limit else None)

    @finished
    async def similar(self, perceptual_hash: int, *, distance: int = 10, limit: int = 50) -> list[Similar]:
        """Return images whose perceptual hashes differ in at most `distance` bits, the most similar first."""
        given = bindparam("hash", as_signed(perceptual_hash), BIGINT)
        if self.database.dialect == "sqlite":
            bits = func.hamming(images.c.perceptual_hash, given, type_=BIGINT)
        else:
            bits = func.bit_count(cast(images.c.perceptual_hash.bitwise_xor(given), BIT(64)), type_=BIGINT)
        # Only the index of the hashes is scanned, in some ten milliseconds for 100,000; records are read for near ones.
        near = select(images.c.number, bits.label("distance")).where(bits <= distance)
        near = near.order_by("distance", images.c.number).limit(max(1, min(limit, MOST)))
        async with self.database.reading() as connection:
            distances = {row[0]: int(row[1]) for row in (await connection.execute(near)).all()}
            statement = select_records().where(images.c.number.in_(distances))
            rows = (await connection.execute(statement)).all()
            records = await with_tags(connection, rows)
        found = [Similar(record, distances[row.number]) for row, record in zip(rows, records, strict=True)]
        return sorted(found, key=lambda one: (one.distance, one.record.image_id))
