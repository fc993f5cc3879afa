"""Bulk imports in the catalog: claims, outcomes, what is waited for; on both databases."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imgserve.catalog import ImportRow, StoredItem, StoredJob, item_key
from imgserve.catalog.import_queue import share
from tests.catalogs import Catalog

pytestmark = pytest.mark.anyio

EARLIER = datetime.now(UTC) - timedelta(minutes=1)
LATER = timedelta(minutes=1)
SHA = "ab" * 32


def items_of(job: str, number: int, hosts: Iterable[str] = ("h",)) -> list[StoredItem]:
    return [
        StoredItem(
            item=one, line=one + 2, product=f"p{one % 2}", url=f"https://{host}/{one}", state="queued", due=EARLIER,
            changed=EARLIER, job=job, row=one, host=host, key=item_key(f"p{one % 2}", f"https://{host}/{one}"),
        )
        for one, host in zip(range(number), [*hosts] * number, strict=False)
    ]  # fmt: skip


async def start(catalog: Catalog, job: str, number: int = 4, hosts: Iterable[str] = ("h",), **options: Any) -> None:
    await catalog.imports.create(StoredJob(job_id=job, state="loading", created=EARLIER, changed=EARLIER, **options))
    rows = [
        ImportRow(job, one, one + 2, f"p{one % 2}", f"P {one % 2}", ("a", "b"), (one,), "") for one in range(number)
    ]
    await catalog.imports.add(rows, items_of(job, number, hosts))
    await catalog.imports.start(job, ["Product", "URL"], {"rows": number, "images": number})


async def claim(catalog: Catalog, owner: str = "me", limit: int = 10, lease: timedelta = LATER) -> list[StoredItem]:
    numbers = await catalog.import_queue.candidates(limit, per_host=10, busy={})
    return await catalog.import_queue.claim(numbers, owner, datetime.now(UTC) + lease)


async def finish(catalog: Catalog, item: StoredItem, state: str = "stored", **values: Any) -> bool:
    return await catalog.import_queue.finish(replace(item, state=state, **values), each_product=True)


async def state(catalog: Catalog, job: str) -> str:
    found = await catalog.imports.get(job)
    assert found is not None
    return found.state


async def test_each_image_is_claimed_once_and_the_last_one_finishes_the_job(catalog: Catalog) -> None:
    await start(catalog, "a", webhook="https://example.com/", each_product=True)
    numbers = await catalog.import_queue.candidates(10, per_host=10, busy={})
    until = datetime.now(UTC) + LATER
    claims = await asyncio.gather(*(catalog.import_queue.claim(numbers, f"o{one}", until) for one in range(4)))
    claimed = [item for one in claims for item in one]
    assert sorted(item.item for item in claimed) == [0, 1, 2, 3]
    assert [item.attempts for item in claimed] == [1] * 4
    assert await asyncio.gather(*(finish(catalog, item) for item in claimed[:3])) == [True] * 3
    assert await state(catalog, "a") == "running"
    assert await finish(catalog, claimed[3]) is True
    assert await state(catalog, "a") == "finished"
    assert await catalog.imports.counts(["a"]) == {"a": {"stored": 4}}
    events = Counter((call.event, call.product) for call in await catalog.imports.deliveries("a"))
    assert events == {
        ("import.product.finished", "p0"): 1,
        ("import.product.finished", "p1"): 1,
        ("import.finished", ""): 1,
    }


async def test_a_claim_that_was_lost_changes_nothing_and_another_one_finishes(catalog: Catalog) -> None:
    await start(catalog, "a", 1)
    (lost,) = await claim(catalog, lease=-LATER)
    assert await catalog.import_queue.release() == 1
    (item,) = await claim(catalog, "other")
    assert item.attempts == 2
    both = await asyncio.gather(finish(catalog, lost, "failed"), finish(catalog, item))
    assert list(both) == [False, True]
    assert await catalog.imports.counts(["a"]) == {"a": {"stored": 1}}


async def test_extended_claims_are_not_lost_and_an_owner_that_starts_again_frees_its_own(catalog: Catalog) -> None:
    await start(catalog, "a", 2)
    await claim(catalog, "me", 1, -LATER)
    await claim(catalog, "other", 1)
    assert await catalog.import_queue.extend("me", datetime.now(UTC) + LATER) == 1
    assert await catalog.import_queue.release() == 0
    assert await catalog.import_queue.release("me") == 1
    assert await catalog.imports.counts(["a"]) == {"a": {"queued": 1, "fetching": 1}}


async def test_what_waits_for_its_time_and_slow_hosts_are_not_candidates(catalog: Catalog) -> None:
    await start(catalog, "a", 3, ["slow", "fast", "busy"])
    soon = datetime.now(UTC) + LATER
    (item,) = [one for one in await claim(catalog, limit=3) if one.host == "slow"]
    await catalog.import_queue.finish(replace(item, state="queued"), (3, soon, "no response"))
    await catalog.import_queue.release("me")
    numbers = await catalog.import_queue.candidates(10, per_host=2, busy={"busy": 2})
    assert [one.host for one in await catalog.import_queue.claim(numbers, "me", soon)] == ["fast"]
    (host,) = await catalog.imports.slow_hosts("a")
    assert (host.host, host.failures, host.reason) == ("slow", 3, "no response")
    assert await catalog.import_queue.failures("a", "slow") == 3


@pytest.mark.parametrize(
    ("limit", "active", "per_host", "chosen"),
    [
        (4, {}, 9, [1, 11, 2, 12]),
        (3, {"a": 2}, 9, [11, 12, 1]),
        (6, {}, 1, [1, 11]),
        (9, {}, 9, [1, 11, 2, 12, 3]),
    ],
)
def test_jobs_share_capacity_fairly(limit: int, active: dict[str, int], per_host: int, chosen: list[int]) -> None:
    found = {"a": [(1, "x"), (2, "x"), (3, "x")], "b": [(11, "y"), (12, "y")]}
    assert share(found, limit, active, per_host, {}) == chosen


async def test_a_paused_job_offers_nothing_and_a_cancelled_one_can_be_tried_again(catalog: Catalog) -> None:
    await start(catalog, "a", 3)
    assert await catalog.imports.change_state("a", ["running"], "paused")
    assert await claim(catalog) == []
    assert not await catalog.imports.change_state("a", ["running"], "paused")
    assert await catalog.imports.change_state("a", ["paused"], "running")
    (item,) = await claim(catalog, limit=1)
    assert await catalog.imports.change_state("a", ["running", "paused"], "cancelled")
    assert await finish(catalog, item) is True
    assert await catalog.imports.counts(["a"]) == {"a": {"stored": 1, "cancelled": 2}}
    assert await catalog.imports.retry("a", product="p1") == 1
    assert await state(catalog, "a") == "running"
    assert [one.product for one in await claim(catalog)] == ["p1"]


async def test_the_same_bytes_of_a_product_reserve_one_image_id(catalog: Catalog) -> None:
    await start(catalog, "a", 6)
    items = await claim(catalog)
    reserved = await asyncio.gather(
        *(catalog.import_queue.reserve(item, SHA, f"products/{item.product}/{item.item}.jpg") for item in items)
    )
    assert len({(item.product, image_id) for item, image_id in zip(items, reserved, strict=True)}) == 2
    await catalog.import_queue.rename(items[0], SHA, reserved[0], "products/p0/9.jpg")
    assert await catalog.import_queue.reserve(items[2], SHA, "x") == "products/p0/9.jpg"


async def test_an_image_that_is_tried_again_keeps_its_reserved_id(catalog: Catalog) -> None:
    await start(catalog, "a", 1)
    (item,) = await claim(catalog)
    reserved = await catalog.import_queue.reserve(item, SHA, "products/p0/x.jpg")
    assert await finish(catalog, item, "queued")
    (again,) = await claim(catalog)
    assert (again.image_id, again.sha256) == (reserved, SHA)


async def test_a_later_import_finds_what_an_earlier_one_stored(catalog: Catalog) -> None:
    await start(catalog, "a", 1)
    (item,) = await claim(catalog)
    await finish(catalog, item, image_id="products/p0/x.jpg", sha256=SHA, etag='"1"')
    await start(catalog, "b", 1)
    (again,) = await claim(catalog)
    earlier = (await catalog.import_queue.earlier([again]))[again.key]
    assert ("b", 0) in await catalog.imports.rows_of([again])
    assert (earlier.image_id, earlier.sha256, earlier.etag) == ("products/p0/x.jpg", SHA, '"1"')


async def test_messages_of_a_queue_are_offered_once_for_a_time(catalog: Catalog) -> None:
    await start(catalog, "a", 2)
    numbers = await catalog.import_queue.candidates(10, per_host=10, busy={})
    until = datetime.now(UTC) + LATER
    assert await catalog.import_queue.offer(numbers, until) == numbers
    assert await catalog.import_queue.offer(numbers, until) == []
    assert await catalog.import_queue.candidates(10, per_host=10, busy={}) == []
    assert len(await catalog.import_queue.claim(numbers, "me", until)) == 2


async def test_lists_come_in_pages(catalog: Catalog) -> None:
    for job in "ab":
        await start(catalog, job, 5)
    (newest,), cursor = await catalog.imports.page(limit=1)
    assert (newest.job_id, newest.headers, newest.images) == ("b", ("Product", "URL"), 5)
    assert [one.job_id for one in (await catalog.imports.page(limit=1, cursor=cursor))[0]] == ["a"]
    items, cursor = await catalog.imports.items("a", states=["queued"], product="p0", limit=2)
    assert [item.item for item in items] == [0, 2]
    assert [item.item for item in (await catalog.imports.items("a", product="p0", cursor=cursor))[0]] == [4]
    products, cursor = await catalog.imports.products("a", limit=1)
    assert [(one.product, one.states) for one in products] == [("p0", {"queued": 3})]
    assert [one.product for one in (await catalog.imports.products("a", cursor=cursor))[0]] == ["p1"]
    assert [row.line for row in await catalog.imports.rows("a", after=1, limit=2)] == [4, 5]
    assert sorted(await catalog.imports.numbered("a", [1, 3, 9])) == [1, 3]


async def test_calls_of_webhooks_are_claimed_and_made_again(catalog: Catalog) -> None:
    await start(catalog, "a", 0, webhook="https://example.com/")
    assert await state(catalog, "a") == "finished"
    until = datetime.now(UTC) + LATER
    (call,) = await catalog.import_queue.due_deliveries(5, until)
    assert await catalog.import_queue.due_deliveries(5, until) == []
    await catalog.import_queue.note_delivery(replace(call, state="delivered", attempts=1, status=204, body="{}"))
    assert await catalog.import_queue.redeliver("a", call.delivery_id)
    assert not await catalog.import_queue.redeliver("b", call.delivery_id)
    (again,) = await catalog.import_queue.due_deliveries(5, until)
    assert (again.delivery_id, again.body, again.status) == (call.delivery_id, "{}", 204)


async def test_old_and_interrupted_jobs_are_deleted_with_all_that_belongs_to_them(catalog: Catalog) -> None:
    await start(catalog, "a", 2)
    await start(catalog, "b", 1)
    await catalog.imports.change_state("a", ["running"], "cancelled")
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    await catalog.imports.create(StoredJob(job_id="c", state="loading", created=long_ago, changed=long_ago))
    assert await catalog.imports.prune(datetime.now(UTC) + LATER) == 2
    assert [job.job_id for job in (await catalog.imports.page())[0]] == ["b"]
    assert await catalog.imports.rows("a") == []
    assert (await catalog.imports.items("a")).items == ()


async def test_nothing_waits_for_a_time_of_before_the_clock_was_set_back(catalog: Catalog) -> None:
    await start(catalog, "a", 2, webhook="https://example.com/")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    claimed = await claim(catalog, lease=timedelta(days=1))
    assert await catalog.import_queue.release() == 2
    numbers = await catalog.import_queue.candidates(10, per_host=10, busy={})
    assert await catalog.import_queue.offer(numbers, tomorrow) == numbers
    assert await catalog.import_queue.candidates(10, per_host=10, busy={}) == numbers
    claimed = await claim(catalog)
    waiting = replace(claimed[0], state="queued", due=tomorrow)
    assert await catalog.import_queue.finish(waiting, (3, tomorrow, "503"))
    assert not await catalog.imports.slow_hosts("a")
    assert await catalog.import_queue.finish(replace(claimed[1], state="stored"))
    (last,) = await claim(catalog)
    assert await catalog.import_queue.finish(replace(last, state="stored"))
    (call,) = await catalog.import_queue.due_deliveries(10, tomorrow)
    assert await catalog.import_queue.due_deliveries(10, tomorrow) == [call]
