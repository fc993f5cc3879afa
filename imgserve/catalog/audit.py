"""The audit log: who changed what, when and from where."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, LargeBinary, Row, Table, delete, insert, select

from imgserve.catalog.database import Part
from imgserve.catalog.query import MOST
from imgserve.catalog.tables import NUMBER, TEXT, image_id_of, metadata, microseconds, moment
from imgserve.errors import BadCursor
from imgserve.records import AuditEntry

audit = Table(
    "audit",
    metadata,
    Column("number", NUMBER, Identity(), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", TEXT, nullable=False),
    Column("address", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("target", LargeBinary, nullable=False),
    Column("before", TEXT, nullable=False),
    Column("after", TEXT, nullable=False),
    Column("request_id", TEXT, nullable=False),
    Index("audit_by_at", "at"),
    Index("audit_by_target", "target", "number"),
)

_MOST_CHARACTERS = 20_000
"""Longest state of an object in JSON; a longer one is replaced by its length."""


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
        row = {name: getattr(entry, name) for name in ("actor", "address", "action", "request_id")}
        row |= {name: _json(getattr(entry, name)) for name in ("before", "after")}
        target = entry.target.encode("utf-8", "surrogateescape")
        await self.database.execute(insert(audit).values(**row, at=microseconds(entry.at), target=target))

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
        return AuditPage(tuple(map(_entry, rows[:limit])), following)

    async def prune(self, before: datetime) -> int:
        """Delete entries from before a time; return how many."""
        return await self.database.execute(delete(audit).where(audit.c.at < microseconds(before)))


def _json(state: Mapping[str, Any]) -> str:
    text = json.dumps(dict(state), default=str, separators=(",", ":"))
    return text if len(text) <= _MOST_CHARACTERS else json.dumps({"characters": len(text)})


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        at=moment(row.at),
        actor=row.actor,
        address=row.address,
        action=row.action,
        target=image_id_of(row.target),
        before=json.loads(row.before),
        after=json.loads(row.after),
        request_id=row.request_id,
    )
