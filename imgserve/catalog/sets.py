"""Changes many images at once, by ids or by a query, each time in one transaction."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, func, literal, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.conditions import having_tags, matching
from imgserve.catalog.database import Database
from imgserve.catalog.finishing import finished
from imgserve.catalog.identity import image_id_of, stored_id
from imgserve.catalog.images import LONG
from imgserve.catalog.query import ImageQuery
from imgserve.catalog.records import pieces
from imgserve.catalog.rows import microseconds
from imgserve.catalog.tables import images, tags
from imgserve.catalog.words import stored_words
from imgserve.model import clean_tags

Selection = ImageQuery | Collection[str]
"""Which images are meant: a query, or their ids."""


class ImageSets:
    """The changes of many. All of one is kept or nothing, also when the process is killed."""

    def __init__(self, database: Database) -> None:
        """Take the database that keeps the records."""
        self.database = database

    async def tag(self, selection: Selection, names: Collection[str], *, at: datetime | None = None) -> int:
        """Give images these tags; tell how many did not have all of them."""
        return await self.retag(selection, add=names, at=at)

    async def untag(self, selection: Selection, names: Collection[str], *, at: datetime | None = None) -> int:
        """Take these tags from images; tell how many had one of them."""
        return await self.retag(selection, remove=names, at=at)

    @finished
    async def retag(
        self,
        selection: Selection,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        at: datetime | None = None,
    ) -> int:
        """Take tags from images and give them others; tell how many it changes. What is in both is given."""
        given = clean_tags(add)
        taken = tuple(tag for tag in clean_tags(remove) if tag not in given)
        if not given and not taken:
            return 0
        lacking = [having_tags(given) < len(given)] if given else []
        having = [having_tags(taken) > 0] if taken else []
        async with self.database.writing(LONG) as connection:
            numbers = await self._numbers(connection, selection, or_(*lacking, *having))
            for some in pieces(numbers):
                if taken:
                    await connection.execute(delete(tags).where(tags.c.image.in_(some), tags.c.tag.in_(taken)))
                for name in given:
                    await _add_tag(connection, some, name)
                await _follow(connection, some, at)
        return len(numbers)

    @finished
    async def delete(self, selection: Selection) -> list[str]:
        """Forget images; tell the ids of those that were known."""
        deleted = list[bytes]()
        async with self.database.writing(LONG) as connection:
            # Held in the order of ids first, as every writer does: two of them never wait for each other in a circle.
            for some in pieces(await self._numbers(connection, selection, true())):
                statement = delete(images).where(images.c.number.in_(some)).returning(images.c.id)
                deleted += (await connection.execute(statement)).scalars()
        return sorted(image_id_of(stored) for stored in deleted)

    async def _numbers(
        self, connection: AsyncConnection, selection: Selection, affected: ColumnElement[bool]
    ) -> Sequence[int]:
        """Find the rows that are meant and would change, and hold them; the change may undo what chose them."""
        numbers = list[int]()
        for condition in self._conditions(selection):
            statement = select(images.c.number).where(condition, affected).order_by(images.c.id).with_for_update()
            numbers += (await connection.execute(statement)).scalars()
        return numbers

    def _conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        if isinstance(selection, ImageQuery):
            return [matching(selection, self.database.dialect)]
        ids = sorted({stored for image_id in selection if (stored := stored_id(image_id)) is not None})
        return [images.c.id.in_(some) for some in pieces(ids)]


async def _add_tag(connection: AsyncConnection, numbers: list[int], name: str) -> None:
    new = postgresql.insert(tags) if connection.dialect.name == "postgresql" else sqlite.insert(tags)
    rows = select(images.c.number, literal(name), literal(stored_words([name]))).where(images.c.number.in_(numbers))
    await connection.execute(new.from_select(["image", "tag", "words"], rows).on_conflict_do_nothing())


async def _follow(connection: AsyncConnection, numbers: list[int], at: datetime | None) -> None:
    """Have the words of images follow from their tags."""
    joined = select(func.aggregate_strings(tags.c.words, " ")).where(
        tags.c.image == images.c.number, tags.c.words != ""
    )
    values = {
        "tag_words": func.coalesce(joined.correlate(images).scalar_subquery(), ""),
        "changed": microseconds(at or datetime.now(UTC)),
    }
    await connection.execute(update(images).where(images.c.number.in_(numbers)).values(values))
