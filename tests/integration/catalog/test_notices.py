"""Notices published and read by number, of which a reader misses none."""

import asyncio
from datetime import timedelta

import pytest

from imgserve.catalog import Notice
from imgserve.catalog.reports import publish_rows
from tests.catalogs import START, Catalog, opened
from tests.postgres import Server

pytestmark = pytest.mark.anyio


def row(name: str) -> dict[str, object]:
    return {"kind": "changed", "id": name.encode(), "published": 0, "node": "", "mezzanines": False}


async def test_notices_are_read_in_order_from_a_number_on(catalog: Catalog) -> None:
    assert await catalog.notices.last() == 0
    told = [Notice("changed", "a"), Notice("purged", "\udcff/ü"), Notice("everything")]
    await catalog.notices.publish(told)
    found = await catalog.notices.after(0)
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert [notice for _, notice in found] == told
    assert await catalog.notices.after(numbers[0], limit=1) == [(numbers[1], told[1])]
    assert await catalog.notices.last() == numbers[-1]
    assert await catalog.notices.after(numbers[-1]) == []


async def test_what_no_file_can_be_called_is_not_reported(catalog: Catalog) -> None:
    await catalog.notices.publish([Notice("changed", "\ud800")])
    await catalog.notices.publish([])
    assert await catalog.notices.last() == 0


async def test_many_notices_keep_their_order(catalog: Catalog) -> None:
    told = [Notice("changed", f"{number}") for number in range(2500)]
    await catalog.notices.publish(told)
    assert [notice for _, notice in await catalog.notices.after(0, limit=5000)] == told


async def test_numbers_rise_after_everything_was_pruned(catalog: Catalog) -> None:
    await catalog.notices.publish([Notice("changed", "a")], at=START)
    first = await catalog.notices.last()
    await catalog.notices.publish([Notice("changed", "b")], at=START)
    second = await catalog.notices.last()
    later = START + timedelta(days=1)
    assert await catalog.notices.prune(changed=later, purged=later) == 1
    assert await catalog.notices.last() == second > first
    assert await catalog.notices.prune(changed=START, purged=START) == 0
    await catalog.notices.publish([Notice("changed", "c")])
    assert await catalog.notices.last() > second


async def test_purges_are_stored_for_longer_than_changes(catalog: Catalog) -> None:
    told = [
        Notice("changed", "a"),
        Notice("purged", "b", mezzanines=True),
        Notice("everything"),
        Notice("changed", "c"),
    ]
    await catalog.notices.publish(told, at=START)
    assert await catalog.notices.prune(changed=START + timedelta(days=1), purged=START) == 1
    assert [notice for _, notice in await catalog.notices.after(0)] == told[1:]


async def test_a_node_reads_the_notices_of_others_only(catalog: Catalog) -> None:
    await catalog.notices.publish([Notice("purged", "mine")], node="n1")
    await catalog.notices.publish([Notice("purged", "other")], node="n2")
    await catalog.notices.publish([Notice("purged", "of an earlier release")])
    found = await catalog.notices.after(0, other_than="n1")
    assert [notice.image_id for _, notice in found] == ["other", "of an earlier release"]


async def test_a_lower_number_is_never_seen_after_a_higher_one(postgres: Server) -> None:
    async with opened(postgres.new_database()) as catalog:
        async with catalog.database.writing() as slow:
            await publish_rows(slow, [row("slow")])
            other = asyncio.create_task(catalog.notices.publish([Notice("changed", "fast")]))
            await asyncio.sleep(0.3)
            assert await catalog.notices.after(0) == [], "a reader would go on from there and miss the slow one"
            assert not other.done()
        await other
        assert [notice.image_id for _, notice in await catalog.notices.after(0)] == ["slow", "fast"]


async def test_a_reader_beside_many_writers_misses_nothing(address: str) -> None:
    async with opened(address) as writer, opened(address) as reader:

        async def publish(name: int) -> None:
            for number in range(20):
                await writer.notices.publish([Notice("changed", f"{name}/{number}")])

        writing = asyncio.gather(*map(publish, range(6)))
        seen, last = list[str](), 0
        while len(seen) < 120:
            done = writing.done()
            for number, notice in await reader.notices.after(last, limit=7):
                assert number > last
                seen.append(notice.image_id)
                last = number
            assert not done or len(seen) > 0
        await writing
        assert len(set(seen)) == 120
