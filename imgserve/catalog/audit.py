"""The audit log: who changed what, when and from where."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Identity, Index, LargeBinary, Table, delete, insert, select

from imgserve.catalog.database import Part
from imgserve.catalog.query import MOST
from imgserve.catalog.tables import NUMBER, TEXT, Storage, StoredRecord, image_id_of, metadata, microseconds
from imgserve.errors import BadCursor
from imgserve.records import AuditEntry

_MOST_CHARACTERS = 20_000
"""Longest state of an object in JSON; a longer one is replaced by its length."""


def _json(state: Mapping[str, Any]) -> str:
    text = json.dumps(dict(state), default=str, separators=(",", ":"))
    return text if len(text) <= _MOST_CHARACTERS else json.dumps({"characters": len(text)})


_state = Storage(TEXT, _json, json.loads)
_entries = StoredRecord(
    AuditEntry,
    {
        "target": Storage(LargeBinary, lambda target: target.encode("utf-8", "surrogateescape"), image_id_of),
        "before": _state,
        "after": _state,
    },
)
audit = Table(
    "audit",
    metadata,
    Column("number", NUMBER, Identity(), primary_key=True),
    *_entries.columns(),
    Index("audit_by_at", "at"),
    Index("audit_by_target", "target", "number"),
)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the audit log."""

    entries: tuple[AuditEntry, ...]
    cursor: str | None
    """Start of the next page; None after the last."""


class AuditLog(Part):
    """The audit log. Every method raises CatalogUnavailable if the database cannot be used now."""

    async def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        await self.database.execute(insert(audit).values(_entries.row(entry)))

    async def page(
        self, *, target: str = "", actor: str = "", action: str = "", limit: int = 50, cursor: str | None = None
    ) -> AuditPage:
        """Return a page of the entries that match, the newest first.

        Raises BadCursor if the cursor does not belong to this list.
        """
        limit = max(1, min(limit, MOST))
        query = select(audit).order_by(audit.c.number.desc()).limit(limit + 1)
        if target:
            query = query.where(audit.c.target == target.encode("utf-8", "surrogateescape"))
        for column, value in ((audit.c.actor, actor), (audit.c.action, action)):
            query = query.where(column == value) if value else query
        if cursor is not None:
            if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):  # noqa: PLR2004  a 64-bit number
                raise BadCursor
            query = query.where(audit.c.number < int(cursor))
        rows = await self.database.fetch(query)
        following = str(rows[limit - 1].number) if len(rows) > limit else None
        return AuditPage(tuple(map(_entries.record, rows[:limit])), following)

    async def prune(self, before: datetime) -> int:
        """Delete entries from before a time; return how many."""
        return await self.database.execute(delete(audit).where(audit.c.at < microseconds(before)))
