"""A database that is locked, gone, broken, hung or exhausted: one error, soon; used again when it is back."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from imgserve.catalog import Database, ImageQuery, Images, Problems
from imgserve.errors import CatalogUnavailable, ConfigError
from tests.catalogs import Catalog, opened, put, put_many, record
from tests.postgres import Server
from tests.prefork import ROOT

pytestmark = pytest.mark.anyio

PATIENCE = 0.5
LONG = 30.0
"""Seconds within which what is bounded by `PATIENCE` ends also on a busy machine, and what hangs does not."""


def address_of(file: Path) -> str:
    return f"sqlite:///{quote(str(file))}"


async def refused(work: Callable[[], Awaitable[Any]]) -> CatalogUnavailable:
    """Expect the one error, and in time."""
    async with asyncio.timeout(LONG):
        with pytest.raises(CatalogUnavailable) as caught:
            await work()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "catalog_unavailable", 1)
    return caught.value


async def recovered(work: Callable[[], Awaitable[Any]]) -> Any:
    """Request until there is an answer."""
    async with asyncio.timeout(LONG):
        while True:
            with contextlib.suppress(CatalogUnavailable):
                return await work()
            await asyncio.sleep(0.1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog #1?%20 ü.sqlite"


@pytest.fixture
async def sqlite(file: Path) -> AsyncIterator[Catalog]:
    async with opened(address_of(file), patience=PATIENCE) as catalog:
        await recovered(lambda: put(catalog.images, record("a")))
        yield catalog


@pytest.fixture
async def shelf(address: str) -> AsyncIterator[Catalog]:
    async with opened(address, patience=PATIENCE, connections=1) as catalog:
        await recovered(lambda: put(catalog.images, record("a")))
        yield catalog


@pytest.fixture
def running(postgres: Server) -> Iterator[Server]:
    """The server, which runs again whatever a test has done to it."""
    yield postgres
    with contextlib.suppress(AssertionError):
        postgres.start()


@contextlib.contextmanager
def locked(file: Path, *statements: str) -> Iterator[None]:
    """Hold a lock as another program would."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        yield


async def test_a_locked_file_is_read_and_cannot_be_written(sqlite: Catalog, file: Path) -> None:
    with locked(file, "BEGIN IMMEDIATE"):
        await refused(lambda: put(sqlite.images, record("b")))
        assert await sqlite.images.get("a") == record("a")
        await refused(lambda: sqlite.images.delete(ImageQuery()))
    await recovered(lambda: put(sqlite.images, record("b")))
    assert list(await sqlite.images.versions()) == ["a", "b"]


async def test_a_failure_is_logged_once_and_its_end_too(
    sqlite: Catalog, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(file, "BEGIN IMMEDIATE"):
        for _ in range(2):
            await refused(lambda: put(sqlite.images, record("b")))
            await asyncio.sleep(1.1)  # after the pause it is tried again
        assert sqlite.database.state == "degraded: writing fails, see the log"
    await recovered(lambda: put(sqlite.images, record("b")))
    assert caplog.text.count("the catalog failed at writing") == 1
    assert caplog.text.count("the catalog works again at writing") == 1
    assert sqlite.database.state == "ok"


async def test_a_current_file_that_is_locked_when_it_is_opened_can_be_read(sqlite: Catalog, file: Path) -> None:
    await sqlite.database.close()
    with locked(file, "BEGIN IMMEDIATE"):
        assert await sqlite.images.get("a") == record("a")


async def test_a_file_that_another_program_has_for_itself_is_used_later(file: Path) -> None:
    with locked(file, "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE"):
        database = Database(address_of(file), patience=PATIENCE)
        await refused(lambda: Images(database).get("a"))
    assert await recovered(lambda: Images(database).get("a")) is None
    await database.close()


async def test_a_deleted_file_is_missed_at_once_and_not_made_anew(sqlite: Catalog, file: Path, tmp_path: Path) -> None:
    await sqlite.database.close()
    await put(sqlite.images, record("b"))
    await sqlite.database.close()
    shutil.copy(file, tmp_path / "copy")
    await sqlite.images.get("a")
    for part in file.parent.glob("catalog*"):
        part.unlink()
    await refused(lambda: sqlite.images.get("a"))
    await refused(lambda: put(sqlite.images, record("c")))
    await refused(Problems(sqlite.database).count)
    assert not file.exists()
    (tmp_path / "copy").rename(file)
    assert await recovered(lambda: sqlite.images.get("b")) == record("b")
    await recovered(lambda: put(sqlite.images, record("c")))


async def test_a_file_that_is_replaced_is_noticed(sqlite: Catalog, file: Path, tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/other") as other:
        await put(other.images, record("other"))
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink()
    (tmp_path / "other").rename(file)
    assert list(await recovered(sqlite.images.versions)) == ["other"]
    await put(sqlite.images, record("b"))
    assert list(await sqlite.images.versions()) == ["b", "other"]


@pytest.mark.parametrize(
    "garbage", [b"garbage" * 10_000, b"SQLite format 3\0" + b"\xff" * 90_000], ids=["all", "after"]
)
async def test_a_broken_file_is_left_alone_and_a_good_one_in_its_place_used(
    sqlite: Catalog, file: Path, tmp_path: Path, garbage: bytes
) -> None:
    await sqlite.database.close()
    good = file.read_bytes()
    file.write_bytes(garbage)
    await refused(lambda: sqlite.images.get("a"))
    await refused(lambda: put(sqlite.images, record("b")))
    assert file.read_bytes() == garbage
    (tmp_path / "good").write_bytes(good)
    (tmp_path / "good").rename(file)
    assert await recovered(lambda: sqlite.images.get("a")) == record("a")


async def test_a_file_that_breaks_while_it_is_used_is_an_error_and_no_more(sqlite: Catalog, file: Path) -> None:
    await put_many(sqlite.images, (record(f"{number}") for number in range(500)))
    with locked(file, "PRAGMA wal_checkpoint(TRUNCATE)"):
        good = file.read_bytes()
    with file.open("r+b") as opened_file:
        opened_file.write(random.Random(0).randbytes(len(good)))
    sqlite.database._store.forget()
    await refused(lambda: sqlite.images.get_many([f"{number}" for number in range(500)]))
    with file.open("r+b") as opened_file:
        opened_file.write(good)
    assert len(await recovered(sqlite.images.versions)) == 501


async def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = Database(f"sqlite:///{tmp_path}/file/catalog.sqlite", patience=PATIENCE)
    with pytest.raises(CatalogUnavailable):
        await database.open()
    await refused(Problems(database).count)
    await database.close()


async def test_a_folder_is_made_at_first(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/new/folder/catalog.sqlite") as catalog:
        await catalog.problems.count()
    assert (tmp_path / "new/folder/catalog.sqlite").exists()


async def test_exhausted_connections_are_an_error_until_one_is_given_back(shelf: Catalog) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2 if shelf.database.dialect == "postgresql" else 1):
            await stack.enter_async_context(contextlib.aclosing(await shelf.database._store.reader.connect().start()))
        await refused(lambda: shelf.images.get("a"))
    assert await recovered(lambda: shelf.images.get("a")) == record("a")


async def test_after_a_failure_the_next_callers_do_not_wait(shelf: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise OSError

    monkeypatch.setattr(shelf.database, "_open_once", fail)
    await refused(lambda: shelf.images.get("a"))
    monkeypatch.undo()
    await refused(lambda: shelf.images.get("a"))
    assert await recovered(lambda: shelf.images.get("a")) == record("a")


async def test_callers_that_leave_take_no_connection_with_them(address: str) -> None:
    async with opened(address, patience=LONG, connections=2) as catalog:
        chosen = random.Random(0)
        for number in range(60):
            work = [
                asyncio.create_task(put(catalog.images, record(f"{number}"))),
                asyncio.create_task(catalog.search.totals()),
            ]
            await asyncio.sleep(chosen.random() * 0.004)
            for task in work:
                task.cancel()
            await asyncio.wait(work)
        await put(catalog.images, record("last"))
        assert await catalog.images.get("last") == record("last")


async def test_a_server_that_is_down_is_an_error_and_used_again_when_it_is_up(running: Server) -> None:
    async with opened(running.new_database(), patience=PATIENCE) as catalog:
        await recovered(lambda: put(catalog.images, record("a")))
        running.stop()
        await refused(lambda: catalog.images.get("a"))
        await refused(lambda: put(catalog.images, record("b")))
        running.start()
        assert await recovered(lambda: catalog.images.get("a")) == record("a")
        running.stop("fast")
        running.start()
        assert await recovered(lambda: catalog.images.get("a")) == record("a")


async def test_a_server_that_was_down_at_the_start_is_used_when_it_is_up(running: Server) -> None:
    address = running.new_database()
    running.stop()
    database = Database(address, patience=PATIENCE)
    with pytest.raises(CatalogUnavailable):
        await database.open()
    await refused(lambda: Images(database).get("a"))
    running.start()
    assert await recovered(lambda: Images(database).get("a")) is None
    await database.close()


async def test_a_server_that_hangs_is_an_error_and_used_again_when_it_goes_on(postgres: Server) -> None:
    async with opened(postgres.new_database(), patience=PATIENCE, connections=1) as catalog:
        await recovered(lambda: put(catalog.images, record("a")))
        async with catalog.database.reading() as connection:
            process = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        os.kill(process, signal.SIGSTOP)
        try:
            await refused(lambda: catalog.images.get("a"))
        finally:
            os.kill(process, signal.SIGCONT)
        assert await recovered(lambda: catalog.images.get("a")) == record("a")


async def test_a_server_that_says_nothing_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"postgresql://a:secret@127.0.0.1:{silent.getsockname()[1]}/b", patience=PATIENCE)
        error = await refused(Problems(database).count)
        assert "secret" not in str(error)
        await database.close()


async def test_a_row_that_another_node_holds_is_an_error(postgres: Server) -> None:
    async with opened(postgres.new_database(), patience=PATIENCE) as catalog:
        await recovered(lambda: put(catalog.images, record("a")))
        async with catalog.database._store.writer.begin() as connection:
            await connection.execute(text("SELECT 1 FROM images FOR UPDATE"))
            await refused(lambda: put(catalog.images, record("a", title="b")))
            assert await recovered(lambda: catalog.images.get("a")) == record("a")
        await recovered(lambda: put(catalog.images, record("a", title="b")))


async def test_a_database_that_is_dropped_is_an_error(postgres: Server) -> None:
    address = postgres.new_database()
    async with opened(address, patience=PATIENCE) as catalog:
        postgres.drop_database(address)
        await refused(lambda: catalog.images.get("a"))


@pytest.mark.parametrize(
    "address", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://a/b", "postgresql+x://a"]
)
def test_an_address_of_nothing_known_is_a_mistake_of_the_configuration(address: str) -> None:
    with pytest.raises(ConfigError, match="catalog"):
        Database(address)


def test_a_missing_driver_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"pip install 'imgserve\[postgres\]'"):
        Database("postgresql://db/images")


def test_a_catalog_in_a_file_needs_no_driver_of_postgresql(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
sys.modules["asyncpg"] = None
from imgserve.catalog import Database
async def main():
    database = Database("sqlite:///{tmp_path}/catalog.sqlite")
    await database.open()
    await database.close()
asyncio.run(main())
print("opened")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "opened\n"
