"""The queue of bulk imports: images are claimed for a time, and finished by who claimed them."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.batched import BACKGROUND, Batched
from imgserve.catalog.database import Database, Part, finished
from imgserve.catalog.imports import (
    OPEN,
    StoredDelivery,
    StoredItem,
    as_delivery,
    as_item,
    deliveries,
    delivery_row,
    finish_done,
    hosts,
    is_past,
    item_row,
    items,
    jobs,
    locked_items,
    now_microseconds,
    plan_call,
)
from imgserve.catalog.tables import checked_id, image_id_of, insert_in, microseconds

_AHEAD = 8
"""Candidates that are read for each requested image, since many may be of hosts that are busy."""
_MOST_JOBS = 50
_OUTCOME = ("state", "attempts", "due", "status", "size", "sha256", "image_id", "reason", "etag")
"""What is stored when the work on an image ends."""
_LONGEST_CALL = timedelta(hours=16)
"""No call waits longer."""
_RESERVATION_LOCK = 0x696D67726573
"""An arbitrary number; this one spells imgres."""


@dataclass(frozen=True, slots=True)
class _Reservation:
    item: StoredItem
    sha256: bytes
    image_id: bytes


@dataclass(frozen=True, slots=True)
class _Outcome:
    item: StoredItem
    host: tuple[int, datetime | None, str] | None
    each_product: bool


class ImportQueue(Part):
    """The images to fetch, and the webhooks to call, for all processes and nodes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._reserve = Batched(self._reserve_many)
        self._finish = Batched(self._finish_many)

    async def candidates(self, limit: int, *, per_host: int, busy: Mapping[str, int]) -> list[int]:
        """Return the numbers of up to `limit` images that may be fetched now, fairly of all running jobs.

        At most `per_host` are of one host, together with those that are `busy`.
        """
        now = now_microseconds()
        running = sa.select(jobs.c.id).where(jobs.c.state == "running").order_by(jobs.c.changed).limit(_MOST_JOBS)
        fetching = sa.select(items.c.job, sa.func.count()).where(items.c.lease.is_not(None)).group_by(items.c.job)
        full = [host for host, number in busy.items() if number >= per_host]
        async with self.database.reading() as connection:
            job_ids = list((await connection.execute(running)).scalars())
            active = Counter({job_id: int(number) for job_id, number in await connection.execute(fetching)})
            found = {}
            for job_id in job_ids:
                slow = sa.select(hosts.c.host).where(hosts.c.job == job_id, ~is_past(hosts.c.until, now))
                query = sa.select(items.c.number, items.c.host).where(
                    items.c.job == job_id,
                    items.c.state == "queued",
                    is_past(items.c.due, now),
                    items.c.host.not_in(slow),
                    items.c.host.not_in(full),
                )
                chosen = await connection.execute(query.order_by(items.c.due).limit(limit * _AHEAD))
                found[job_id] = [(row.number, row.host) for row in chosen]
        return share(found, limit, active, per_host, busy)

    @finished
    async def claim(self, numbers: Collection[int], owner: str, until: datetime) -> list[StoredItem]:
        """Claim images until a time; return those that nobody else has claimed meanwhile."""
        free = sa.and_(items.c.number.in_(numbers), items.c.state == "queued")
        running = items.c.job.in_(sa.select(jobs.c.id).where(jobs.c.state == "running"))
        values = {"state": "fetching", "owner": owner, "lease": microseconds(until), "attempts": items.c.attempts + 1}
        claim = sa.update(items).where(locked_items(free, running)).values(values).returning(*items.c)
        async with self.database.writing() as connection:
            claimed = map(as_item, (await connection.execute(claim)).all())
        return sorted(claimed, key=lambda item: (item.job, item.item))

    async def offer(self, numbers: Collection[int], until: datetime) -> list[int]:
        """Reserve images for the messages of a queue until a time; return those that still wait."""
        due = is_past(items.c.due, now_microseconds())
        free = sa.and_(items.c.number.in_(numbers), items.c.state == "queued", due)
        change = sa.update(items).where(locked_items(free)).values(due=microseconds(until)).returning(items.c.number)
        async with self.database.writing() as connection:
            return [int(number) for number in (await connection.execute(change)).scalars()]

    async def extend(self, owner: str, until: datetime) -> int:
        """Extend the claims of an owner; return how many it has."""
        mine = sa.and_(items.c.owner == owner, items.c.lease.is_not(None))
        return await self.database.execute(sa.update(items).where(locked_items(mine)).values(lease=microseconds(until)))

    @finished
    async def release(self, owner: str | None = None) -> int:
        """Queue the claimed images of an owner again, or those whose time is over; return how many.

        Those of cancelled jobs are cancelled.
        """
        over = is_past(items.c.lease, now_microseconds()) if owner is None else items.c.lease.is_not(None)
        mine = sa.and_(over, items.c.owner == owner) if owner is not None else over
        async with self.database.writing() as connection:
            free = sa.update(items).where(locked_items(mine)).values(state="queued", lease=None, owner="")
            number = (await connection.execute(free)).rowcount
            ended = sa.select(jobs.c.id).where(jobs.c.state == "cancelled")
            stopped = locked_items(items.c.state == "queued", items.c.job.in_(ended))
            await connection.execute(sa.update(items).where(stopped).values(state="cancelled"))
        return number

    async def earlier(self, claimed: Collection[StoredItem]) -> dict[bytes, StoredItem]:
        """Return the last stored images of the same products and URLs as claimed ones, by their keys."""
        keys = {item.key for item in claimed}
        stored = sa.and_(items.c.key.in_(keys), items.c.state.in_(("stored", "duplicate")))
        found = await self.database.fetch(sa.select(items).where(stored).order_by(items.c.number))
        return {item.key: item for item in map(as_item, found)}

    async def reserve(self, item: StoredItem, sha256: str, image_id: str) -> str:
        """Return the image id for bytes in a product: an earlier one for the same bytes, else `image_id`.

        It is stored with the image before the file is placed, so that two claims of the same bytes, or an interrupted
        one and the next, place the same file.
        """
        return await self._reserve(_Reservation(item, bytes.fromhex(sha256), checked_id(image_id)), wait=BACKGROUND)

    @finished
    async def _reserve_many(self, wanted: Sequence[_Reservation]) -> list[str]:
        same = sa.select(items.c.sha256, items.c.product, items.c.image_id).where(
            items.c.sha256.in_({one.sha256 for one in wanted}), items.c.image_id != b""
        )
        stored = dict[tuple[bytes, str], bytes]()
        async with self.database.writing() as connection:
            if self.database.dialect == "postgresql":
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_RESERVATION_LOCK)))
            for row in await connection.execute(same.order_by(items.c.number)):
                stored.setdefault((bytes(row.sha256), row.product), bytes(row.image_id))
            ids = [stored.setdefault((one.sha256, one.item.product), one.image_id) for one in wanted]
            await _update_each(
                connection,
                [one.item for one in wanted],
                [{"sha256": one.sha256, "image_id": image_id} for one, image_id in zip(wanted, ids, strict=True)],
            )
        return list(map(image_id_of, ids))

    async def rename(self, item: StoredItem, sha256: str, former: str, image_id: str) -> None:
        """Change the id that was reserved for bytes in a product, where another file has the former one."""
        mine = sa.and_(
            items.c.sha256 == bytes.fromhex(sha256),
            items.c.product == item.product,
            items.c.image_id == checked_id(former),
        )
        await self.database.execute(sa.update(items).where(mine).values(image_id=checked_id(image_id)))

    async def finish(
        self,
        item: StoredItem,
        host: tuple[int, datetime | None, str] | None = None,
        *,
        each_product: bool = False,
    ) -> bool:
        """Store the outcome of a claimed image, and free it; return whether it was still claimed by its owner.

        `host` are the failures of its host in succession, a time before which nothing is fetched from it, and the last
        failure; None if nothing changed.
        """
        return await self._finish(_Outcome(item, host, each_product), wait=BACKGROUND)

    @finished
    async def _finish_many(self, outcomes: Sequence[_Outcome]) -> list[bool]:
        columns = items.c.job, items.c.item, items.c.owner
        wanted = sa.tuple_(*columns[:2]).in_([(one.item.job, one.item.item) for one in outcomes])
        async with self.database.writing() as connection:
            claimed = sa.select(*columns).where(wanted, items.c.lease.is_not(None)).order_by(*columns).with_for_update()
            mine = set(map(tuple, await connection.execute(claimed)))
            own = [(one.item.job, one.item.item, one.item.owner) in mine for one in outcomes]
            ended = list(itertools.compress(outcomes, own))
            for again in (False, True):
                some = [one.item for one in ended if (one.item.state in OPEN) is again]
                await _update_each(connection, some, list(map(_values, some)))
            for one in sorted(ended, key=lambda one: (one.item.job, one.item.host)):
                if one.host is not None:
                    await self._note_host(connection, one.item, *one.host)
            done = [one for one in ended if one.item.state not in OPEN]
            for job_id, product in sorted({(one.item.job, one.item.product) for one in done if one.each_product}):
                await self._finish_product(connection, job_id, product)
            for job_id in sorted({one.item.job for one in done}):
                await finish_done(connection, job_id)
        return own

    async def failures(self, job_id: str, host: str) -> int:
        """Return how often a host has failed in succession."""
        mine = sa.and_(hosts.c.job == job_id, hosts.c.host == host)
        found = await self.database.fetch(sa.select(hosts.c.failures).where(mine))
        return int(found[0].failures) if found else 0

    async def due_deliveries(self, limit: int, until: datetime) -> list[StoredDelivery]:
        """Claim calls of webhooks that are due until a time, after which they are due again; return them."""
        now = now_microseconds()
        waiting = sa.and_(deliveries.c.state == "waiting", is_past(deliveries.c.due, now, _LONGEST_CALL))
        if not await self.database.fetch(sa.select(deliveries.c.id).where(waiting).limit(1)):
            return []
        some = sa.select(deliveries.c.id).where(waiting).order_by(deliveries.c.due).limit(limit)
        some = some.with_for_update(skip_locked=True)
        claim = sa.update(deliveries).where(deliveries.c.id.in_(some), waiting).values(due=microseconds(until))
        async with self.database.writing() as connection:
            return list(map(as_delivery, (await connection.execute(claim.returning(*deliveries.c))).all()))

    async def note_delivery(self, delivery: StoredDelivery) -> None:
        """Store the outcome of an attempt."""
        row = delivery_row(delivery)
        values = {name: row[name] for name in ("state", "attempts", "status", "reason", "body", "due")}
        change = sa.update(deliveries).where(deliveries.c.id == delivery.delivery_id)
        await self.database.execute(change.values(values | {"changed": now_microseconds()}))

    async def redeliver(self, job_id: str, delivery_id: str) -> bool:
        """Plan to make a call again; return whether there is one."""
        mine = sa.and_(deliveries.c.id == delivery_id, deliveries.c.job == job_id)
        values = {"state": "waiting", "attempts": 0, "due": now_microseconds()}
        return await self.database.execute(sa.update(deliveries).where(mine).values(values)) > 0

    async def _note_host(
        self, connection: AsyncConnection, item: StoredItem, failures: int, until: datetime | None, reason: str
    ) -> None:
        mine = sa.and_(hosts.c.job == item.job, hosts.c.host == item.host)
        if not failures:
            await connection.execute(sa.delete(hosts).where(mine))
            return
        values = {
            "failures": failures,
            "until": microseconds(until or datetime.fromtimestamp(0, UTC)),
            "reason": reason,
        }
        new = insert_in(hosts, self.database.dialect).values(job=item.job, host=item.host, **values)
        await connection.execute(
            new.on_conflict_do_update(
                index_elements=[hosts.c.job, hosts.c.host], set_=values | {"failures": hosts.c.failures + 1}
            )
        )

    async def _finish_product(self, connection: AsyncConnection, job_id: str, product: str) -> None:
        """Plan the call of a webhook for a product of which no image waits any more."""
        waits = sa.exists().where(items.c.job == job_id, items.c.product == product, items.c.state.in_(OPEN))
        called = sa.and_(jobs.c.id == job_id, jobs.c.webhook != "", ~waits)
        if url := (await connection.execute(sa.select(jobs.c.webhook).where(called))).scalar_one_or_none():
            await plan_call(connection, job_id, url, "import.product.finished", product)


async def _update_each(
    connection: AsyncConnection, changed: Sequence[StoredItem], values: Sequence[Mapping[str, Any]]
) -> None:
    """Change columns of images of jobs, the same columns of each."""
    if not changed:
        return
    mine = sa.and_(items.c.job == sa.bindparam("its_job"), items.c.item == sa.bindparam("its_number"))
    change = sa.update(items).where(mine).values({name: sa.bindparam(name) for name in values[0]})
    await connection.execute(
        change,
        [
            {**its, "its_job": one.job, "its_number": one.item}
            for one, its in sorted(zip(changed, values, strict=True), key=lambda pair: (pair[0].job, pair[0].item))
        ],
    )


def _values(item: StoredItem) -> dict[str, Any]:
    """Return the columns of the outcome of an image, which nobody claims any more.

    One that is tried again keeps the id that was reserved for it: its file may be placed and not recorded yet.
    """
    row = item_row(item)
    outcome = {name: row[name] for name in _OUTCOME if item.state not in OPEN or name not in {"sha256", "image_id"}}
    return {**outcome, "changed": now_microseconds(), "lease": None, "owner": ""}


def share(
    found: Mapping[str, Iterable[tuple[int, str]]],
    limit: int,
    active: Mapping[str, int],
    per_host: int,
    busy: Mapping[str, int],
) -> list[int]:
    """Return up to `limit` numbers of candidates, next of the job with the fewest active ones.

    `found` are the numbers and hosts of the candidates of each job.
    """
    left = {job_id: iter(some) for job_id, some in found.items()}
    running, hosts_busy, chosen = Counter(active), Counter(busy), list[int]()
    while left and len(chosen) < limit:
        job_id = min(left, key=running.__getitem__)
        for number, host in left[job_id]:
            if hosts_busy[host] < per_host:
                chosen.append(number)
                running[job_id] += 1
                hosts_busy[host] += 1
                break
        else:
            del left[job_id]
    return chosen
