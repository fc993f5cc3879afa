"""Bulk imports: the jobs, the rows of their tables, and their images, as people see and control them."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.database import Part, finished
from imgserve.catalog.query import MOST, Page, page_of, read_number
from imgserve.catalog.tables import (
    NUMBER,
    TEXT,
    Storage,
    StoredRecord,
    checked_id,
    image_id_of,
    metadata,
    microseconds,
    pieces,
)
from imgserve.records import ImportItem, ImportJob, SlowHost, WebhookDelivery

_LONGEST = timedelta(minutes=20)
"""No image or host waits longer."""
_AT_ONCE = 5000
"""Rows that one transaction deletes."""
_LONG_SECONDS = 60.0
"""Time limit of a change of all images of a job."""
OPEN = ("queued", "fetching")
"""The states of images that a job waits for."""
FAILED = ("failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob(ImportJob):
    """A job as it is stored."""

    headers: tuple[str, ...] = ()
    """Of the columns of its table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem(ImportItem):
    """An image of a job as it is stored."""

    job: str
    row: int
    """The number of the row in which it first appears."""
    host: str
    key: bytes
    """A digest of product and URL, by which later imports find it."""
    etag: str = ""
    """The entity tag of the response, for a refresh."""
    owner: str = ""
    """Who fetches it."""
    lease: datetime | None = None
    """Until when it is being fetched; None if it is not. Without news of the owner, others fetch it afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery(WebhookDelivery):
    """A call of a webhook as it is stored."""

    job: str
    body: str = ""
    """Empty until the first attempt."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A row of the table of a job."""

    job: str
    number: int
    """From 0."""
    line: int
    product: str
    name: str
    """The product as the table has it."""
    cells: tuple[str, ...]
    items: tuple[int, ...]
    """The numbers of its images."""
    reason: str
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class ProductCounts:
    """A product of a job, and its images by state."""

    product: str
    states: Mapping[str, int]


_text = Storage(TEXT)
_jobs = StoredRecord(StoredJob, {"job_id": Storage(TEXT, column="id", unique=True)})
_items = StoredRecord(
    StoredItem,
    {
        "sha256": Storage(sa.LargeBinary, bytes.fromhex, bytes.hex),
        "image_id": Storage(sa.LargeBinary, checked_id, image_id_of),
    },
)
_rows = StoredRecord(
    ImportRow,
    {
        "job": Storage(TEXT, key=True),
        "number": Storage(sa.BigInteger, key=True),
        "items": Storage(TEXT, json.dumps, lambda text: tuple(json.loads(text))),
    },
)
_hosts = StoredRecord(SlowHost, {"host": Storage(TEXT, key=True)})
_deliveries = StoredRecord(StoredDelivery, {"delivery_id": Storage(TEXT, column="id", key=True)})
jobs = sa.Table(
    "imports",
    metadata,
    sa.Column("number", NUMBER, sa.Identity(), primary_key=True),
    *_jobs.columns(),
    sa.Index("imports_by_state", "state"),
)
rows = sa.Table("import_rows", metadata, *_rows.columns(), sqlite_with_rowid=False)
items = sa.Table(
    "import_items",
    metadata,
    sa.Column("number", NUMBER, sa.Identity(), primary_key=True),
    *_items.columns(),
    sa.Index("import_items_by_job", "job", "item", unique=True),
    sa.Index("import_items_by_due", "job", "state", "due"),
    sa.Index("import_items_by_product", "job", "product", "state"),
    sa.Index("import_items_by_key", "key"),
    sa.Index("import_items_by_sha256", "sha256", "product"),
    sa.Index("import_items_by_lease", "lease"),
)
hosts = sa.Table(
    "import_hosts",
    metadata,
    sa.Column("job", TEXT, primary_key=True),
    *_hosts.columns(),
    sqlite_with_rowid=False,
)
deliveries = sa.Table(
    "import_deliveries",
    metadata,
    *_deliveries.columns(),
    sa.Index("import_deliveries_by_due", "state", "due"),
    sa.Index("import_deliveries_by_job", "job"),
    sqlite_with_rowid=False,
)
as_job, as_item, as_row, as_delivery = _jobs.record, _items.record, _rows.record, _deliveries.record
item_row, delivery_row = _items.row, _deliveries.row


def item_key(product: str, url: str) -> bytes:
    """Return the digest by which an image is found again."""
    return hashlib.blake2b(f"{product}\0{url}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def now_microseconds() -> int:
    """Return the time as it is stored."""
    return microseconds(datetime.now(UTC))


def is_past(time: sa.Column[int], now: int, longest: timedelta = _LONGEST) -> sa.ColumnElement[bool]:
    """Return whether a time has come; one that is too far ahead is from before the clock was set back."""
    return sa.or_(time <= now, time > now + longest // timedelta(microseconds=1))


class Imports(Part):
    """The jobs."""

    async def create(self, job: StoredJob) -> None:
        """Store a new job."""
        await self.database.execute(sa.insert(jobs).values(_jobs.row(job)))

    @finished
    async def add(self, added_rows: Iterable[ImportRow], added: Iterable[StoredItem]) -> None:
        """Store rows of a job, and its images that are new in them."""
        async with self.database.writing() as connection:
            for table, stored in ((rows, map(_rows.row, added_rows)), (items, map(_items.row, added))):
                if values := list(stored):
                    await connection.execute(sa.insert(table), values)

    @finished
    async def start(self, job_id: str, headers: Sequence[str], totals: Mapping[str, int]) -> None:
        """Begin the work on a job whose rows are all stored."""
        values = {"state": "running", "changed": now_microseconds(), "headers": json.dumps(headers), **totals}
        async with self.database.writing() as connection:
            await connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
            await finish_done(connection, job_id)

    async def get(self, job_id: str) -> StoredJob | None:
        """Return a job, or None."""
        found = await self.database.fetch(sa.select(jobs).where(jobs.c.id == job_id))
        return as_job(found[0]) if found else None

    async def page(self, *, limit: int = 50, cursor: str | None = None) -> Page[StoredJob]:
        """Return a page of the jobs, the newest first."""
        query = sa.select(jobs).order_by(jobs.c.number.desc())
        if cursor is not None:
            query = query.where(jobs.c.number < read_number(cursor))
        found = await self.database.fetch(query.limit(limit + 1))
        return page_of(found, limit, as_job, lambda row: str(row.number))

    async def counts(self, job_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Return how many images each job has in each state."""
        number = sa.func.count().label("number")
        query = sa.select(items.c.job, items.c.state, number).where(items.c.job.in_(job_ids))
        counts = {job_id: dict[str, int]() for job_id in job_ids}
        for row in await self.database.fetch(query.group_by(items.c.job, items.c.state)):
            counts[row.job][row.state] = int(row.number)
        return counts

    async def slow_hosts(self, job_id: str) -> list[SlowHost]:
        """Return the hosts that a job waits for."""
        slow = (hosts.c.job == job_id, ~is_past(hosts.c.until, now_microseconds()))
        found = await self.database.fetch(sa.select(hosts).where(*slow).order_by(hosts.c.host).limit(MOST))
        return list(map(_hosts.record, found))

    async def products(self, job_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[ProductCounts]:
        """Return a page of the products of a job by name."""
        mine = sa.and_(items.c.job == job_id, items.c.product > (cursor or ""))
        names = sa.select(items.c.product).where(mine).distinct().order_by(items.c.product).limit(limit + 1)
        number = sa.func.count().label("number")
        query = sa.select(items.c.product, items.c.state, number).where(
            items.c.job == job_id, items.c.product.in_(names)
        )
        found = dict[str, dict[str, int]]()
        ordered = query.group_by(items.c.product, items.c.state).order_by(items.c.product, items.c.state)
        for row in await self.database.fetch(ordered):
            found.setdefault(row.product, {})[row.state] = int(row.number)
        return page_of(list(found.items()), limit, lambda one: ProductCounts(*one), lambda one: one[0])

    async def items(
        self,
        job_id: str,
        *,
        states: Collection[str] = (),
        product: str = "",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[StoredItem]:
        """Return a page of the images of a job in their order."""
        query = sa.select(items).where(items.c.job == job_id).order_by(items.c.item).limit(limit + 1)
        if states:
            query = query.where(items.c.state.in_(states))
        if product:
            query = query.where(items.c.product == product)
        if cursor is not None:
            query = query.where(items.c.item > read_number(cursor))
        found = await self.database.fetch(query)
        return page_of(found, limit, as_item, lambda row: str(row.item))

    async def first_items(self, job_id: str, products: Collection[str], number: int) -> list[StoredItem]:
        """Return the first images of each of some products of a job, in their order."""
        rank = sa.func.row_number().over(partition_by=items.c.product, order_by=items.c.item).label("rank")
        mine = sa.and_(items.c.job == job_id, items.c.product.in_(products))
        ranked = sa.select(items, rank).where(mine).subquery()
        query = sa.select(ranked).where(ranked.c.rank <= number).order_by(ranked.c.item)
        return list(map(as_item, await self.database.fetch(query)))

    async def rows(self, job_id: str, *, after: int = -1, limit: int = MOST) -> list[ImportRow]:
        """Return rows of a job in their order."""
        query = sa.select(rows).where(rows.c.job == job_id, rows.c.number > after)
        return list(map(as_row, await self.database.fetch(query.order_by(rows.c.number).limit(limit))))

    async def rows_of(self, claimed: Collection[StoredItem]) -> dict[tuple[str, int], ImportRow]:
        """Return the rows of images by jobs and numbers."""
        mine = sa.and_(rows.c.job.in_({one.job for one in claimed}), rows.c.number.in_({one.row for one in claimed}))
        found = map(as_row, await self.database.fetch(sa.select(rows).where(mine)))
        return {(row.job, row.number): row for row in found}

    async def numbered(self, job_id: str, numbers: Collection[int]) -> dict[int, StoredItem]:
        """Return images of a job by their numbers."""
        found = dict[int, StoredItem]()
        for some in pieces(sorted(numbers)):
            query = sa.select(items).where(items.c.job == job_id, items.c.item.in_(some))
            found |= {row.item: as_item(row) for row in await self.database.fetch(query)}
        return found

    async def deliveries(self, job_id: str) -> list[StoredDelivery]:
        """Return the latest calls of the webhook of a job."""
        query = sa.select(deliveries).where(deliveries.c.job == job_id)
        return list(map(as_delivery, await self.database.fetch(query.order_by(deliveries.c.due.desc()).limit(MOST))))

    @finished
    async def change_state(self, job_id: str, before: Collection[str], after: str) -> bool:
        """Change the state of a job; return whether it had one of the former states."""
        async with self.database.writing(_LONG_SECONDS) as connection:
            mine = sa.and_(jobs.c.id == job_id, jobs.c.state.in_(before))
            if after == "cancelled":
                # The images first, as everywhere: otherwise who finishes one of them would wait in a circle.
                queued = (items.c.job == job_id, items.c.state == "queued", sa.exists().where(mine))
                await connection.execute(_changed(*queued, state="cancelled", reason=""))
            change = sa.update(jobs).where(mine).values(state=after, changed=now_microseconds())
            if not (await connection.execute(change)).rowcount:
                await connection.rollback()
                return False
            if after == "running":
                await finish_done(connection, job_id)
        return True

    @finished
    async def retry(self, job_id: str, *, product: str = "", item: int | None = None) -> int:
        """Queue the failed and cancelled images again, of the job, a product or one; return how many."""
        mine = [items.c.job == job_id, items.c.state.in_(FAILED)]
        mine += [items.c.product == product] if product else []
        mine += [items.c.item == item] if item is not None else []
        async with self.database.writing(_LONG_SECONDS) as connection:
            now = now_microseconds()
            again = _changed(*mine, state="queued", reason="", attempts=0, due=now)
            number = (await connection.execute(again)).rowcount
            if number:
                await connection.execute(sa.delete(hosts).where(hosts.c.job == job_id))
                ended = sa.and_(jobs.c.id == job_id, jobs.c.state.in_(("finished", "cancelled")))
                await connection.execute(sa.update(jobs).where(ended).values(state="running", changed=now))
        return number

    @finished
    async def delete(self, job_id: str) -> None:
        """Delete a job with all that belongs to it; its images stay in the library."""
        gone = sa.update(jobs).where(jobs.c.id == job_id).values(state="deleting", changed=now_microseconds())
        await self.database.execute(gone)
        for table, key in ((items, items.c.item), (rows, rows.c.number)):
            some = sa.select(key).where(table.c.job == job_id).order_by(key).limit(_AT_ONCE).with_for_update()
            while await self.database.execute(sa.delete(table).where(table.c.job == job_id, key.in_(some))):
                pass
        for table in (hosts, deliveries):
            await self.database.execute(sa.delete(table).where(table.c.job == job_id))
        await self.database.execute(sa.delete(jobs).where(jobs.c.id == job_id))

    async def prune(self, before: datetime) -> int:
        """Delete the jobs that ended before a time, and those of an interrupted call; return how many."""
        hour_ago = microseconds(datetime.now(UTC) - timedelta(hours=1))
        ended = sa.and_(jobs.c.state.in_(("finished", "cancelled")), jobs.c.changed < microseconds(before))
        left = sa.and_(jobs.c.state.in_(("loading", "deleting")), jobs.c.changed < hour_ago)
        found = await self.database.fetch(sa.select(jobs.c.id).where(sa.or_(ended, left)))
        for row in found:
            await self.delete(row.id)
        return len(found)


def locked_items(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return what selects images that meet conditions, locked in one order: two changes do not wait for each other."""
    query = sa.select(items.c.number).where(*conditions).order_by(items.c.job, items.c.item)
    return items.c.number.in_(query.with_for_update())


def _changed(*mine: sa.ColumnElement[bool], **values: Any) -> sa.Update:
    return sa.update(items).where(locked_items(*mine)).values(**values, changed=now_microseconds())


async def finish_done(connection: AsyncConnection, job_id: str) -> bool:
    """Finish a running job that waits for no image, and plan the call of its webhook; return whether it ended."""
    waits = sa.exists().where(items.c.job == job_id, items.c.state.in_(OPEN))
    mine = sa.and_(jobs.c.id == job_id, jobs.c.state == "running", ~waits)
    done = sa.update(jobs).where(mine).values(state="finished", changed=now_microseconds())
    found = (await connection.execute(done.returning(jobs.c.webhook))).first()
    if found is None:
        return False
    if found.webhook:
        await plan_call(connection, job_id, found.webhook, "import.finished", "")
    return True


async def plan_call(connection: AsyncConnection, job_id: str, url: str, event: str, product: str) -> None:
    """Store a call of a webhook, which is made soon."""
    now = datetime.now(UTC)
    named = hashlib.blake2b(f"{job_id} {event} {product} {now}".encode(), digest_size=12).hexdigest()
    call = StoredDelivery(
        delivery_id=f"msg_{named}", event=event, product=product, url=url, state="waiting", due=now, changed=now,
        job=job_id,
    )  # fmt: skip
    await connection.execute(sa.insert(deliveries).values(_deliveries.row(call)))
