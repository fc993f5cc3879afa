"""A catalog made current: from nothing, from the first revision, by two at once; never back."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from imgserve.catalog import Database, ImageQuery, Images
from imgserve.catalog.hashes import HASH_INDEXES
from imgserve.catalog.migrations.upgrade import upgrade
from imgserve.catalog.tables import REVISION, VECTOR_SQL, WORD_INDEX, as_row, metadata
from imgserve.errors import CatalogUnavailable
from tests.catalogs import Catalog, opened, put, record
from tests.integration.conftest import DATABASES
from tests.postgres import Server
from tests.prefork import PreforkedProcess

pytestmark = pytest.mark.anyio


@pytest.fixture(params=DATABASES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.sqlite"
    server: Server = request.getfixturevalue("postgres")
    return server.new_database()


def _undeclared(_item: Any, name: str | None, _kind: str, _reflected: bool, _other: Any) -> bool:
    return not (name or "").startswith((WORD_INDEX, HASH_INDEXES))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
async def test_the_tables_of_a_new_catalog_are_those_that_are_declared(catalog: Catalog) -> None:
    def compared(connection: Connection) -> Any:
        options = {"include_object": _undeclared, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with catalog.database.reading() as connection:
        assert await connection.run_sync(compared) == []


async def test_the_newest_revision_is_the_one_that_is_looked_for(catalog: Catalog) -> None:
    async with catalog.database.reading() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() == REVISION


async def test_what_was_recorded_at_the_first_revision_is_kept_and_found_by_its_words(address: str) -> None:
    said: dict[str, Any] = {"title": "Crème", "metadata": {"by": ["Ann"]}}
    records = [record(f"old/{number}.jpg", tags=("Rød", f"t{number}"), **said) for number in range(1500)]
    await make_first_revision(address, [as_row(one) for one in records], {"Rød"})
    async with opened(address) as catalog:
        found = await catalog.images.get("old/7.jpg")
        assert found is not None
        assert (found.title, found.tags) == ("Crème", ("Rød",))
        assert (await catalog.search.totals(ImageQuery(text="creme rod old ann"))).images == 1500
        await catalog.images.delete(ImageQuery(text="1499"))
        assert (await catalog.search.totals(ImageQuery(text="creme"))).images == 1499


_ADDED = {"words", "tag_words", "palette", "blurhash", "faces"}
"""Columns of later revisions."""


async def make_first_revision(address: str, rows: list[dict[str, Any]], tags: set[str]) -> None:
    """Make a catalog as the first revision had it."""
    database = Database(address)
    names = [name for name in rows[0] if name not in _ADDED]
    async with database._store.changing_tables() as connection:
        await connection.run_sync(upgrade, "0001")
        values = ", ".join(f":{name}" for name in names)
        await connection.execute(text(f"INSERT INTO images ({', '.join(names)}) VALUES ({values})"), rows)  # noqa: S608  our names
        for tag in tags:
            statement = text("INSERT INTO tags (image, tag) SELECT number, :tag FROM images")
            await connection.execute(statement, {"tag": tag})
    await database.close()


async def test_a_catalog_of_a_newer_release_is_left_alone(address: str) -> None:
    async with opened(address) as catalog, catalog.database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database = Database(address)
    with pytest.raises(CatalogUnavailable, match="newer release"):
        await database.open()
    with pytest.raises(CatalogUnavailable, match="newer release"):
        await Images(database).get("a")
    await database.close()


async def test_a_migration_that_fails_changes_nothing(address: str) -> None:
    await make_first_revision(address, [as_row(record("a", title="x"))], set())
    database = Database(address)
    async with database._store.changing_tables() as connection:
        await connection.execute(text("ALTER TABLE tags ADD COLUMN words TEXT"))
    with pytest.raises(CatalogUnavailable):
        await database.open()
    async with database._store.changing_tables() as connection:
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar() == "0001"
        await connection.execute(text("ALTER TABLE tags DROP COLUMN words"))
    await database.open()
    assert await Images(database).get("a") == record("a", title="x")
    await database.close()


async def test_several_processes_that_start_at_once_make_it_once(address: str) -> None:
    code = (
        "import asyncio, sys; from tests.catalogs import opened, put, record\n"
        "async def main():\n"
        "    async with opened(sys.argv[1]) as catalog: await put(catalog.images, record(sys.argv[2]))\n"
        "asyncio.run(main())"
    )
    started = [PreforkedProcess(["-c", code, address, name]) for name in "abcd"]
    assert [await asyncio.to_thread(process.wait, 60) for process in started] == [0, 0, 0, 0]
    for process in started:
        process.close()
    async with opened(address) as catalog:
        assert sorted(await catalog.images.versions()) == list("abcd")


async def test_callers_that_come_while_it_opens_share_the_opening(address: str) -> None:
    database = Database(address)
    images = Images(database)
    await asyncio.gather(*(put(images, record(str(number))) for number in range(20)))
    assert len(await images.versions()) == 20
    await database.close()


async def test_a_current_catalog_is_opened_without_loading_alembic(address: str) -> None:
    async with opened(address):
        pass
    code = (
        "import asyncio, sys; from tests.catalogs import opened\n"
        "async def main():\n"
        "    async with opened(sys.argv[1]) as catalog: await catalog.problems.count()\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_the_indexed_expression_is_the_one_that_is_requested(postgres: Server) -> None:
    async with opened(postgres.new_database()) as catalog, catalog.database.reading() as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = await connection.execute(text(f"EXPLAIN SELECT 1 FROM images WHERE {VECTOR_SQL} @@ 'a'::tsquery"))  # noqa: S608  ours
        assert WORD_INDEX in str(plan.scalars().all())
