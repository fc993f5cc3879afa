"""Files among the originals that are no image, or none that can be used."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from imgserve.catalog.conditions import beginning
from imgserve.catalog.database import Database, finished
from imgserve.catalog.images import LONG
from imgserve.catalog.query import MOST, read_id, write_id
from imgserve.catalog.rows import pieces
from imgserve.catalog.tables import after_prefix, checked_id, image_id_of, microseconds, moment, problems, stored_id
from imgserve.model import Problem, clean_text


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """A piece of the list of problems."""

    problems: tuple[Problem, ...]
    cursor: str | None
    """Where the next piece begins; None after the last."""


class Problems:
    """The problems. Every method raises CatalogUnavailable where the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        """Take the database that keeps them."""
        self.database = database

    async def put(self, problem: Problem) -> None:
        """Add a problem, or change the one with its id; as long as its code stays, so does its beginning.

        Raises:
            BadRequest: the image id cannot be stored.
        """
        await self.put_many([problem])

    @finished
    async def put_many(self, added: Iterable[Problem]) -> None:
        """Put many in one transaction; of equal ids the last counts."""
        rows = {row["id"]: row for row in map(_as_row, added)}
        if not rows:
            return
        new = (postgresql if self.database.dialect == "postgresql" else sqlite).insert(problems)
        changed = {name: new.excluded[name] for name in ("version", "code", "detail")}
        since = case((problems.c.code == new.excluded.code, problems.c.since), else_=new.excluded.since)
        statement = new.on_conflict_do_update(index_elements=[problems.c.id], set_={**changed, "since": since})
        async with self.database.writing(LONG if len(rows) > 1 else None) as connection:
            await connection.execute(statement, [rows[stored] for stored in sorted(rows)])

    async def get(self, image_id: str) -> Problem | None:
        """Read a problem; None where there is none."""
        return (await self.get_many([image_id])).get(image_id)

    @finished
    async def get_many(self, image_ids: Collection[str]) -> dict[str, Problem]:
        """Read those problems that there are, by their ids."""
        wanted = {stored_id(image_id) for image_id in image_ids} - {None}
        if not wanted:
            return {}
        async with self.database.reading() as connection:
            rows = [
                row
                for some in pieces(wanted)
                for row in (await connection.execute(select(problems).where(problems.c.id.in_(some)))).all()
            ]
        return {found.image_id: found for found in map(_as_problem, rows)}

    @finished
    async def forget(self, image_ids: Collection[str]) -> int:
        """Forget problems; tell how many there were."""
        wanted, number = sorted({stored_id(image_id) or b"" for image_id in image_ids}), 0
        if not wanted:
            return 0
        async with self.database.writing(LONG if len(wanted) > 1 else None) as connection:
            for some in pieces(wanted):
                number += (await connection.execute(delete(problems).where(problems.c.id.in_(some)))).rowcount
        return number

    @finished
    async def page(self, prefix: str = "", *, limit: int = 50, cursor: str | None = None) -> ProblemPage:
        """List problems in the order of their ids, from where a cursor says.

        Raises:
            BadCursor: the cursor is none of this list.
        """
        limit = max(1, min(limit, MOST))
        query = select(problems).where(beginning(problems.c.id, prefix)).order_by(problems.c.id).limit(limit + 1)
        if cursor is not None:
            query = query.where(problems.c.id > read_id(cursor))
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        found = tuple(map(_as_problem, rows[:limit]))
        return ProblemPage(found, write_id(found[-1].image_id) if len(rows) > limit else None)

    @finished
    async def count(self) -> int:
        """Count the problems."""
        async with self.database.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(problems))).scalar_one())

    @finished
    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Tell the versions of problems in the order of their ids: what a walk over the originals compares with."""
        first, least = stored_id(prefix), stored_id(after)
        if first is None or least is None:
            return {}
        query = select(problems.c.id, problems.c.version).where(problems.c.id >= first, problems.c.id > least)
        if end := after_prefix(first):
            query = query.where(problems.c.id < end)
        async with self.database.reading() as connection:
            rows = (await connection.execute(query.order_by(problems.c.id).limit(limit))).all()
        return {image_id_of(row.id): row.version for row in rows}


def _as_row(problem: Problem) -> dict[str, Any]:
    return {
        "id": checked_id(problem.image_id),
        "version": problem.version,
        "code": problem.code,
        "detail": clean_text(problem.detail),
        "since": microseconds(problem.since),
    }


def _as_problem(row: Row[Any]) -> Problem:
    return Problem(image_id_of(row.id), row.version, row.code, row.detail, moment(row.since))
