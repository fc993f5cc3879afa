"""A catalog in each database: every test that asks for one runs on both."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.catalogs import Catalog, opened
from tests.postgres import Server, serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for all tests."""
    with serving() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/catalog.sqlite"
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
async def catalog(address: str) -> AsyncIterator[Catalog]:
    async with opened(address) as parts:
        yield parts
