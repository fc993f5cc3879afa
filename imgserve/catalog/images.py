"""Records of images: stored, read, changed, renamed and deleted, one by one or in bulk."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, literal, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.conditions import having_tags, matching
from imgserve.catalog.database import Database, finished
from imgserve.catalog.query import ImageQuery
from imgserve.catalog.rows import pieces, select_records, stored_words, with_tags
from imgserve.catalog.tables import after_prefix, checked_id, image_id_of, images, microseconds, stored_id, tags
from imgserve.catalog.writing import Merge, Merged, Outcome, change_rows, known_row, merge_rows, put_rows
from imgserve.errors import ImageExists, ImageNotFound
from imgserve.model import FocalPoint, ImageRecord, clean_tags

LONG = 120.0
"""Seconds that a change of many records may take."""
_PUT_AT_ONCE = 1000


class Images:
    """The records. Every method raises CatalogUnavailable where the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        """Take the database that keeps them."""
        self.database = database

    async def put(self, record: ImageRecord) -> Outcome:
        """Add a record, or change what differs in the one with its id, whose time of creation stays.

        Raises:
            BadRequest: the image id cannot be stored.
        """
        return (await self.put_many([record]))[record.image_id]

    @finished
    async def put_many(self, records: Iterable[ImageRecord]) -> dict[str, Outcome]:
        """Put many records in one transaction, which keeps all of them or none; of equal ids the last counts."""
        wanted = {record.image_id: record for record in records}
        ids, outcomes = sorted(wanted, key=lambda image_id: stored_id(image_id) or b""), dict[str, Outcome]()
        if not ids:
            return outcomes
        async with self.database.writing(LONG if len(ids) > 1 else None) as connection:
            for start in range(0, len(ids), _PUT_AT_ONCE):
                some = [wanted[image_id] for image_id in ids[start : start + _PUT_AT_ONCE]]
                outcomes |= await put_rows(connection, some)
        return outcomes

    @finished
    async def merge_many(self, merges: Mapping[str, Merge]) -> dict[str, Merged]:
        """Write records that follow from what is there, decided in the one transaction that writes them.

        Raises:
            BadRequest: an image id cannot be stored.
        """
        if not merges:
            return {}
        wanted = {checked_id(image_id): merge for image_id, merge in merges.items()}
        async with self.database.writing(LONG if len(merges) > 1 else None) as connection:
            merged = await merge_rows(connection, wanted)
        return {image_id_of(key): one for key, one in merged.items()}

    async def get(self, image_id: str) -> ImageRecord | None:
        """Read a record; None where there is none."""
        return (await self.get_many([image_id])).get(image_id)

    @finished
    async def get_many(self, image_ids: Collection[str]) -> dict[str, ImageRecord]:
        """Read those records that there are, by their ids."""
        wanted, found = {stored_id(image_id) for image_id in image_ids} - {None}, list[ImageRecord]()
        if not wanted:
            return {}
        async with self.database.reading() as connection:
            for some in pieces(wanted):
                rows = (await connection.execute(select_records().where(images.c.id.in_(some)))).all()
                found += await with_tags(connection, rows)
        return {record.image_id: record for record in found}

    @finished
    async def focal_point(self, image_id: str) -> FocalPoint | None:
        """Tell what crops of an image keep, where somebody has said it: one look-up in an index."""
        stored = stored_id(image_id)
        if stored is None:
            return None
        query = select(images.c.focal_x, images.c.focal_y).where(images.c.id == stored, images.c.focal_x.is_not(None))
        async with self.database.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else FocalPoint(row.focal_x, row.focal_y)

    @finished
    async def versions_of(self, image_ids: Collection[str]) -> dict[str, str]:
        """Tell the versions of those of these images that are recorded."""
        wanted, found = {stored_id(image_id) for image_id in image_ids} - {None}, dict[str, str]()
        async with self.database.reading() as connection:
            for some in pieces(wanted):
                query = select(images.c.id, images.c.version).where(images.c.id.in_(some))
                found |= {image_id_of(row.id): row.version for row in (await connection.execute(query)).all()}
        return found

    @finished
    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Tell the versions of images in the order of their ids: what a walk over the originals compares with."""
        first, least = stored_id(prefix), stored_id(after)
        if first is None or least is None:
            return {}
        query = select(images.c.id, images.c.version).where(images.c.id >= first, images.c.id > least)
        if end := after_prefix(first):
            query = query.where(images.c.id < end)
        async with self.database.reading() as connection:
            rows = (await connection.execute(query.order_by(images.c.id).limit(limit))).all()
        return {image_id_of(row.id): row.version for row in rows}

    @finished
    async def change(self, image_id: str, fields: dict[str, Any], *, at: datetime | None = None) -> ImageRecord:
        """Change these fields of a record and leave all others; tell the record as it is then.

        Raises:
            ImageNotFound: there is none.
            ValueError: a field would not be valid.
        """
        async with self.database.writing() as connection:
            number, old = await _held(connection, image_id)
            new = replace(old, **fields, changed=at or datetime.now(UTC))
            outcome = (await change_rows(connection, [(number, old, new)]))[new.image_id]
        return old if outcome is Outcome.UNCHANGED else new

    async def rename(self, image_id: str, new_id: str, *, at: datetime | None = None) -> ImageRecord:
        """Give a record another id; everything else stays.

        Raises:
            ImageNotFound: there is none.
            ImageExists: the other id is taken.
            BadRequest: the other id cannot be stored.
        """
        try:
            return await self.change(image_id, {"image_id": new_id}, at=at)
        except IntegrityError as error:
            raise ImageExists from error

    @finished
    async def delete(self, image_id: str) -> bool:
        """Forget an image; tell whether it was known."""
        stored = stored_id(image_id)
        if stored is None:
            return False
        async with self.database.writing() as connection:
            return (await connection.execute(delete(images).where(images.c.id == stored))).rowcount > 0


async def _held(connection: AsyncConnection, image_id: str) -> tuple[int, ImageRecord]:
    stored = stored_id(image_id)
    found = None if stored is None else await known_row(connection, stored)
    if found is None:
        raise ImageNotFound
    return found


Selection = ImageQuery | Collection[str]
"""Which images are meant: a query, or their ids."""


class ImageSets:
    """The changes of many. All of one is kept or nothing, also when the process is killed."""

    def __init__(self, database: Database) -> None:
        """Take the database that keeps the records."""
        self.database = database

    async def tag(self, selection: Selection, names: Collection[str], *, at: datetime | None = None) -> int:
        """Give images these tags; tell how many did not have all of them."""
        return await self.retag(selection, add=names, at=at)

    async def untag(self, selection: Selection, names: Collection[str], *, at: datetime | None = None) -> int:
        """Take these tags from images; tell how many had one of them."""
        return await self.retag(selection, remove=names, at=at)

    @finished
    async def retag(
        self,
        selection: Selection,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        at: datetime | None = None,
    ) -> int:
        """Take tags from images and give them others; tell how many it changes. What is in both is given."""
        given = clean_tags(add)
        taken = tuple(tag for tag in clean_tags(remove) if tag not in given)
        if not given and not taken:
            return 0
        lacking = [having_tags(given) < len(given)] if given else []
        having = [having_tags(taken) > 0] if taken else []
        async with self.database.writing(LONG) as connection:
            numbers = await self._numbers(connection, selection, or_(*lacking, *having))
            for some in pieces(numbers):
                if taken:
                    await connection.execute(delete(tags).where(tags.c.image.in_(some), tags.c.tag.in_(taken)))
                for name in given:
                    await _add_tag(connection, some, name)
                await _follow(connection, some, at)
        return len(numbers)

    @finished
    async def delete(self, selection: Selection) -> list[str]:
        """Forget images; tell the ids of those that were known."""
        deleted = list[bytes]()
        async with self.database.writing(LONG) as connection:
            # Locked in the order of ids, like every writer does, so that two of them cannot deadlock.
            for some in pieces(await self._numbers(connection, selection, true())):
                statement = delete(images).where(images.c.number.in_(some)).returning(images.c.id)
                deleted += (await connection.execute(statement)).scalars()
        return sorted(image_id_of(stored) for stored in deleted)

    async def _numbers(
        self, connection: AsyncConnection, selection: Selection, affected: ColumnElement[bool]
    ) -> Sequence[int]:
        """Find the rows that are meant and would change, and hold them; the change may undo what chose them."""
        numbers = list[int]()
        for condition in self._conditions(selection):
            statement = select(images.c.number).where(condition, affected).order_by(images.c.id).with_for_update()
            numbers += (await connection.execute(statement)).scalars()
        return numbers

    def _conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        if isinstance(selection, ImageQuery):
            return [matching(selection, self.database.dialect)]
        ids = sorted({stored for image_id in selection if (stored := stored_id(image_id)) is not None})
        return [images.c.id.in_(some) for some in pieces(ids)]


async def _add_tag(connection: AsyncConnection, numbers: list[int], name: str) -> None:
    new = postgresql.insert(tags) if connection.dialect.name == "postgresql" else sqlite.insert(tags)
    rows = select(images.c.number, literal(name), literal(stored_words([name]))).where(images.c.number.in_(numbers))
    await connection.execute(new.from_select(["image", "tag", "words"], rows).on_conflict_do_nothing())


async def _follow(connection: AsyncConnection, numbers: list[int], at: datetime | None) -> None:
    """Have the words of images follow from their tags."""
    joined = select(func.aggregate_strings(tags.c.words, " ")).where(
        tags.c.image == images.c.number, tags.c.words != ""
    )
    values = {
        "tag_words": func.coalesce(joined.correlate(images).scalar_subquery(), ""),
        "changed": microseconds(at or datetime.now(UTC)),
    }
    await connection.execute(update(images).where(images.c.number.in_(numbers)).values(values))
