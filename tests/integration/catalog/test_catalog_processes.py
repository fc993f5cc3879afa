"""The catalog used by many at once, in one process and in several, any of which may be killed."""

import asyncio
import random

import pytest
from sqlalchemy import text

from imgserve.catalog import ImageQuery, Totals
from tests.catalogs import Catalog, opened, put, put_many, record
from tests.prefork import PreforkedProcess

pytestmark = pytest.mark.anyio

WRITER = """
import asyncio, sys
from tests.catalogs import opened, put, record

async def main():
    async with opened(sys.argv[1]) as catalog:
        for number in range(150):
            await put(catalog.images, record(f"{sys.argv[2]}/{number}", tags=(sys.argv[2],)))
            await put(catalog.images, record("shared", number, title=f"{sys.argv[2]} {number}"))
            await catalog.images.retag(["shared"], add=[f"{sys.argv[2]}{number}"])

asyncio.run(main())
"""

DELETER = """
import asyncio, sys
from imgserve.catalog import ImageQuery
from tests.catalogs import opened

async def main():
    async with opened(sys.argv[1]) as catalog:
        print("ready", flush=True)
        await catalog.images.delete(ImageQuery())

asyncio.run(main())
"""


async def test_two_hundred_puts_at_once_are_all_kept(address: str) -> None:
    async with opened(address) as catalog:
        await asyncio.gather(*(put(catalog.images, record(f"{n}", tags=(f"t{n % 7}",))) for n in range(200)))
        assert (await catalog.search.totals()).images == 200


async def test_puts_of_the_same_image_at_once_leave_one_whole_record(address: str) -> None:
    async with opened(address) as catalog:
        made = [record("a", n, title=f"title {n}", tags=(f"tag {n}",)) for n in range(40)]
        await asyncio.gather(*(put(catalog.images, one) for one in made))
        found = await catalog.images.get("a")
        assert found is not None
        assert found.tags == (found.title.replace("title", "tag"),)


async def test_lists_of_the_same_images_put_at_once_in_any_order_do_not_block_each_other(address: str) -> None:
    async with opened(address) as catalog:
        lists = [[record(f"{n}", second, title=f"{second}") for n in range(100)] for second in range(12)]
        for some in lists:
            random.Random(1).shuffle(some)
        await asyncio.gather(*(put_many(catalog.images, some) for some in lists))
        page = await catalog.search.page(limit=100)
        assert len({one.title for one in page.items}) == 1


async def test_images_put_and_deleted_at_once_are_there_or_not(address: str) -> None:
    async with opened(address) as catalog:
        some = [record(f"{n}", tags=("x",)) for n in range(20)]
        work = [put_many(catalog.images, some) if n % 2 else catalog.images.delete(ImageQuery()) for n in range(30)]
        await asyncio.gather(*work)
        assert (await catalog.search.totals()).images in {0, 20}


async def test_a_reader_sees_records_with_their_own_tags_while_they_change(address: str) -> None:
    async with opened(address) as catalog:
        await put(catalog.images, record("a", title="0", tags=("0",)))

        async def write() -> None:
            for number in range(100):
                await put(catalog.images, record("a", number, title=f"{number}", tags=(f"{number}",)))

        writing = asyncio.create_task(write())
        while not writing.done():
            found = (await catalog.images.get_many(["a"]))["a"]
            assert found.tags == (found.title,)
        await writing


async def test_two_processes_write_one_catalog(address: str) -> None:
    async with opened(address) as catalog:
        started = [PreforkedProcess(["-c", WRITER, address, name]) for name in ("one", "two")]
        assert [await asyncio.to_thread(process.wait, 120) for process in started] == [0, 0]
        for process in started:
            process.close()
        assert (await catalog.search.totals()).images == 301
        counts = await catalog.search.tag_counts()
        assert (counts["one"], counts["two"]) == (150, 150)


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1, 0.2])
async def test_a_bulk_delete_that_is_killed_has_done_all_or_nothing(address: str, seconds: float) -> None:
    number = 4000
    async with opened(address) as catalog:
        await put_many(catalog.images, (record(f"{n}", size=1, tags=("x",), title="word") for n in range(number)))
        with PreforkedProcess(["-c", DELETER, address], stdout=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            await asyncio.sleep(seconds)
            process.kill()
        await settled(catalog)
        totals = await catalog.search.totals()
        assert totals in (Totals(0, 0), Totals(number, number))
        assert (await catalog.search.totals(ImageQuery(text="word"))) == totals
        assert await catalog.search.tag_counts() in ({}, {"x": number})
        await put(catalog.images, record("another"))


async def settled(catalog: Catalog) -> None:
    """Wait until a server has noticed that a client is gone; SQLite has nobody to notice."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
    while catalog.database.dialect == "postgresql":
        async with catalog.database.reading() as connection:
            if (await connection.execute(text(query))).scalar_one() == 1:
                return
        await asyncio.sleep(0.05)
