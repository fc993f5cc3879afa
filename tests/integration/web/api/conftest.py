"""A caller of the API, over a catalog in each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api_rig import Caller, calling
from tests.integration.catalog.conftest import address, anyio_backend, postgres

__all__ = ["address", "anyio_backend", "api", "postgres"]


@pytest.fixture
async def api(tmp_path: Path, address: str) -> AsyncIterator[Caller]:
    async with calling(tmp_path, address) as made:
        yield made
