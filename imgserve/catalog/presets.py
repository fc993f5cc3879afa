"""Presets that people edit, for all processes and nodes."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Table, and_, delete, select, update

from imgserve.catalog.access import state_of
from imgserve.catalog.database import Part
from imgserve.catalog.tables import TEXT, Storage, StoredRecord, insert_in, metadata, microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPreset:
    """A preset as it is stored."""

    name: str
    parameters: str
    """As a query."""
    changed: datetime


_presets = StoredRecord(StoredPreset, {"name": Storage(TEXT, key=True)})
presets = Table("presets", metadata, *_presets.columns(), sqlite_with_rowid=False)


class Presets(Part):
    """The presets that people edit. Every method raises CatalogUnavailable if the database cannot be used now."""

    async def all(self) -> dict[str, StoredPreset]:
        """Return the presets by name."""
        rows = await self.database.fetch(select(presets).order_by(presets.c.name))
        return {row.name: _presets.record(row) for row in rows}

    async def state(self) -> tuple[int, ...]:
        """Return what changes with every change of a preset."""
        (row,) = await self.database.fetch(select(*state_of(presets, presets.c.changed)))
        return tuple(map(int, row))

    async def store(self, name: str, parameters: str, *, former: StoredPreset | None) -> StoredPreset | None:
        """Store a preset in place of the former one; return it, or None if that is not there any more."""
        new = StoredPreset(name=name, parameters=parameters, changed=datetime.now(UTC))
        row = _presets.row(new)
        if former is None:
            statement = insert_in(presets, self.database.dialect).values(row).on_conflict_do_nothing()
        else:
            statement = update(presets).where(_is(former)).values(row)
        return new if await self.database.execute(statement) > 0 else None

    async def remove(self, former: StoredPreset) -> bool:
        """Remove a preset; return whether it was as it is known."""
        return await self.database.execute(delete(presets).where(_is(former))) > 0


def _is(former: StoredPreset) -> ColumnElement[bool]:
    return and_(presets.c.name == former.name, presets.c.changed == microseconds(former.changed))
