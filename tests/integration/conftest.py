"""The address of a catalog in each database, with one server of PostgreSQL for all tests."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.catalogs import opened
from tests.postgres import Server, serving

DATABASES = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests."""
    with serving() as server:
        yield server


async def _create_tables(address: str) -> None:
    async with opened(address):
        pass


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog file with nothing in its tables: copying it takes a tenth of the time of creating them."""
    path = tmp_path_factory.mktemp("template") / "catalog.sqlite"
    asyncio.run(_create_tables(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Server) -> str:
    """The address of a database with nothing in its tables."""
    url = postgres.new_database()
    asyncio.run(_create_tables(url))
    return url


@contextmanager
def _new_catalog(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "catalog.sqlite")
        yield f"sqlite:///{folder}/catalog.sqlite"
        return
    server: Server = request.getfixturevalue("postgres")
    with server.lent_database(request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture(params=DATABASES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a catalog with nothing in its tables."""
    with _new_catalog(request, tmp_path) as url:
        yield url


@pytest.fixture(scope="module", params=DATABASES)
def shared_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a catalog for the tests of a module that only read."""
    with _new_catalog(request, tmp_path_factory.mktemp("catalog")) as url:
        yield url
