"""The watcher with the real ingest service: real pictures, real rendering processes, a real catalog and cache."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from imgserve.cache import LeaderLock
from imgserve.library.watcher import Watcher
from imgserve.originals.tree import OriginalsTree
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, open_rig, picture
from tests.watching import PATIENCE

pytestmark = pytest.mark.anyio


class _Place:
    """A rig whose folder is watched."""

    def __init__(self, parts: Rig) -> None:
        self.parts = parts
        tree = OriginalsTree({"": parts.root})
        leader = LeaderLock(parts.root / ".imgserve" / "watch.lock", every=0.1)
        self.watcher = Watcher(tree, parts.ingest, parts.catalog, leader, parts.metrics, at_once=2, rescan=0)

    async def known(self) -> dict[str, str]:
        return await self.parts.known()

    async def is_in_step(self) -> bool:
        lying = {one.image_id: one.version for one in self.parts.walked()}
        return self.watcher.idle and await self.known() == lying

    async def in_step(self) -> None:
        with anyio.fail_after(PATIENCE):
            while not await self.is_in_step():  # noqa: ASYNC110  nothing tells of a record
                await anyio.sleep(0.05)

    async def in_state(self, state: str) -> None:
        with anyio.fail_after(PATIENCE):
            while self.watcher.state != state:  # noqa: ASYNC110  as above
                await anyio.sleep(0.05)


@contextlib.asynccontextmanager
async def watched(folder: Path, address: str, pool: ProcessPool) -> AsyncIterator[_Place]:
    async with open_rig(folder, address, pool=pool, settle=2.0) as parts:
        place = _Place(parts)
        async with anyio.create_task_group() as group:
            group.start_soon(place.watcher.run)
            yield place
            group.cancel_scope.cancel()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.sqlite"


async def test_what_comes_changes_and_goes_is_recorded_and_purged(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    async with watched(tmp_path, address, pool) as place:
        parts = place.parts
        parts.put("new/a.png", picture(1))
        await place.in_step()
        record = await parts.catalog.images.get("new/a.png")
        assert record is not None
        assert (record.width, record.height, record.origin) == (40, 30, "watch")
        key = await parts.render("new/a.png")
        parts.put("new/a.png", picture(2))
        await place.in_step()
        assert await parts.cache.get(key) is None
        (parts.root / "new" / "a.png").unlink()
        await place.in_step()
        assert not await place.known()


async def test_what_people_wrote_follows_a_folder_that_is_renamed(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    async with watched(tmp_path, address, pool) as place:
        parts = place.parts
        for number in range(30):
            parts.put(f"before/{number}.png", picture(number))
        await place.in_step()
        for number in range(30):
            await parts.ingest.change(f"before/{number}.png", {"title": f"number {number}"})
        (parts.root / "before").rename(parts.root / "after")
        await place.in_step()
        records = await parts.catalog.images.get_many([f"after/{number}.png" for number in range(30)])
        assert {record.title for record in records.values()} == {f"number {number}" for number in range(30)}


async def test_nothing_is_read_again_at_the_second_start(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    (tmp_path / "originals").mkdir()
    for number in range(20):
        (tmp_path / "originals" / f"{number}.png").write_bytes(picture(number))
    (tmp_path / "originals" / "text.txt").write_text("no image")
    async with watched(tmp_path, address, pool) as place:
        await place.in_step()
        assert len(place.parts.inspected) == 20
    async with watched(tmp_path, address, pool) as place:
        await place.in_step()
        assert not place.parts.inspected


async def test_half_a_picture_never_becomes_a_record(tmp_path: Path, address: str, pool: ProcessPool) -> None:
    data = picture(7)
    async with watched(tmp_path, address, pool) as place:
        with (tmp_path / "originals" / "slow.png").open("wb", buffering=0) as file:
            for start in range(4):
                file.write(data[start * 20 : start * 20 + 20])
                await anyio.sleep(0.6)
                assert await place.parts.catalog.images.get("slow.png") is None
            file.write(data[80:])
        await place.in_step()
        assert await place.parts.catalog.images.get("slow.png") is not None


async def test_a_damaged_picture_with_an_old_time_is_a_problem_until_it_is_whole(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    data, path = picture(8), tmp_path / "originals" / "old.png"
    async with watched(tmp_path, address, pool) as place:
        path.write_bytes(data[: len(data) // 2])
        os.utime(path, (10**9, 10**9))
        await place.in_step()
        assert len(place.parts.inspected) > 1, "it might still have been written, so it was tried again"
        assert await place.parts.catalog.problems.get("old.png") is not None
        path.write_bytes(data)
        os.utime(path, (10**9, 10**9))
        await place.in_step()
        assert await place.parts.catalog.images.get("old.png") is not None


async def test_a_catalog_that_is_deleted_is_filled_again_by_the_next_start(
    tmp_path: Path, address: str, pool: ProcessPool
) -> None:
    async with watched(tmp_path, address, pool) as place:
        place.parts.put("a.png", picture(1))
        await place.in_step()
        (tmp_path / "catalog.sqlite").unlink()
        place.parts.put("b.png", picture(2))
        await place.in_state("degraded: changes wait for the catalog")
    for left in tmp_path.glob("catalog.sqlite*"):
        left.unlink()
    async with watched(tmp_path, address, pool) as place:
        await place.in_step()
        assert set(await place.known()) == {"a.png", "b.png"}
