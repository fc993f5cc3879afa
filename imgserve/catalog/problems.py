"""Files in the folders of originals that are not images, or not usable ones."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from imgserve.catalog.conditions import beginning
from imgserve.catalog.database import Part, finished
from imgserve.catalog.images import LONG, versions_between
from imgserve.catalog.query import MOST, read_id, write_id
from imgserve.catalog.tables import checked_id, image_id_of, microseconds, moment, pieces, problems, stored_ids
from imgserve.model import Problem, clean_text


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """A page of problems."""

    problems: tuple[Problem, ...]
    cursor: str | None
    """Start of the next page; None after the last."""


class Problems(Part):
    """The problems. Every method raises CatalogUnavailable if the database cannot be used now."""

    @finished
    async def put_many(self, added: Iterable[Problem]) -> None:
        """Insert problems, or update those with their ids, which keep their start as long as they keep their code.

        Raises:
            BadRequest: an image id cannot be stored.
        """
        rows = {
            checked_id(problem.image_id): {
                "id": checked_id(problem.image_id),
                "version": problem.version,
                "code": problem.code,
                "detail": clean_text(problem.detail),
                "since": microseconds(problem.since),
            }
            for problem in added
        }
        if not rows:
            return
        new = (postgresql if self.database.dialect == "postgresql" else sqlite).insert(problems)
        changed = {name: new.excluded[name] for name in ("version", "code", "detail")}
        since = case((problems.c.code == new.excluded.code, problems.c.since), else_=new.excluded.since)
        statement = new.on_conflict_do_update(index_elements=[problems.c.id], set_={**changed, "since": since})
        async with self.database.writing(LONG if len(rows) > 1 else None) as connection:
            await connection.execute(statement, [rows[stored] for stored in sorted(rows)])

    async def get(self, image_id: str) -> Problem | None:
        """Return a problem, or None."""
        return (await self.get_many([image_id])).get(image_id)

    async def get_many(self, image_ids: Collection[str]) -> dict[str, Problem]:
        """Return the existing problems by their ids."""
        found = dict[str, Problem]()
        for some in pieces(stored_ids(image_ids)):
            rows = await self.database.fetch(select(problems).where(problems.c.id.in_(some)))
            found |= {problem.image_id: problem for problem in map(_as_problem, rows)}
        return found

    @finished
    async def forget(self, image_ids: Collection[str]) -> int:
        """Delete problems; return how many existed."""
        wanted, number = stored_ids(image_ids), 0
        if not wanted:
            return 0
        async with self.database.writing(LONG if len(wanted) > 1 else None) as connection:
            for some in pieces(wanted):
                number += (await connection.execute(delete(problems).where(problems.c.id.in_(some)))).rowcount
        return number

    async def page(self, prefix: str = "", *, limit: int = 50, cursor: str | None = None) -> ProblemPage:
        """Return a page of the problems in the order of their ids.

        Raises:
            BadCursor: the cursor does not belong to this list.
        """
        limit = max(1, min(limit, MOST))
        query = select(problems).where(beginning(problems.c.id, prefix)).order_by(problems.c.id).limit(limit + 1)
        if cursor is not None:
            query = query.where(problems.c.id > read_id(cursor))
        rows = await self.database.fetch(query)
        found = tuple(map(_as_problem, rows[:limit]))
        return ProblemPage(found, write_id(found[-1].image_id) if len(rows) > limit else None)

    async def count(self) -> int:
        """Return the number of problems."""
        (row,) = await self.database.fetch(select(func.count()).select_from(problems))
        return int(row[0])

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Return the versions of problems in the order of their ids, to compare with the originals."""
        return await versions_between(self.database, problems, prefix, after, limit)


def _as_problem(row: Row[Any]) -> Problem:
    return Problem(image_id_of(row.id), row.version, row.code, row.detail, moment(row.since))
