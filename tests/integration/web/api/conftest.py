"""A caller of the API, over a catalog in each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.rendering.pool import ProcessPool
from tests.api_rig import Caller, calling
from tests.integration.catalog.conftest import anyio_backend
from tests.integration.library.conftest import pool

__all__ = ["anyio_backend", "api", "pool"]


@pytest.fixture
async def api(tmp_path: Path, address: str, pool: ProcessPool) -> AsyncIterator[Caller]:
    async with calling(tmp_path, address, pool=pool) as made:
        yield made
