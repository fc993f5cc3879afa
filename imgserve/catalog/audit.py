"""The audit log: who changed what, when and from where."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Identity, Index, LargeBinary, Table, delete, insert, select

from imgserve.catalog.database import Part
from imgserve.catalog.query import MOST, Page, page_of, read_number
from imgserve.catalog.tables import NUMBER, TEXT, Storage, StoredRecord, image_id_of, metadata, microseconds
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


class AuditLog(Part):
    """The audit log."""

    async def add(self, entry: AuditEntry) -> None:
        """Append an entry."""
        await self.database.execute(insert(audit).values(_entries.row(entry)))

    async def page(
        self, *, target: str = "", actor: str = "", action: str = "", limit: int = 50, cursor: str | None = None
    ) -> Page[AuditEntry]:
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
            query = query.where(audit.c.number < read_number(cursor))
        rows = await self.database.fetch(query)
        return page_of(rows, limit, _entries.record, lambda row: str(row.number))

    async def prune(self, before: datetime) -> int:
        """Delete entries from before a time; return how many."""
        return await self.database.execute(delete(audit).where(audit.c.at < microseconds(before)))
