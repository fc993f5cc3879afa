"""Writes records that follow from what is there, decided within the transaction: nobody writes in between."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.rows import as_row
from imgserve.catalog.writing import Outcome, add_rows, change_rows, known_rows
from imgserve.errors import CatalogUnavailable
from imgserve.model import ImageRecord

_ATTEMPTS = 5

Merge = Callable[[ImageRecord | None], ImageRecord | None]
"""Makes of a record, or of none, what is to be there instead; None to leave it as it is. May be called repeatedly."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What was there, what is there now, and what was done."""

    before: ImageRecord | None
    record: ImageRecord | None
    outcome: Outcome


async def merge_rows(connection: AsyncConnection, merges: Mapping[bytes, Merge]) -> dict[bytes, Merged]:
    """Decide and write. Ordered by id, so that two writers never wait for each other in a circle."""
    left, done = dict(sorted(merges.items())), dict[bytes, Merged]()
    for _ in range(_ATTEMPTS):
        known = await known_rows(connection, left)
        done |= await _change(connection, {stored: (*known[stored], left.pop(stored)) for stored in known})
        done |= await _add(connection, left)
        # Left is what another node has added between the two statements.
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
