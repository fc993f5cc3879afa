"""The records of images, read and written one by one or in bulk, and where moved images went."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.batched import Batched
from imgserve.catalog.conditions import having_tags, matching
from imgserve.catalog.database import Database, Part, finished
from imgserve.catalog.query import ImageQuery
from imgserve.catalog.tables import (
    after_prefix,
    as_row,
    checked_id,
    faces_of,
    image_id_of,
    images,
    insert_in,
    metadata,
    microseconds,
    pieces,
    select_records,
    stored_id,
    stored_ids,
    tags,
    with_tags,
)
from imgserve.catalog.words import stored_words
from imgserve.errors import ImageExists, ImageNotFound
from imgserve.model import FocalPoint, Focus, ImageRecord, bytes_version, clean_tags

LONG = 120.0
"""Seconds that a change of many records may take."""
_FEW = 40
"""Changes that take no longer than one does."""
_KEPT = {"created", "changed"}
"""Fields that are not compared: the creation time never changes, and the change time follows from the rest."""
Selection = ImageQuery | Collection[str]
"""A selection of images: a query, or their ids."""
Merge = Callable[[ImageRecord | None], ImageRecord | None]
"""Returns the new record for the existing one, which may be None; None changes nothing. May be called repeatedly."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The record before and after a merge; they are equal where nothing was changed."""

    before: ImageRecord | None
    record: ImageRecord | None


class Images(Part):
    """The records."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._version_of = Batched(self._version_of_each)

    @finished
    async def merge_many(self, merges: Mapping[str, Merge]) -> dict[str, Merged]:
        """Write records that are computed from the existing ones, in the transaction that reads those.

        Raises BadRequest if an image id cannot be stored.
        """
        if not merges:
            return {}
        ids = {checked_id(image_id): merge for image_id, merge in merges.items()}
        wanted = dict(sorted(ids.items(), key=itemgetter(0)))
        for alone in (False, True):
            async with self.database.writing(LONG if len(merges) > _FEW else None) as connection:
                if alone:
                    await connection.execute(sa.text("LOCK TABLE images IN EXCLUSIVE MODE"))
                merged = await _merge_rows(connection, wanted)
                if alone or len(merged) == len(wanted):
                    break
                # Others have deleted some of the images meanwhile.
                await connection.rollback()
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

    async def focus(self, image_id: str) -> Focus:
        """Return what crops show of an image: one look-up in an index."""
        stored = stored_id(image_id)
        if stored is None:
            return Focus()
        columns = (images.c.focal_x, images.c.focal_y, images.c.faces, images.c.version)
        rows = await self.database.fetch(sa.select(*columns).where(images.c.id == stored))
        if not rows:
            return Focus()
        row = rows[0]
        point = None if row.focal_x is None else FocalPoint(row.focal_x, row.focal_y)
        return Focus(point, faces_of(row.faces), bytes_version(row.version))

    async def version_of(self, image_id: str, *, wait: float = 0.0) -> str | None:
        """Return the version of an image, or None; wait so many seconds for other such look-ups."""
        return await self._version_of(image_id, wait=wait)

    async def _version_of_each(self, image_ids: Sequence[str]) -> list[str | None]:
        found = await self.versions_of(image_ids)
        return [found.get(image_id) for image_id in image_ids]

    async def versions_of(self, image_ids: Collection[str]) -> dict[str, str]:
        """Return the versions of those of these images that are recorded."""
        found = dict[str, str]()
        for some in pieces(stored_ids(image_ids)):
            rows = await self.database.fetch(sa.select(images.c.id, images.c.version).where(images.c.id.in_(some)))
            found |= {image_id_of(row.id): row.version for row in rows}
        return found

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Return the versions of images in the order of their ids, to compare with the originals."""
        return await versions_between(self.database, images, prefix, after, limit)

    @finished
    async def change(self, image_id: str, fields: dict[str, Any], *, at: datetime | None = None) -> ImageRecord:
        """Change these fields of a record; return the new record. Redirects to an image follow it to a new id.

        Raises:
            ImageNotFound: there is no such record.
            ImageExists: the new id is in use.
            BadRequest: the new id cannot be stored.
            ValueError: a field would not be valid.
        """
        try:
            async with self.database.writing() as connection:
                known = await _known_rows(connection, stored_ids([image_id]))
                if not known:
                    raise ImageNotFound
                ((number, old),) = known.values()
                new = replace(old, **fields, changed=at or datetime.now(UTC))
                if not await _change_rows(connection, [(number, old, new)]):
                    return old
                if new.image_id != old.image_id:
                    await move_redirects(connection, checked_id(old.image_id), checked_id(new.image_id))
                return new
        except IntegrityError as error:
            raise ImageExists from error

    @finished
    async def retag(
        self,
        selection: Selection,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        at: datetime | None = None,
    ) -> int:
        """Remove tags from all images or none, and add others, even those; return how many images change."""
        added = clean_tags(add)
        removed = tuple(tag for tag in clean_tags(remove) if tag not in added)
        if not added and not removed:
            return 0
        lacking = [having_tags(added) < len(added)] if added else []
        having = [having_tags(removed) > 0] if removed else []
        async with self.database.writing(LONG) as connection:
            numbers = await self._numbers(connection, selection, sa.or_(*lacking, *having))
            for some in pieces(numbers):
                if removed:
                    await connection.execute(sa.delete(tags).where(tags.c.image.in_(some), tags.c.tag.in_(removed)))
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
            for some in pieces(await self._numbers(connection, selection, sa.true())):
                statement = sa.delete(images).where(images.c.number.in_(some)).returning(images.c.id)
                deleted += (await connection.execute(statement)).scalars()
        return sorted(image_id_of(stored) for stored in deleted)

    async def _numbers(
        self, connection: AsyncConnection, selection: Selection, affected: sa.ColumnElement[bool]
    ) -> Sequence[int]:
        """Return the rows that would change, locked: the change itself may undo what selected them."""
        if isinstance(selection, ImageQuery):
            conditions = [matching(selection, self.database.dialect)]
        else:
            conditions = [images.c.id.in_(some) for some in pieces(stored_ids(selection))]
        numbers = list[int]()
        for condition in conditions:
            statement = sa.select(images.c.number).where(condition, affected).order_by(images.c.id).with_for_update()
            numbers += (await connection.execute(statement)).scalars()
        return numbers


async def _add_tag(connection: AsyncConnection, numbers: list[int], name: str) -> None:
    new = insert_in(tags, connection.dialect.name)
    row = sa.select(images.c.number, sa.literal(name), sa.literal(stored_words([name])))
    rows = row.where(images.c.number.in_(numbers))
    await connection.execute(new.from_select(["image", "tag", "words"], rows).on_conflict_do_nothing())


async def _update_words(connection: AsyncConnection, numbers: list[int], at: datetime | None) -> None:
    """Compute the searched words of images from their tags."""
    joined = sa.select(sa.func.aggregate_strings(tags.c.words, " ")).where(
        tags.c.image == images.c.number, tags.c.words != ""
    )
    values = {
        "tag_words": sa.func.coalesce(joined.correlate(images).scalar_subquery(), ""),
        "changed": microseconds(at or datetime.now(UTC)),
    }
    await connection.execute(sa.update(images).where(images.c.number.in_(numbers)).values(values))


async def _merge_rows(connection: AsyncConnection, merges: Mapping[bytes, Merge]) -> dict[bytes, Merged]:
    """Merge records in the order of their ids, without those that others delete meanwhile.

    Rows are inserted before others are locked. So who waits for a new row holds no lock on an old one, and two writers
    never wait for each other in a circle.
    """
    ids = (sa.select(images.c.id).where(images.c.id.in_(some)) for some in pieces(merges))
    known = {bytes(stored) for query in ids for stored in await connection.scalars(query)}
    added = {stored: merge(None) for stored, merge in merges.items() if stored not in known}
    done = {stored: Merged(None, None) for stored, record in added.items() if record is None}
    done |= await _add_rows(connection, {stored: record for stored, record in added.items() if record is not None})
    changes = list[tuple[int, ImageRecord, ImageRecord]]()
    left = (stored for stored in merges if stored not in done)
    for stored, (number, old) in (await _known_rows(connection, left)).items():
        new = merges[stored](old)
        changes.append((number, old, old if new is None else replace(new, created=old.created)))
    changed = await _change_rows(connection, changes)
    for number, old, new in changes:
        done[checked_id(old.image_id)] = Merged(old, new if number in changed else old)
    return done


async def _known_rows(connection: AsyncConnection, ids: Iterable[bytes]) -> dict[bytes, tuple[int, ImageRecord]]:
    """Return the existing records with the numbers of their rows, locked until the transaction ends."""
    found = dict[bytes, tuple[int, ImageRecord]]()
    for some in pieces(ids):
        query = select_records().where(images.c.id.in_(some)).order_by(images.c.id).with_for_update()
        rows = (await connection.execute(query)).all()
        records = await with_tags(connection, rows)
        found |= {bytes(row.id): (row.number, record) for row, record in zip(rows, records, strict=True)}
    return found


async def _change_rows(
    connection: AsyncConnection, changes: Sequence[tuple[int, ImageRecord, ImageRecord]]
) -> set[int]:
    """Write the fields in which records differ, by the numbers of their rows; return the numbers of those that do."""
    changed, updates = set[int](), defaultdict[frozenset[str], list[dict[str, Any]]](list)
    retagged = dict[int, tuple[str, ...]]()
    for number, old, new in changes:
        before, after = as_row(old), as_row(new)
        differing = frozenset(name for name in after if after[name] != before[name]) - _KEPT
        if old.tags != new.tags:
            retagged[number] = new.tags
        if differing or number in retagged:
            changed.add(number)
            names = differing | {"changed"}
            updates[names].append({name: after[name] for name in names} | {"row_number": number})
    for names, values in updates.items():
        statement = sa.update(images).where(images.c.number == sa.bindparam("row_number"))
        await connection.execute(statement.values({name: sa.bindparam(name) for name in sorted(names)}), values)
    for some in pieces(retagged):
        await connection.execute(sa.delete(tags).where(tags.c.image.in_(some)))
    await _tag(connection, retagged)
    return changed


async def _add_rows(connection: AsyncConnection, records: Mapping[bytes, ImageRecord]) -> dict[bytes, Merged]:
    """Insert the rows that do not exist yet; return them."""
    if not records:
        return {}
    new = insert_in(images, connection.dialect.name)
    statement = new.on_conflict_do_nothing(index_elements=[images.c.id]).returning(images.c.number, images.c.id)
    rows = (await connection.execute(statement, [as_row(record) for record in records.values()])).all()
    await _tag(connection, {row.number: records[bytes(row.id)].tags for row in rows})
    return {bytes(row.id): Merged(None, records[bytes(row.id)]) for row in rows}


async def _tag(connection: AsyncConnection, changes: Mapping[int, tuple[str, ...]]) -> None:
    words = {tag: stored_words([tag]) for tag in {tag for names in changes.values() for tag in names}}
    rows = [{"image": number, "tag": tag, "words": words[tag]} for number, names in changes.items() for tag in names]
    if rows:
        await connection.execute(sa.insert(tags), rows)


async def versions_between(database: Database, table: sa.Table, prefix: str, after: str, limit: int) -> dict[str, str]:
    """Return the versions of the rows of a table whose ids start with a prefix and follow another, in order."""
    first, least = stored_id(prefix), stored_id(after)
    if first is None or least is None:
        return {}
    query = sa.select(table.c.id, table.c.version).where(table.c.id >= first, table.c.id > least)
    if end := after_prefix(first):
        query = query.where(table.c.id < end)
    rows = await database.fetch(query.order_by(table.c.id).limit(limit))
    return {image_id_of(row.id): row.version for row in rows}


redirects = sa.Table(
    "redirects",
    metadata,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("target", sa.LargeBinary, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Index("redirects_by_target", "target"),
    sa.Index("redirects_by_until", "until"),
    sqlite_with_rowid=False,
)


class Redirects(Part):
    """The redirects."""

    async def add(self, image_id: str, target: str, until: datetime) -> None:
        """Redirect an id to another one until a time.

        The image may not be there yet. `Images.move` then makes the earlier redirects to the old id follow.

        Raises BadRequest if an image id cannot be stored.
        """
        new = insert_in(redirects, self.database.dialect)
        values = {"target": checked_id(target), "until": microseconds(until)}
        statement = new.values({"id": checked_id(image_id), **values})
        await self.database.execute(statement.on_conflict_do_update(index_elements=[redirects.c.id], set_=values))

    async def remove(self, image_id: str, target: str) -> None:
        """Delete the redirect of an id to this target, if there is one."""
        ids = redirects.c.id == checked_id(image_id), redirects.c.target == checked_id(target)
        await self.database.execute(sa.delete(redirects).where(*ids))

    async def end(self, image_ids: Collection[str]) -> None:
        """Delete the redirects of ids that have images again."""
        for some in pieces(stored_ids(image_ids)):
            await self.database.execute(sa.delete(redirects).where(redirects.c.id.in_(some)))

    async def targets(self, image_ids: Collection[str], *, at: datetime | None = None) -> Mapping[str, str]:
        """Return the ids to which some ids are redirected now, or at a time."""
        now = microseconds(at or datetime.now(UTC))
        found = dict[str, str]()
        for some in pieces(stored_ids(image_ids)):
            query = sa.select(redirects.c.id, redirects.c.target)
            rows = await self.database.fetch(query.where(redirects.c.id.in_(some), redirects.c.until > now))
            found |= {image_id_of(row.id): image_id_of(row.target) for row in rows}
        return found

    async def prune(self, at: datetime) -> int:
        """Delete the redirects that ended before a time; return how many."""
        return await self.database.execute(sa.delete(redirects).where(redirects.c.until <= microseconds(at)))


async def move_redirects(connection: AsyncConnection, old: bytes, new: bytes) -> None:
    """Point the redirects to an image at its new id, so that none leads to another one."""
    await connection.execute(sa.delete(redirects).where(redirects.c.id == new))
    await connection.execute(sa.update(redirects).where(redirects.c.target == old).values(target=new))
