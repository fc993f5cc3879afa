"""Where images were moved to, so that their old URLs still lead to them for a time."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.database import Part
from imgserve.catalog.tables import checked_id, image_id_of, insert_in, metadata, microseconds, pieces, stored_ids

redirects = Table(
    "redirects",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("target", LargeBinary, nullable=False),
    Column("until", BigInteger, nullable=False),
    Index("redirects_by_target", "target"),
    Index("redirects_by_until", "until"),
    sqlite_with_rowid=False,
)


class Redirects(Part):
    """The redirects. Every method raises CatalogUnavailable if the database cannot be used now."""

    async def add(self, image_id: str, target: str, until: datetime) -> None:
        """Redirect an id to another one until a time.

        The image may not be there yet. `Images.move` then makes the earlier redirects to the old id follow.

        Raises BadRequest if an image id cannot be stored.
        """
        new = insert_in(redirects, self.database.dialect)
        values = {"target": checked_id(target), "until": microseconds(until)}
        statement = new.values({"id": checked_id(image_id), **values})
        await self.database.execute(statement.on_conflict_do_update(index_elements=[redirects.c.id], set_=values))

    async def remove(self, image_id: str, target: str) -> None:
        """Delete the redirect of an id to this target, if there is one."""
        ids = redirects.c.id == checked_id(image_id), redirects.c.target == checked_id(target)
        await self.database.execute(delete(redirects).where(*ids))

    async def end(self, image_ids: Collection[str]) -> None:
        """Delete the redirects of ids that have images again."""
        for some in pieces(stored_ids(image_ids)):
            await self.database.execute(delete(redirects).where(redirects.c.id.in_(some)))

    async def targets(self, image_ids: Collection[str], *, at: datetime | None = None) -> Mapping[str, str]:
        """Return the ids to which some ids are redirected now, or at a time."""
        now = microseconds(at or datetime.now(UTC))
        found = dict[str, str]()
        for some in pieces(stored_ids(image_ids)):
            query = select(redirects.c.id, redirects.c.target)
            rows = await self.database.fetch(query.where(redirects.c.id.in_(some), redirects.c.until > now))
            found |= {image_id_of(row.id): image_id_of(row.target) for row in rows}
        return found

    async def prune(self, at: datetime) -> int:
        """Delete the redirects that ended before a time; return how many."""
        return await self.database.execute(delete(redirects).where(redirects.c.until <= microseconds(at)))


async def move_redirects(connection: AsyncConnection, old: bytes, new: bytes) -> None:
    """Make the redirects to an image follow it to its new id, so that none leads to another one."""
    await connection.execute(delete(redirects).where(redirects.c.id == new))
    await connection.execute(update(redirects).where(redirects.c.target == old).values(target=new))
