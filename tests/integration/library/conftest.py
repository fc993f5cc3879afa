"""A rig with its catalog in each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.rendering.pool import ProcessPool
from tests.integration.catalog.conftest import anyio_backend
from tests.library_rig import Rig, lent_pool, open_rig

__all__ = ["anyio_backend", "pool", "rig"]


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    """Rendering processes for the rigs of a module."""
    async with lent_pool() as processes:
        yield processes


@pytest.fixture
async def rig(tmp_path: Path, address: str, pool: ProcessPool) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, address, pool=pool, trash_seconds=3600) as made:
        yield made
