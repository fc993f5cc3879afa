"""A rig with its catalog in each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.catalog.conftest import address, anyio_backend, postgres
from tests.library_rig import Rig, open_rig

__all__ = ["address", "anyio_backend", "postgres", "rig"]


@pytest.fixture
async def rig(tmp_path: Path, address: str) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, address, trash_seconds=3600) as made:
        yield made
