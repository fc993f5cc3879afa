"""Renditions that failed or were slow, for all processes and nodes."""

import logging
from collections.abc import Iterable
from dataclasses import replace

import anyio
import sqlalchemy as sa

from imgserve.catalog.database import Part, finished
from imgserve.catalog.query import MOST
from imgserve.catalog.tables import TEXT, Storage, StoredRecord, checked_id, image_id_of, insert_in, metadata, stored_id
from imgserve.errors import CatalogUnavailable
from imgserve.model import clean_text
from imgserve.records import SLOW, RenderProblem

_MOST_CHARACTERS = 500
"""Of the parameters, since PostgreSQL allows 2704 bytes in a row of an index, and an id may have 2000."""
_renders = StoredRecord(
    RenderProblem,
    {
        "image_id": Storage(sa.LargeBinary, checked_id, image_id_of, column="id", key=True),
        "transform": Storage(TEXT, lambda text: clean_text(text)[:_MOST_CHARACTERS], key=True),
        "code": Storage(TEXT, key=True),
        "detail": Storage(TEXT, clean_text),
        "seconds": Storage(sa.Double),
    },
)
renders = sa.Table(
    "renders", metadata, *_renders.columns(), sa.Index("renders_by_last", "last"), sqlite_with_rowid=False
)
_STORED = 1000
"""Problems that are stored, the latest ones."""
_WAITING = 200
"""Problems of one process between two writes; further ones are not stored."""
_EVERY = 5.0
_logger = logging.getLogger(__name__)


class RenderProblems(Part):
    """The problems."""

    @finished
    async def add(self, added: Iterable[RenderProblem]) -> None:
        """Insert problems, or add to those of the same rendition and code; the oldest beyond a number are deleted."""
        rows = sorted(map(_renders.row, added), key=lambda row: (row["id"], row["transform"], row["code"]))
        if not rows:
            return
        new, old = insert_in(renders, self.database.dialect), renders.c
        longest = sa.case((new.excluded.seconds > old.seconds, new.excluded.seconds), else_=old.seconds)
        statement = new.on_conflict_do_update(
            index_elements=[old.id, old.transform, old.code],
            set_={
                "detail": new.excluded.detail,
                "seconds": longest,
                "times": old.times + new.excluded.times,
                "last": new.excluded.last,
            },
        )
        oldest = sa.select(old.last).order_by(old.last.desc()).offset(_STORED).limit(1).scalar_subquery()
        async with self.database.writing() as connection:
            await connection.execute(statement, rows)
            # Rows that another process changes stay until the next time, since it may wait for this one.
            columns = old.id, old.transform, old.code
            free = sa.select(*columns).where(old.last <= oldest).with_for_update(skip_locked=True)
            await connection.execute(sa.delete(renders).where(sa.tuple_(*columns).in_(free)))

    async def list(self, *, slow: bool, limit: int = 50) -> list[RenderProblem]:
        """Return the latest slow renditions, or the latest ones that failed."""
        query = sa.select(renders).where((renders.c.code == SLOW) == slow)
        rows = await self.database.fetch(query.order_by(renders.c.last.desc()).limit(max(1, min(limit, MOST))))
        return list(map(_renders.record, rows))

    async def clear(self) -> int:
        """Delete all; return how many there were."""
        return await self.database.execute(sa.delete(renders))


class RenderWatch:
    """Stores problems in the background; a rendering neither waits for it nor fails by it."""

    def __init__(self, problems: RenderProblems) -> None:
        self._problems = problems
        self._waiting = dict[tuple[str, str, str], RenderProblem]()

    def note(self, found: RenderProblem) -> None:
        """Store a problem soon, unless its image id is too long for the catalog."""
        if stored_id(found.image_id) is None:
            return
        key = found.image_id, found.transform, found.code
        earlier = self._waiting.get(key)
        if earlier is not None:
            seconds, times = max(earlier.seconds, found.seconds), earlier.times + found.times
            self._waiting[key] = replace(found, seconds=seconds, times=times)
        elif len(self._waiting) < _WAITING:
            self._waiting[key] = found

    async def run(self) -> None:
        """Store what was noted every five seconds, until cancelled."""
        while True:
            await anyio.sleep(_EVERY)
            await self.flush()

    async def flush(self) -> None:
        """Store what was noted; without the catalog it stays for the next time."""
        noted, self._waiting = self._waiting, {}
        try:
            await self._problems.add(noted.values())
        except CatalogUnavailable:
            _logger.debug("%d problems of renditions cannot be stored now", len(noted))
            for found in noted.values():
                self.note(found)
