"""A process that is killed in the middle leaves nothing half-recorded, and each image whole, after the next scan."""

import asyncio
import random
from pathlib import Path

import pytest

from imgserve.library.trash import read_sidecar
from imgserve.model import FocalPoint
from imgserve.rendering.pool import ProcessPool
from tests.library_rig import Rig, open_rig, picture
from tests.prefork import PreforkedProcess

pytestmark = pytest.mark.anyio

NUMBER = 60

DELETER = """
import asyncio, sys
from pathlib import Path
from imgserve.catalog import ImageQuery
from tests.library_rig import idle_pool, open_rig

async def main():
    async with open_rig(Path(sys.argv[1]), sys.argv[2], pool=idle_pool(), trash_seconds=3600) as rig:
        print("ready", flush=True)
        await rig.ingest.delete_many(ImageQuery())
        print("done", flush=True)

asyncio.run(main())
"""

UPLOADER = """
import asyncio, itertools, sys
from pathlib import Path
from tests.library_rig import open_rig, picture

async def main():
    async with open_rig(Path(sys.argv[1]), sys.argv[2]) as rig:
        print("ready", flush=True)
        for number in itertools.count():
            said = {"title": f"{number}"}
            await rig.upload(picture(number % 250), f"{number % 5}.png", details=said, replace=True)

asyncio.run(main())
"""


MOVER = """
import asyncio, itertools, sys
from pathlib import Path
from tests.library_rig import idle_pool, open_rig

async def main():
    async with open_rig(Path(sys.argv[1]), sys.argv[2], pool=idle_pool(), redirect_seconds=3600) as rig:
        print("ready", flush=True)
        for turn in itertools.count():
            for number in range(20):
                await rig.ingest.move(f"{turn}/{number}.png", f"{turn + 1}/{number}.png")

asyncio.run(main())
"""


async def killed(code: str, tmp_path: Path, address: str, seconds: float) -> None:
    """Run a program and kill it some time after it has begun."""
    with PreforkedProcess(["-c", code, str(tmp_path), address], stdout=True) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        await asyncio.sleep(seconds)
        process.kill()


async def whole(rig: Rig) -> None:
    """Scan, and hold every record against its file."""
    rig.originals.sweep()
    await rig.scan()
    assert set((await rig.scan()).values()) <= {"unchanged"}
    walked = {one.image_id: one for one in rig.walked()}
    records = await rig.catalog.images.get_many(list(walked))
    assert set(await rig.catalog.images.versions()) == set(walked) == set(records)
    for image_id, record in records.items():
        assert record.version == rig.originals.stat(image_id).focused(record.focal_point).version
    assert await rig.catalog.problems.count() == 0
    assert rig.leftovers() == []


@pytest.mark.parametrize("turn", range(2))
async def test_a_bulk_delete_that_is_killed_leaves_each_image_or_its_item_whole(
    tmp_path: Path, address: str, pool: ProcessPool, turn: int
) -> None:
    async with open_rig(tmp_path, address, pool=pool, trash_seconds=3600) as rig:
        for number in range(NUMBER):
            rig.put(f"{number:02}.png", picture(number))
        await rig.scan()
        await rig.ingest.tag_many([f"{number:02}.png" for number in range(NUMBER)], ["x"], [])
        await rig.ingest.change("00.png", {"focal_point": FocalPoint(0, 1)})
        before = await rig.catalog.images.get_many([f"{number:02}.png" for number in range(NUMBER)])
        await killed(DELETER, tmp_path, address, random.Random(turn).uniform(0, 0.12))
        await whole(rig)
        trashed = rig.originals.trash.items()
        assert len(trashed) + len(rig.walked()) == NUMBER
        assert {one.image_id for one in trashed} | {one.image_id for one in rig.walked()} == set(before)
        for one in trashed:
            assert read_sidecar(one.sidecar) == before[one.image_id]
        for item in await rig.ingest.trash():
            await rig.ingest.restore(item.item)
        assert await rig.catalog.images.get_many(list(before)) == before


@pytest.mark.parametrize("turn", range(2))
async def test_moves_that_are_killed_lose_no_record_and_no_redirect(
    tmp_path: Path, address: str, pool: ProcessPool, turn: int
) -> None:
    async with open_rig(tmp_path, address, pool=pool, redirect_seconds=3600) as rig:
        for number in range(20):
            rig.put(f"0/{number}.png", picture(number))
        await rig.scan()
        await rig.ingest.tag_many([f"0/{number}.png" for number in range(20)], ["x"], [])
        before = {one.sha256: one.created for one in (await rig.catalog.images.get_many(await rig.known())).values()}
        await killed(MOVER, tmp_path, address, random.Random(turn).uniform(0.05, 0.4))
        await whole(rig)
        records = await rig.catalog.images.get_many(await rig.known())
        assert {one.sha256: one.created for one in records.values()} == before
        assert {one.tags for one in records.values()} == {("x",)}
        moved = {name for name in records if not name.startswith("0/")}
        old = [f"0/{name.partition('/')[2]}" for name in moved]
        assert set((await rig.catalog.redirects.targets(old)).values()) == moved


@pytest.mark.parametrize("turn", range(2))
async def test_uploads_that_are_killed_leave_whole_images(
    tmp_path: Path, address: str, pool: ProcessPool, turn: int
) -> None:
    await killed(UPLOADER, tmp_path, address, random.Random(turn).uniform(0.1, 0.5))
    async with open_rig(tmp_path, address, pool=pool) as rig:
        await whole(rig)
        records = await rig.catalog.images.get_many([f"{number}.png" for number in range(5)])
        pictures = {picture(number) for number in range(250)}
        assert all((rig.root / image_id).read_bytes() in pictures for image_id in records)
