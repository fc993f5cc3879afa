"""Changes in PostgreSQL lock rows in one order, so that processes and nodes never wait for each other in a circle."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from imgserve.catalog import ApiKey
from imgserve.model import ImageRecord
from imgserve.records import FileProblem, RenderProblem
from tests.catalogs import START, Catalog, opened, put, record
from tests.integration.catalog.test_imports import claim, start
from tests.postgres import Server
from tests.servers import until

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
_WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


@pytest.fixture
def url(postgres: Server, postgres_template: str) -> Iterator[str]:
    with postgres.lent_database(postgres_template) as url:
        yield url


async def waits(url: str) -> bool:
    """Return whether a transaction waits for another one."""
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval(_WAITS))
    finally:
        await connection.close()


@asynccontextmanager
async def another(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Provide a transaction of another node, which is rolled back."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


async def test_an_image_that_comes_and_goes_while_a_list_is_recorded_blocks_nobody(url: str) -> None:
    async def come_and_go() -> None:
        async with opened(url) as there:
            await put(there.images, record("a"))
            await there.images.delete(["a", "b"])

    node = threading.Thread(target=asyncio.run, args=(come_and_go(),))

    def meanwhile(known: ImageRecord | None) -> ImageRecord:
        if known is None and node.ident is None:
            node.start()
            with ThreadPoolExecutor() as pool:
                until(lambda: not node.is_alive() or pool.submit(asyncio.run, waits(url)).result())
        return record("a", title="kept")

    async with opened(url) as here:
        await put(here.images, record("b"))
        await here.images.merge_many({"a": meanwhile, "b": lambda _: record("b", title="kept")})
        await asyncio.to_thread(node.join)
        assert {one.title for one in (await here.images.get_many(["a", "b"])).values()} == {"kept"}


@dataclass(frozen=True, slots=True)
class Case:
    """A change of rows in an order, while another node holds the first of them."""

    fill: Callable[[Catalog], Awaitable[object]]
    change: Callable[[Catalog], Coroutine[Any, Any, object]]
    first: str
    last: str
    """Rows, as tables and conditions."""


async def problems(catalog: Catalog) -> None:
    await catalog.problems.put_many([problem("b")])
    await catalog.problems.put_many([problem("a")])


def problem(image_id: str) -> FileProblem:
    return FileProblem(image_id=image_id, version="1_1", code="unreadable_image", detail="", since=START)


async def keys(catalog: Catalog) -> None:
    for name in ("b", "a"):
        await catalog.keys.add(ApiKey(key_id=name, name=name, scopes=("read",), created=NOW, digest=name))


async def fetching(catalog: Catalog) -> None:
    await start(catalog, "b", 1)
    await start(catalog, "a", 1)
    await claim(catalog, lease=-timedelta(minutes=1))


async def slow_hosts(catalog: Catalog) -> None:
    await start(catalog, "a", 2, hosts=("b", "a"))
    await fail(catalog)


async def fail(catalog: Catalog) -> None:
    await asyncio.gather(
        *(
            catalog.import_queue.finish(replace(one, state="queued", due=NOW), (1, NOW, "503"))
            for one in sorted(await claim(catalog), key=lambda one: one.host, reverse=True)
        )
    )


CASES = [
    Case(
        problems,
        lambda catalog: catalog.problems.forget(["a", "b"]),
        "problems WHERE id = 'a'",
        "problems WHERE id = 'b'",
    ),
    Case(
        keys,
        lambda catalog: catalog.keys.note_use([("b", NOW), ("a", NOW)]),
        "api_keys WHERE id = 'a'",
        "api_keys WHERE id = 'b'",
    ),
    Case(
        fetching,
        lambda catalog: catalog.import_queue.release(),
        "import_items WHERE job = 'a'",
        "import_items WHERE job = 'b'",
    ),
    Case(slow_hosts, fail, "import_hosts WHERE host = 'a'", "import_hosts WHERE host = 'b'"),
    Case(
        lambda catalog: start(catalog, "a"),
        lambda catalog: catalog.imports.change_state("a", ["running"], "cancelled"),
        "import_items WHERE item = 0",
        "imports",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.last)
async def test_a_change_that_waits_for_its_first_row_holds_no_later_one(url: str, case: Case) -> None:
    async with opened(url) as catalog:
        await case.fill(catalog)
        async with another(url) as node:
            await node.execute(f"SELECT FROM {case.first} FOR UPDATE")
            changing = asyncio.create_task(catalog.database.finish(case.change(catalog)))
            while not await waits(url):  # noqa: ASYNC110  PostgreSQL does not report it
                await asyncio.sleep(0.01)
            await node.execute(f"SELECT FROM {case.last} FOR UPDATE NOWAIT")
        await changing


async def test_old_counts_that_another_node_changes_are_not_waited_for(url: str) -> None:
    many = {("cold", "client", f"c{number}"): number + 1 for number in range(7000)}
    async with opened(url, patience=5) as catalog, another(url) as node:
        await catalog.usage.add(dict(list(many.items())[:6000]), at=START)
        await node.execute("UPDATE usage SET number = number + 1 WHERE subject = 'c1'")
        await catalog.usage.add(dict(list(many.items())[6000:]), at=START)
        assert len(await catalog.usage.top(["cold"], "client", since=START, limit=7000)) == 101


async def test_old_problems_of_renditions_that_another_node_changes_are_not_waited_for(url: str) -> None:
    def found(number: int) -> RenderProblem:
        return RenderProblem(f"{number:04}", "", "render_timeout", "", 1.0, 1, START + timedelta(seconds=number))

    async with opened(url, patience=5) as catalog:
        await catalog.renders.add(map(found, range(1000)))
        async with another(url) as node:
            await node.execute("UPDATE renders SET times = 2 WHERE id = '0000'")
            await catalog.renders.add([found(1000), found(1001)])
        assert await catalog.renders.clear() == 1001
