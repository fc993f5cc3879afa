"""A catalog in each database: every test that asks for one runs on both."""

from collections.abc import AsyncIterator

import pytest

from tests.catalogs import Catalog, opened


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def catalog(address: str) -> AsyncIterator[Catalog]:
    async with opened(address) as parts:
        yield parts
