"""A catalog made current: from nothing, from an earlier release, by two at once; never back."""

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
from imgserve.catalog.migrations import upgrade as migrations
from imgserve.catalog.tables import REVISION, metadata
from imgserve.catalog.words import VECTOR_SQL, WORD_INDEX
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


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migration of a release that follows, which adds a column to tags."""
    folder = tmp_path / "versions"
    folder.mkdir()
    migration = folder / "r9000_notes.py"
    migration.write_text(_MIGRATION)
    monkeypatch.setattr(migrations, "VERSIONS", [*migrations.VERSIONS, folder])
    monkeypatch.setattr("imgserve.catalog.database.REVISION", "9000")
    return migration


_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9000", "0014"


def upgrade():
    op.add_column("tags", sa.Column("note", sa.Text, nullable=False, server_default="none"))
"""


async def revision(address: str) -> str:
    database = Database(address)
    async with database._store.changing_tables() as connection:
        found: str = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    await database.close()
    return found


async def test_an_upgrade_keeps_what_is_recorded(address: str, request: pytest.FixtureRequest) -> None:
    async with opened(address) as catalog:
        await put(catalog.images, record("a", tags=("red",), title="x"))
    request.getfixturevalue("next_release")
    async with opened(address) as catalog:
        assert await catalog.images.get("a") == record("a", tags=("red",), title="x")
        assert (await catalog.search.totals(ImageQuery(text="red x"))).images == 1
        async with catalog.database.reading() as connection:
            assert (await connection.execute(text("SELECT note FROM tags"))).scalar() == "none"
    assert await revision(address) == "9000"


async def test_a_migration_that_fails_changes_nothing(address: str, request: pytest.FixtureRequest) -> None:
    async with opened(address) as catalog:
        await put(catalog.images, record("a", title="x"))
    migration = request.getfixturevalue("next_release")
    migration.write_text(_MIGRATION + "    op.drop_table('nowhere')\n")
    database = Database(address)
    with pytest.raises(CatalogUnavailable):
        await database.open()
    await database.close()
    assert await revision(address) == "0014"
    migration.write_text(_MIGRATION)
    async with opened(address) as catalog:
        assert await catalog.images.get("a") == record("a", title="x")


async def test_a_catalog_of_a_newer_release_is_left_alone(address: str) -> None:
    async with opened(address) as catalog, catalog.database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database = Database(address)
    with pytest.raises(CatalogUnavailable, match="newer release"):
        await database.open()
    with pytest.raises(CatalogUnavailable, match="newer release"):
        await Images(database).get("a")
    await database.close()


@pytest.mark.parametrize("known", ["0001", "0013"])
async def test_the_error_for_a_catalog_of_before_the_first_release_names_what_to_do(address: str, known: str) -> None:
    async with opened(address) as catalog, catalog.database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :known"), {"known": known})
    database = Database(address)
    with pytest.raises(CatalogUnavailable, match=r"before the first release\. Open it once with the commit"):
        await database.open()
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
