"""Insert, update and merge records in an open transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.rows import as_row, pieces, select_records, stored_words, with_tags
from imgserve.catalog.tables import images, tags
from imgserve.errors import CatalogUnavailable
from imgserve.model import ImageRecord

_ATTEMPTS = 5
_KEPT = {"created", "changed"}
"""Fields that are not compared: the creation time never changes, and the change time follows from the rest."""


class Outcome(StrEnum):
    """Effect of writing a record."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


async def change_rows(
    connection: AsyncConnection, changes: Sequence[tuple[int, ImageRecord, ImageRecord]]
) -> dict[str, Outcome]:
    """Write the fields in which records differ, by the numbers of their rows."""
    outcomes, updates = dict[str, Outcome](), defaultdict[frozenset[str], list[dict[str, Any]]](list)
    retagged = dict[int, tuple[str, ...]]()
    for number, old, new in changes:
        before, after = as_row(old), as_row(new)
        differing = frozenset(name for name in after if after[name] != before[name]) - _KEPT
        outcomes[new.image_id] = Outcome.CHANGED if differing or old.tags != new.tags else Outcome.UNCHANGED
        if outcomes[new.image_id] is Outcome.CHANGED:
            names = differing | {"changed"}
            updates[names].append({name: after[name] for name in names} | {"row_number": number})
        if old.tags != new.tags:
            retagged[number] = new.tags
    for names, values in updates.items():
        await connection.execute(
            update(images)
            .where(images.c.number == bindparam("row_number"))
            .values({name: bindparam(name) for name in sorted(names)}),
            values,
        )
    await _retag(connection, retagged)
    return outcomes


async def add_rows(
    connection: AsyncConnection, rows: Mapping[bytes, tuple[ImageRecord, dict[str, Any]]]
) -> list[bytes]:
    """Insert the rows that do not exist yet; return their stored ids."""
    if not rows:
        return []
    new = postgresql.insert(images) if connection.dialect.name == "postgresql" else sqlite.insert(images)
    statement = new.on_conflict_do_nothing(index_elements=[images.c.id]).returning(images.c.number, images.c.id)
    added = (await connection.execute(statement, [row for _, row in rows.values()])).all()
    await _tag(connection, {row.number: rows[bytes(row.id)][0].tags for row in added})
    return [bytes(row.id) for row in added]


async def known_rows(connection: AsyncConnection, ids: Iterable[bytes]) -> dict[bytes, tuple[int, ImageRecord]]:
    """Return the existing records with the numbers of their rows, locked until the transaction ends."""
    found = dict[bytes, tuple[int, ImageRecord]]()
    for some in pieces(ids):
        query = select_records().where(images.c.id.in_(some)).order_by(images.c.id).with_for_update()
        rows = (await connection.execute(query)).all()
        records = await with_tags(connection, rows)
        found |= {bytes(row.id): (row.number, record) for row, record in zip(rows, records, strict=True)}
    return found


async def _retag(connection: AsyncConnection, changes: Mapping[int, tuple[str, ...]]) -> None:
    for some in pieces(changes):
        await connection.execute(delete(tags).where(tags.c.image.in_(some)))
    await _tag(connection, changes)


async def _tag(connection: AsyncConnection, changes: Mapping[int, tuple[str, ...]]) -> None:
    words = {tag: stored_words([tag]) for tag in {tag for names in changes.values() for tag in names}}
    rows = [{"image": number, "tag": tag, "words": words[tag]} for number, names in changes.items() for tag in names]
    if rows:
        await connection.execute(insert(tags), rows)


Merge = Callable[[ImageRecord | None], ImageRecord | None]
"""Returns the new record for the existing one, which may be None; None changes nothing. May be called repeatedly."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The record before and after a merge."""

    before: ImageRecord | None
    record: ImageRecord | None
    outcome: Outcome


async def merge_rows(connection: AsyncConnection, merges: Mapping[bytes, Merge]) -> dict[bytes, Merged]:
    """Merge records. Ordered by id, so that two writers never wait for each other in a circle."""
    left, done = dict(sorted(merges.items())), dict[bytes, Merged]()
    for _ in range(_ATTEMPTS):
        known = await known_rows(connection, left)
        done |= await _change(connection, {stored: (*known[stored], left.pop(stored)) for stored in known})
        done |= await _add(connection, left)
        # Another node has added the rest between the two statements.
        left = {stored: merge for stored, merge in left.items() if stored not in done}
        if not left:
            return done
    raise CatalogUnavailable("The same images are being recorded and deleted at once.", retry_after=1)


async def _change(
    connection: AsyncConnection, known: Mapping[bytes, tuple[int, ImageRecord, Merge]]
) -> dict[bytes, Merged]:
    changes, done = list[tuple[int, ImageRecord, ImageRecord]](), dict[bytes, Merged]()
    for stored, (number, old, merge) in known.items():
        new = merge(old)
        done[stored] = Merged(old, old, Outcome.UNCHANGED)
        if new is not None:
            kept = replace(new, created=old.created)
            changes.append((number, old, kept))
            done[stored] = Merged(old, kept, Outcome.CHANGED)
    outcomes = await change_rows(connection, changes)
    return {
        stored: merged
        if merged.record is None or outcomes.get(merged.record.image_id) is Outcome.CHANGED
        else Merged(merged.before, merged.before, Outcome.UNCHANGED)
        for stored, merged in done.items()
    }


async def _add(connection: AsyncConnection, absent: Mapping[bytes, Merge]) -> dict[bytes, Merged]:
    decided = {stored: merge(None) for stored, merge in absent.items()}
    rows = {stored: (record, as_row(record)) for stored, record in decided.items() if record is not None}
    done = {stored: Merged(None, None, Outcome.UNCHANGED) for stored, record in decided.items() if record is None}
    added = await add_rows(connection, rows)
    return done | {stored: Merged(None, rows[stored][0], Outcome.ADDED) for stored in added}
