"""The watch of folders, opened and ended at any moment."""

from pathlib import Path

import anyio
import pytest

from imgserve.originals.tree import OriginalsTree
from imgserve.originals.watch import FolderWatch
from tests.prefork import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("moment", [n / 1000 for n in range(0, 100, 4)])
async def test_a_watch_ends_whenever_it_is_cancelled(tmp_path: Path, moment: float) -> None:
    for number in range(50):
        (tmp_path / str(number)).mkdir()
    watch = FolderWatch(OriginalsTree({"": tmp_path}))
    with anyio.move_on_after(PATIENCE, shield=True) as patience:
        async with anyio.create_task_group() as group:
            group.start_soon(watch.run)
            await anyio.sleep(moment)
            group.cancel_scope.cancel()
    assert not patience.cancelled_caught
