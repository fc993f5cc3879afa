"""The records of images: read and written, one by one or in bulk."""

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
from imgserve.catalog.rows import pieces, select_records, stored_ids, stored_words, versions_between, with_tags
from imgserve.catalog.tables import checked_id, image_id_of, images, microseconds, stored_id, tags
from imgserve.catalog.writing import Merge, Merged, Outcome, change_rows, known_rows, merge_rows
from imgserve.errors import ImageExists, ImageNotFound
from imgserve.model import FocalPoint, ImageRecord, clean_tags

LONG = 120.0
"""Seconds that a change of many records may take."""


class Images:
    """The records. Every method raises CatalogUnavailable if the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        """Use the records in a database."""
        self.database = database

    async def put(self, record: ImageRecord) -> Outcome:
        """Insert a record, or update the one with its id, whose creation time stays.

        Raises:
            BadRequest: the image id cannot be stored.
        """
        return (await self.put_many([record]))[record.image_id]

    async def put_many(self, records: Iterable[ImageRecord]) -> dict[str, Outcome]:
        """Put many records in one transaction; of equal ids the last counts."""
        merged = await self.merge_many({record.image_id: _always(record) for record in records})
        return {image_id: one.outcome for image_id, one in merged.items()}

    @finished
    async def merge_many(self, merges: Mapping[str, Merge]) -> dict[str, Merged]:
        """Write records that are computed from the existing ones, in the transaction that reads those.

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
        """Return a record, or None."""
        return (await self.get_many([image_id])).get(image_id)

    @finished
    async def get_many(self, image_ids: Collection[str]) -> dict[str, ImageRecord]:
        """Return the existing records by their ids."""
        found = list[ImageRecord]()
        if not (wanted := stored_ids(image_ids)):
            return {}
        async with self.database.reading() as connection:
            for some in pieces(wanted):
                rows = (await connection.execute(select_records().where(images.c.id.in_(some)))).all()
                found += await with_tags(connection, rows)
        return {record.image_id: record for record in found}

    async def focal_point(self, image_id: str) -> FocalPoint | None:
        """Return the focal point of an image, or None: one look-up in an index."""
        stored = stored_id(image_id)
        if stored is None:
            return None
        query = select(images.c.focal_x, images.c.focal_y).where(images.c.id == stored, images.c.focal_x.is_not(None))
        rows = await self.database.fetch(query)
        return FocalPoint(rows[0].focal_x, rows[0].focal_y) if rows else None

    async def versions_of(self, image_ids: Collection[str]) -> dict[str, str]:
        """Return the versions of those of these images that are recorded."""
        found = dict[str, str]()
        for some in pieces(stored_ids(image_ids)):
            rows = await self.database.fetch(select(images.c.id, images.c.version).where(images.c.id.in_(some)))
            found |= {image_id_of(row.id): row.version for row in rows}
        return found

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Return the versions of images in the order of their ids, to compare with the originals."""
        return await versions_between(self.database, images, prefix, after, limit)

    @finished
    async def change(self, image_id: str, fields: dict[str, Any], *, at: datetime | None = None) -> ImageRecord:
        """Change these fields of a record; return the new record.

        Raises:
            ImageNotFound: there is no such record.
            ValueError: a field would not be valid.
        """
        stored = stored_id(image_id)
        async with self.database.writing() as connection:
            known = {} if stored is None else await known_rows(connection, [stored])
            if not known:
                raise ImageNotFound
            ((number, old),) = known.values()
            new = replace(old, **fields, changed=at or datetime.now(UTC))
            outcome = (await change_rows(connection, [(number, old, new)]))[new.image_id]
        return old if outcome is Outcome.UNCHANGED else new

    async def rename(self, image_id: str, new_id: str, *, at: datetime | None = None) -> ImageRecord:
        """Change the id of a record; everything else stays.

        Raises:
            ImageNotFound: there is no such record.
            ImageExists: the new id is in use.
            BadRequest: the new id cannot be stored.
        """
        try:
            return await self.change(image_id, {"image_id": new_id}, at=at)
        except IntegrityError as error:
            raise ImageExists from error

    async def delete(self, image_id: str) -> bool:
        """Delete a record; return whether it existed."""
        stored = stored_id(image_id)
        return stored is not None and await self.database.execute(delete(images).where(images.c.id == stored)) > 0


def _always(record: ImageRecord) -> Merge:
    return lambda _: record


Selection = ImageQuery | Collection[str]
"""A selection of images: a query, or their ids."""


class ImageSets:
    """Changes of many records, each in one transaction."""

    def __init__(self, database: Database) -> None:
        """Use the records in a database."""
        self.database = database

    @finished
    async def retag(
        self,
        selection: Selection,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        at: datetime | None = None,
    ) -> int:
        """Remove tags from images and add others; return how many images change. A tag in both is added."""
        added = clean_tags(add)
        removed = tuple(tag for tag in clean_tags(remove) if tag not in added)
        if not added and not removed:
            return 0
        lacking = [having_tags(added) < len(added)] if added else []
        having = [having_tags(removed) > 0] if removed else []
        async with self.database.writing(LONG) as connection:
            numbers = await self._numbers(connection, selection, or_(*lacking, *having))
            for some in pieces(numbers):
                if removed:
                    await connection.execute(delete(tags).where(tags.c.image.in_(some), tags.c.tag.in_(removed)))
                for name in added:
                    await _add_tag(connection, some, name)
                await _update_words(connection, some, at)
        return len(numbers)

    @finished
    async def delete(self, selection: Selection) -> list[str]:
        """Delete records; return the ids of those that existed."""
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
        """Return the rows that would change, locked: the change itself may undo what selected them."""
        numbers = list[int]()
        for condition in self._conditions(selection):
            statement = select(images.c.number).where(condition, affected).order_by(images.c.id).with_for_update()
            numbers += (await connection.execute(statement)).scalars()
        return numbers

    def _conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        if isinstance(selection, ImageQuery):
            return [matching(selection, self.database.dialect)]
        return [images.c.id.in_(some) for some in pieces(stored_ids(selection))]


async def _add_tag(connection: AsyncConnection, numbers: list[int], name: str) -> None:
    new = postgresql.insert(tags) if connection.dialect.name == "postgresql" else sqlite.insert(tags)
    rows = select(images.c.number, literal(name), literal(stored_words([name]))).where(images.c.number.in_(numbers))
    await connection.execute(new.from_select(["image", "tag", "words"], rows).on_conflict_do_nothing())


async def _update_words(connection: AsyncConnection, numbers: list[int], at: datetime | None) -> None:
    """Compute the searched words of images from their tags."""
    joined = select(func.aggregate_strings(tags.c.words, " ")).where(
        tags.c.image == images.c.number, tags.c.words != ""
    )
    values = {
        "tag_words": func.coalesce(joined.correlate(images).scalar_subquery(), ""),
        "changed": microseconds(at or datetime.now(UTC)),
    }
    await connection.execute(update(images).where(images.c.number.in_(numbers)).values(values))
