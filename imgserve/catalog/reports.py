"""What ingest reports besides records: problems of files, and notices of changes for other processes and nodes."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.conditions import beginning
from imgserve.catalog.database import Part, finished
from imgserve.catalog.images import LONG, versions_between
from imgserve.catalog.query import MOST, Page, page_of, read_id, write_id
from imgserve.catalog.tables import (
    NUMBER,
    TEXT,
    Storage,
    StoredRecord,
    checked_id,
    image_id_of,
    insert_in,
    metadata,
    microseconds,
    pieces,
    stored_id,
    stored_ids,
)
from imgserve.model import clean_text
from imgserve.records import FileProblem

_problems = StoredRecord(
    FileProblem,
    {
        "image_id": Storage(sa.LargeBinary, checked_id, image_id_of, column="id", key=True),
        "detail": Storage(TEXT, clean_text),
    },
)
problems = sa.Table("problems", metadata, *_problems.columns(), sqlite_with_rowid=False)

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("number", NUMBER, sa.Identity(), primary_key=True),
    sa.Column("kind", TEXT, nullable=False),
    sa.Column("id", sa.LargeBinary, nullable=False),
    sa.Column("published", sa.BigInteger, nullable=False),
    sa.Column("node", TEXT, nullable=False, server_default=""),
    sa.Column("mezzanines", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("notices_by_published", "published"),
    # Otherwise SQLite would begin again with low numbers once all rows are pruned.
    sqlite_autoincrement=True,
)

_LOCK = 0x696D676E6F74
"""An arbitrary number; this one spells imgnot."""


class Problems(Part):
    """The problems."""

    @finished
    async def put_many(self, added: Iterable[FileProblem]) -> None:
        """Insert problems, or update those with their ids, which keep their start as long as they keep their code.

        Raises BadRequest if an image id cannot be stored.
        """
        rows = {row["id"]: row for row in map(_problems.row, added)}
        if not rows:
            return
        new = insert_in(problems, self.database.dialect)
        changed = {name: new.excluded[name] for name in ("version", "code", "detail")}
        since = sa.case((problems.c.code == new.excluded.code, problems.c.since), else_=new.excluded.since)
        statement = new.on_conflict_do_update(index_elements=[problems.c.id], set_={**changed, "since": since})
        async with self.database.writing(LONG if len(rows) > 1 else None) as connection:
            await connection.execute(statement, [rows[stored] for stored in sorted(rows)])

    async def get(self, image_id: str) -> FileProblem | None:
        """Return a problem, or None."""
        return (await self.get_many([image_id])).get(image_id)

    async def get_many(self, image_ids: Collection[str]) -> dict[str, FileProblem]:
        """Return the existing problems by their ids."""
        found = dict[str, FileProblem]()
        for some in pieces(stored_ids(image_ids)):
            rows = await self.database.fetch(sa.select(problems).where(problems.c.id.in_(some)))
            found |= {problem.image_id: problem for problem in map(_problems.record, rows)}
        return found

    @finished
    async def forget(self, image_ids: Collection[str]) -> int:
        """Delete problems; return how many existed."""
        wanted, number = stored_ids(image_ids), 0
        if not wanted:
            return 0
        async with self.database.writing(LONG if len(wanted) > 1 else None) as connection:
            for some in pieces(wanted):
                locked = sa.select(problems.c.id).where(problems.c.id.in_(some)).order_by(problems.c.id)
                gone = sa.delete(problems).where(problems.c.id.in_(locked.with_for_update()))
                number += (await connection.execute(gone)).rowcount
        return number

    async def page(self, prefix: str = "", *, limit: int = 50, cursor: str | None = None) -> Page[FileProblem]:
        """Return a page of the problems in the order of their ids.

        Raises BadCursor if the cursor does not belong to this list.
        """
        limit = max(1, min(limit, MOST))
        query = sa.select(problems).where(beginning(problems.c.id, prefix)).order_by(problems.c.id).limit(limit + 1)
        if cursor is not None:
            query = query.where(problems.c.id > read_id(cursor))
        rows = await self.database.fetch(query)
        return page_of(rows, limit, _problems.record, lambda row: write_id(image_id_of(row.id)))

    async def count(self) -> int:
        """Return the number of problems."""
        (row,) = await self.database.fetch(sa.select(sa.func.count()).select_from(problems))
        return int(row[0])

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Return the versions of problems in the order of their ids, to compare with the originals."""
        return await versions_between(self.database, problems, prefix, after, limit)


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
    async def publish(self, added: Iterable[Notice], *, node: str = "", at: datetime | None = None) -> None:
        """Add notices of a node to the log in their order. Notices of ids that cannot be stored are left out."""
        now = microseconds(at or datetime.now(UTC))
        rows: list[dict[str, object]] = [
            {"kind": notice.kind, "id": stored, "published": now, "node": node, "mezzanines": notice.mezzanines}
            for notice in added
            if (stored := stored_id(notice.image_id)) is not None
        ]
        if rows:
            async with self.database.writing() as connection:
                await publish_rows(connection, rows)

    async def after(self, number: int, *, other_than: str = "", limit: int = 1000) -> list[tuple[int, Notice]]:
        """Return the notices that follow a number, in order, without those that this node published."""
        query = sa.select(notices).where(notices.c.number > number).order_by(notices.c.number).limit(limit)
        if other_than:
            query = query.where(notices.c.node != other_than)
        rows = await self.database.fetch(query)
        return [(row.number, Notice(row.kind, image_id_of(row.id), row.mezzanines, row.node)) for row in rows]

    async def last(self) -> int:
        """Return the newest number, or 0."""
        (row,) = await self.database.fetch(sa.select(sa.func.coalesce(sa.func.max(notices.c.number), 0)))
        return int(row[0])

    async def prune(self, changed: datetime, purged: datetime) -> int:
        """Delete notices of changes and of purges before these times; return how many.

        The newest notice stays, so that `last` never goes back.
        """
        newest = sa.select(sa.func.max(notices.c.number)).scalar_subquery()
        before = sa.case((notices.c.kind == "changed", microseconds(changed)), else_=microseconds(purged))
        return await self.database.execute(
            sa.delete(notices).where(notices.c.published < before, notices.c.number < newest)
        )


async def publish_rows(connection: AsyncConnection, rows: list[dict[str, object]]) -> None:
    """Insert rows in an open transaction, for whose end all other publishers wait from here on."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    await connection.execute(sa.insert(notices), rows)
