"""Counts of usage per hour: what clients, referrers and images cause, for all processes and nodes."""

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa

from imgserve.catalog.database import Part, finished
from imgserve.catalog.tables import TEXT, image_id_of, insert_in, metadata, microseconds
from imgserve.records import UsageCount

usage = sa.Table(
    "usage",
    metadata,
    # What is counted: rejections, renditions made, bytes sent; by client, referrer or image.
    sa.Column("what", TEXT, primary_key=True),
    sa.Column("by", TEXT, primary_key=True),
    sa.Column("subject", sa.LargeBinary, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Index("usage_by_hour", "hour"),
    sqlite_with_rowid=False,
)

_HOUR = 3600 * 1_000_000
_MOST_ROWS = 6000
"""Rows of an hour, after which only the largest ones of each kind stay."""
_KEPT_ROWS = 100
_MOST_BYTES = 500
"""Longest name of a subject that is stored."""
Counted = tuple[str, str, str]
"""What is counted, by what, and for whom."""


class Usage(Part):
    """Counts of usage."""

    @finished
    async def add(self, counts: Mapping[Counted, int], *, at: datetime) -> None:
        """Add counts to those of the hour of a time."""
        hour = microseconds(at) // _HOUR
        rows: dict[tuple[str, str, bytes], int] = {}
        for (what, by, subject), number in counts.items():
            key = what, by, subject.encode("utf-8", "surrogateescape")[:_MOST_BYTES]
            rows[key] = rows.get(key, 0) + number
        if not rows:
            return
        # In one order, so that two processes cannot wait for each other.
        values = [
            {"what": what, "by": by, "subject": subject, "hour": hour, "number": number}
            for (what, by, subject), number in sorted(rows.items())
        ]
        new = insert_in(usage, self.database.dialect)
        upsert = new.on_conflict_do_update(
            index_elements=list(usage.primary_key), set_={"number": usage.c.number + new.excluded.number}
        )
        async with self.database.writing() as connection:
            await connection.execute(upsert, values)
            many = sa.select(sa.func.count()).where(usage.c.hour == hour)
            if (await connection.execute(many)).scalar_one() > _MOST_ROWS:
                place = sa.func.row_number().over(
                    partition_by=(usage.c.what, usage.c.by), order_by=usage.c.number.desc()
                )
                ranked = sa.select(usage.c.what, usage.c.by, usage.c.subject, place.label("place"))
                some = ranked.where(usage.c.hour == hour).subquery()
                small = sa.select(some.c.what, some.c.by, some.c.subject).where(some.c.place > _KEPT_ROWS)
                columns = usage.c.what, usage.c.by, usage.c.subject
                these = sa.and_(usage.c.hour == hour, sa.tuple_(*columns).in_(small))
                # Rows that another process changes stay until the next time, since it may wait for this one.
                free = sa.select(*columns).where(these).with_for_update(skip_locked=True)
                await connection.execute(sa.delete(usage).where(usage.c.hour == hour, sa.tuple_(*columns).in_(free)))

    async def top(self, what: Collection[str], by: str, *, since: datetime, limit: int = 50) -> list[UsageCount]:
        """Return the subjects with the largest numbers since the hour of a time, the largest first."""
        total = sa.func.sum(usage.c.number).label("number")
        counted = (usage.c.what.in_(what), usage.c.by == by, usage.c.hour >= microseconds(since) // _HOUR)
        largest = sa.select(usage.c.subject).where(*counted).group_by(usage.c.subject)
        largest = largest.order_by(sa.func.sum(usage.c.number).desc(), usage.c.subject).limit(limit)
        parts = sa.select(usage.c.subject, usage.c.what, total).where(*counted, usage.c.subject.in_(largest))
        reasons: dict[str, dict[str, int]] = {}
        for row in await self.database.fetch(parts.group_by(usage.c.subject, usage.c.what)):
            reasons.setdefault(image_id_of(row.subject), {})[row.what] = int(row.number)
        found = [UsageCount(subject, sum(each.values()), each) for subject, each in reasons.items()]
        return sorted(found, key=lambda one: (-one.number, one.subject))

    async def prune(self, before: datetime) -> int:
        """Delete the counts of earlier hours; return how many there were."""
        return await self.database.execute(sa.delete(usage).where(usage.c.hour < microseconds(before) // _HOUR))
