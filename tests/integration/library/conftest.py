"""A house with a door, its catalog in each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingests import House, house
from tests.integration.catalog.conftest import address, anyio_backend, postgres

__all__ = ["address", "anyio_backend", "home", "postgres"]


@pytest.fixture
async def home(tmp_path: Path, address: str) -> AsyncIterator[House]:
    async with house(tmp_path, address, trash_seconds=3600) as made:
        yield made
