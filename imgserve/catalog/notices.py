"""A log of changes, which server processes and nodes read by number."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import case, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.database import Part, finished
from imgserve.catalog.tables import image_id_of, microseconds, notices, stored_id

_LOCK = 0x696D676E6F74
"""An arbitrary number; this one spells imgnot."""

_AT_ONCE = 1000
"""Rows of one statement."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A change that other processes and nodes should know."""

    kind: Literal["changed", "purged", "everything"]
    """The record of the image changed; its renditions are outdated; all renditions are outdated."""
    image_id: str = ""
    """The image; empty for all images."""
    mezzanines: bool = False
    """Whether mezzanines are outdated too."""
    node: str = ""
    """The node that published it, which has removed everything from its disk already."""


class Notices(Part):
    """The log. Numbers rise, and a reader that continues from the last number it saw misses none.

    PostgreSQL assigns numbers before their transactions end, so that a lower number may become visible after a higher
    one. Therefore a publisher holds a lock until the end of its transaction, and gets its numbers under the lock.
    SQLite has one writer at a time.
    """

    @finished
    async def publish(self, added: Iterable[Notice], *, node: str = "", at: datetime | None = None) -> list[int]:
        """Add notices of a node to the log; return their numbers. Notices of ids that cannot be stored are left out."""
        now = microseconds(at or datetime.now(UTC))
        rows: list[dict[str, object]] = [
            {"kind": notice.kind, "id": stored, "published": now, "node": node, "mezzanines": notice.mezzanines}
            for notice in added
            if (stored := stored_id(notice.image_id)) is not None
        ]
        if not rows:
            return []
        async with self.database.writing() as connection:
            return await publish_rows(connection, rows)

    async def after(self, number: int, *, other_than: str = "", limit: int = 1000) -> list[tuple[int, Notice]]:
        """Return the notices that follow a number, in order, without those that this node published."""
        query = select(notices).where(notices.c.number > number).order_by(notices.c.number).limit(limit)
        if other_than:
            query = query.where(notices.c.node != other_than)
        rows = await self.database.fetch(query)
        return [(row.number, Notice(row.kind, image_id_of(row.id), row.mezzanines, row.node)) for row in rows]

    async def last(self) -> int:
        """Return the newest number, or 0."""
        (row,) = await self.database.fetch(select(func.coalesce(func.max(notices.c.number), 0)))
        return int(row[0])

    async def prune(self, changed: datetime, purged: datetime) -> int:
        """Delete notices of changes and of purges before these times; return how many.

        The newest notice stays, so that `last` never goes back.
        """
        newest = select(func.max(notices.c.number)).scalar_subquery()
        before = case((notices.c.kind == "changed", microseconds(changed)), else_=microseconds(purged))
        return await self.database.execute(
            delete(notices).where(notices.c.published < before, notices.c.number < newest)
        )


async def publish_rows(connection: AsyncConnection, rows: list[dict[str, object]]) -> list[int]:
    """Insert rows in an open transaction, for whose end all other publishers wait from here on."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    numbers = list[int]()
    for start in range(0, len(rows), _AT_ONCE):
        statement = insert(notices).returning(notices.c.number, sort_by_parameter_order=True)
        numbers += (await connection.execute(statement, rows[start : start + _AT_ONCE])).scalars()
    return numbers
