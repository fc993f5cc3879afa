"""A small log by which server processes and nodes tell each other what changed; read by number."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.database import Database, finished
from imgserve.catalog.tables import image_id_of, microseconds, notices, stored_id

_LOCK = 0x696D676E6F74
"""Any number that is ours; this one spells imgnot."""

_AT_ONCE = 1000
"""Rows of one statement."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that others should know."""

    kind: Literal["changed", "purged", "everything"]
    """An image is another one or gone; its renditions were removed; all renditions were."""
    image_id: str = ""
    """Of which image; empty where it is about all."""


class Notices:
    """The log. Numbers rise, and whoever reads on from the last number that it saw misses none.

    That takes care in PostgreSQL, where numbers are given out before their transactions end: one with a lower number
    may become visible after one with a higher. So who publishes holds a lock until its transaction has ended, and
    takes its number under it. SQLite has one writer at a time anyway.
    """

    def __init__(self, database: Database) -> None:
        """Take the database that keeps them."""
        self.database = database

    @finished
    async def publish(self, scopes: Iterable[Notice], *, at: datetime | None = None) -> list[int]:
        """Tell others; gives the numbers, by which one's own are known. Ids that cannot be stored concern nobody."""
        known = [(scope, stored_id(scope.image_id)) for scope in scopes]
        now = microseconds(at or datetime.now(UTC))
        rows: list[dict[str, object]] = [
            {"kind": scope.kind, "id": stored, "published": now} for scope, stored in known if stored is not None
        ]
        if not rows:
            return []
        async with self.database.writing() as connection:
            return await publish_rows(connection, rows)

    @finished
    async def after(self, number: int, limit: int = 1000) -> list[tuple[int, Notice]]:
        """Read what was published since a number, in order."""
        query = select(notices).where(notices.c.number > number).order_by(notices.c.number).limit(limit)
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [(row.number, Notice(row.kind, image_id_of(row.id))) for row in rows]

    @finished
    async def last(self) -> int:
        """Tell the newest number; 0 where there is none."""
        async with self.database.reading() as connection:
            return int((await connection.execute(select(func.coalesce(func.max(notices.c.number), 0)))).scalar_one())

    @finished
    async def prune(self, before: datetime) -> int:
        """Forget what was published before; tell how many. The newest stays, so that `last` never goes back."""
        newest = select(func.max(notices.c.number)).scalar_subquery()
        statement = delete(notices).where(notices.c.published < microseconds(before), notices.c.number < newest)
        async with self.database.writing() as connection:
            return (await connection.execute(statement)).rowcount


async def publish_rows(connection: AsyncConnection, rows: list[dict[str, object]]) -> list[int]:
    """Add rows within an open transaction, which everybody else who publishes waits for from here on."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    numbers = list[int]()
    for start in range(0, len(rows), _AT_ONCE):
        statement = insert(notices).returning(notices.c.number, sort_by_parameter_order=True)
        numbers += (await connection.execute(statement, rows[start : start + _AT_ONCE])).scalars()
    return numbers
