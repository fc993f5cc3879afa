"""Mezzanines ahead of the first request: newest first, within their budget, behind whoever waits for a picture."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from imgserve.cache import TierStats
from imgserve.errors import UnreadableImage
from imgserve.images.prefetch import EarlyMezzanine, MezzaninePrefetcher
from imgserve.model import Original
from imgserve.rendering.wire import InspectJob
from tests.pictures import encoded, noise
from tests.rendition_rig import Rig, opened, run, until
from tests.servers import rendering_processes, resume

ROOM = 10**9
LARGE = encoded(noise(2000, 1500), "jpg")
MEZZANINE = 2000 * 1500 * 3 * 85 // 64


def kept(open_rig: Rig) -> set[str]:
    """Name the folders of images that have a mezzanine."""
    return {path.parent.name for path in (open_rig.place / ".cache" / "mezzanines").rglob("*.pixels")}


@contextlib.asynccontextmanager
async def preparing(open_rig: Rig, **options: float) -> AsyncIterator[MezzaninePrefetcher]:
    preparer = MezzaninePrefetcher(open_rig.renditions, open_rig.cache.mezzanine_stats, **options)  # type: ignore[arg-type]  # most is whole
    async with anyio.create_task_group() as group:
        group.start_soon(preparer.run)
        yield preparer
        group.cancel_scope.cancel()


def prepared(open_rig: Rig) -> float:
    return open_rig.figure("mezzanines_total", result="kept")


def test_the_first_picture_of_what_was_added_comes_from_its_mezzanine(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            original = open_rig.put("a.jpg", LARGE)
            preparer.add(original)
            await until(lambda: prepared(open_rig) == 1)
            await open_rig.make(original, 700)
            assert open_rig.figure("renders_made_from_total", what="mezzanine") == 1

    run(body)


@contextlib.asynccontextmanager
async def early(open_rig: Rig, original: Original, room: int = ROOM) -> AsyncIterator[EarlyMezzanine]:
    """Inspect an original, and yield its mezzanine."""

    async def stats() -> TierStats:
        return replace(await open_rig.cache.mezzanine_stats(), limit_bytes=room)

    job = InspectJob(original.path, original.file_version)
    with await MezzaninePrefetcher(open_rig.renditions, stats).early(original.size) as mezzanine:
        job = replace(job, store=mezzanine.store)
        await open_rig.renditions._workers.inspect(job, megapixels=3, background=False, on_turn=mezzanine.begin)
        yield mezzanine


def test_the_mezzanine_of_an_inspection_serves_the_first_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            async with early(open_rig, original) as mezzanine:
                mezzanine.adopt(original)
            await open_rig.make(original, 700)
            assert open_rig.figure("renders_made_from_total", what="mezzanine") == 1
            assert prepared(open_rig) == 1

    run(body)


def test_the_mezzanine_of_an_inspection_overtakes_one_that_waits_for_its_slot(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original, other, renditions = open_rig.put("a.jpg", LARGE), open_rig.put("b.png"), open_rig.renditions
            (child,) = rendering_processes()
            child.suspend()
            client = asyncio.create_task(open_rig.make(other))
            await until(lambda: open_rig.figure("rendering") == 1)
            preparing = asyncio.create_task(renditions.prepare(original))
            await until(lambda: open_rig.figure("render_queue") == 1)
            place, written = renditions.mezzanine_place(), asyncio.get_running_loop().create_future()
            assert place is not None
            renditions.adopt(original, place, written)
            waiting = asyncio.create_task(open_rig.make(original, 700))
            resume(child)
            assert (await client).stored
            assert not await preparing
            assert not waiting.done()
            written.set_result(0)
            assert (await waiting).stored

    run(body)


@pytest.mark.parametrize("broken", [False, True])
def test_the_mezzanine_of_a_file_that_is_not_accepted_is_removed(tmp_path: Path, broken: bool) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE[: -len(LARGE) // 3] if broken else LARGE)
            with pytest.raises(UnreadableImage) if broken else contextlib.nullcontext():
                async with early(open_rig, original) as mezzanine:
                    assert mezzanine.store is not None
            await until(lambda: not any(path.is_file() for path in (tmp_path / ".cache" / "mezzanines").rglob("*")))
            await open_rig.renditions.close()

    run(body)


def test_of_several_at_a_time_the_first_alone_has_a_mezzanine_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            preparer = MezzaninePrefetcher(open_rig.renditions, open_rig.cache.mezzanine_stats)
            with await preparer.early(10**6) as one, await preparer.early(10**6) as other:
                assert (one.store is None, other.store is None) == (False, True)
            with await preparer.early(10**6) as third:
                assert third.store is not None

    run(body)


def test_nothing_is_prepared_while_an_upload_is_inspected(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            with await preparer.early(1):
                preparer.add(open_rig.put("a.jpg", LARGE))
                await anyio.sleep(0.1)
                assert preparer.waiting == 1
            await until(lambda: prepared(open_rig) == 1)

    run(body)


@pytest.mark.parametrize(("data", "room"), [(LARGE, 10**7), (encoded(noise(400, 300), "png"), ROOM)])
def test_nothing_is_written_in_a_full_tier_and_of_a_small_picture(tmp_path: Path, data: bytes, room: int) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", data)
            async with early(open_rig, original, room) as mezzanine:
                mezzanine.adopt(original)
            await until(lambda: not any(path.is_file() for path in (tmp_path / ".cache" / "mezzanines").rglob("*")))
            assert prepared(open_rig) == 0

    run(body)


def test_the_newest_is_first_and_of_too_many_the_oldest_fall_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            preparer = MezzaninePrefetcher(open_rig.renditions, open_rig.cache.mezzanine_stats, max_waiting=2)
            for name in ("old.jpg", "middle.jpg", "new.jpg", "middle.jpg"):
                preparer.add(open_rig.put(name, LARGE))
            assert preparer.waiting == 2
            order = [(await preparer._next()).image_id for _ in range(2)]
            assert order == ["middle.jpg", "new.jpg"]

    run(body)


def test_what_may_still_be_written_waits_until_it_is_settled(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            preparer.add(open_rig.put("a.jpg", LARGE, age=0.5))
            await anyio.sleep(0.3)
            assert (preparer.waiting, prepared(open_rig)) == (1, 0)
            await until(lambda: prepared(open_rig) == 1)

    run(body)


def test_what_is_there_is_not_made_again_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            preparer.add(original := open_rig.put("a.jpg", LARGE))
            await until(lambda: prepared(open_rig) == 1)
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            assert not await open_rig.renditions.prepare(original)
            preparer.add(original)
            preparer.add(open_rig.put("sooner.jpg", LARGE))
            await until(lambda: not preparer.waiting and prepared(open_rig) == 1)
            assert len(kept(open_rig)) == 2

    run(body)


def test_a_full_tier_is_left_to_what_it_has_and_new_ones_take_a_part_of_it(tmp_path: Path) -> None:
    async def body() -> None:
        budget = 5 * MEZZANINE + MEZZANINE // 2
        async with opened(tmp_path, mezzanines=budget) as open_rig, preparing(open_rig, new_seconds=600) as preparer:
            for number in range(5):
                preparer.add(open_rig.put(f"{number}.jpg", LARGE, age=7200))
            await until(lambda: prepared(open_rig) == 5)
            before = kept(open_rig)
            preparer.add(open_rig.put("old.jpg", LARGE, age=7200))
            await until(lambda: not preparer.waiting)
            preparer.add(open_rig.put("new.jpg", LARGE, age=60))
            await until(lambda: prepared(open_rig) == 6)
            preparer.add(open_rig.put("another.jpg", LARGE, age=60))
            await until(lambda: not preparer.waiting)
            await anyio.sleep(0.3)
            assert prepared(open_rig) == 6, "new ones take a quarter of the tier and no more"
            assert len(kept(open_rig) - before) == 1

    run(body)


def test_a_crowd_is_recorded_before_anything_is_prepared(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            for number in range(25):
                preparer.add(open_rig.put(f"{number}.jpg", LARGE))
            await anyio.sleep(1)
            assert (preparer.waiting, prepared(open_rig)) == (25, 0)
            await until(lambda: prepared(open_rig) == 25)

    run(body)


def test_it_gives_way_to_whoever_waits_for_a_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            small, large = open_rig.put(), open_rig.put("a.jpg", LARGE)
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                for width in (20, 21, 22):
                    group.start_soon(open_rig.make, small, width)
                await until(lambda: open_rig.figure("rendering") == 1)
                async with preparing(open_rig) as preparer:
                    preparer.add(large)
                    await until(lambda: not preparer.waiting)
                    resume(child)
                    await until(lambda: prepared(open_rig) == 1)
                    assert open_rig.rendered() == 3, "every picture was made before"

    run(body)


def test_a_damaged_original_stops_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig, preparing(open_rig) as preparer:
            good = open_rig.put("good.jpg", LARGE)
            preparer.add(good)
            preparer.add(open_rig.put("bad.jpg", LARGE[: len(LARGE) // 2]))
            await until(lambda: prepared(open_rig) == 1)
            assert preparer.waiting == 0

    run(body)
