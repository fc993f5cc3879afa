"""Mezzanines ahead of the first request: newest first, within their budget, behind whoever waits for a picture."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from imgserve.images.prefetch import MezzaninePrefetcher
from tests.house import House, opened, run, until
from tests.pictures import encoded, noise
from tests.servers import rendering_processes, resume

ROOM = 10**9
LARGE = encoded(noise(2000, 1500), "jpg")
MEZZANINE = 2000 * 1500 * 15 // 4


def kept(house: House) -> set[str]:
    """Name the folders of images that have a mezzanine."""
    return {path.parent.name for path in (house.place / ".cache" / "mezzanines").rglob("*.pixels")}


@contextlib.asynccontextmanager
async def preparing(house: House, **options: float) -> AsyncIterator[MezzaninePrefetcher]:
    preparer = MezzaninePrefetcher(house.renditions, house.cache.mezzanine_stats, **options)  # type: ignore[arg-type]  # most is whole
    async with anyio.create_task_group() as group:
        group.start_soon(preparer.run)
        yield preparer
        group.cancel_scope.cancel()


def prepared(house: House) -> float:
    return house.figure("mezzanines_total", result="kept")


def test_the_first_picture_of_what_was_added_comes_from_its_mezzanine(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house, preparing(house) as preparer:
            original = house.put("a.jpg", LARGE)
            await preparer.on_recorded(original)
            await until(lambda: prepared(house) == 1)
            await house.make(original, 700)
            assert house.figure("renders_made_from_total", what="mezzanine") == 1

    run(body)


def test_the_newest_is_first_and_of_too_many_the_oldest_fall_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            preparer = MezzaninePrefetcher(house.renditions, house.cache.mezzanine_stats, max_waiting=2)
            for name in ("old.jpg", "middle.jpg", "new.jpg", "middle.jpg"):
                preparer.add(house.put(name, LARGE))
            assert preparer.waiting == 2
            order = [(await preparer._next()).image_id for _ in range(2)]
            assert order == ["middle.jpg", "new.jpg"]

    run(body)


def test_what_may_still_be_written_waits_until_it_is_settled(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house, preparing(house) as preparer:
            preparer.add(house.put("a.jpg", LARGE, age=0.5))
            await anyio.sleep(0.3)
            assert (preparer.waiting, prepared(house)) == (1, 0)
            await until(lambda: prepared(house) == 1)

    run(body)


def test_what_is_there_is_not_made_again_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house, preparing(house) as preparer:
            preparer.add(original := house.put("a.jpg", LARGE))
            await until(lambda: prepared(house) == 1)
        async with opened(tmp_path, mezzanines=ROOM) as house, preparing(house) as preparer:
            assert not await house.renditions.prepare(original)
            preparer.add(original)
            preparer.add(house.put("sooner.jpg", LARGE))
            await until(lambda: not preparer.waiting and prepared(house) == 1)
            assert len(kept(house)) == 2

    run(body)


def test_a_full_tier_is_left_to_what_it_has_and_new_ones_take_a_part_of_it(tmp_path: Path) -> None:
    async def body() -> None:
        budget = 5 * MEZZANINE + MEZZANINE // 2
        async with opened(tmp_path, mezzanines=budget) as house, preparing(house, new_seconds=600) as preparer:
            for number in range(5):
                preparer.add(house.put(f"{number}.jpg", LARGE, age=7200))
            await until(lambda: prepared(house) == 5)
            before = kept(house)
            preparer.add(house.put("old.jpg", LARGE, age=7200))
            await until(lambda: not preparer.waiting)
            preparer.add(house.put("new.jpg", LARGE, age=60))
            await until(lambda: prepared(house) == 6)
            preparer.add(house.put("another.jpg", LARGE, age=60))
            await until(lambda: not preparer.waiting)
            await anyio.sleep(0.3)
            assert prepared(house) == 6, "new ones take a quarter of the tier and no more"
            assert len(kept(house) - before) == 1

    run(body)


def test_a_crowd_is_recorded_before_anything_is_prepared(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house, preparing(house) as preparer:
            for number in range(25):
                preparer.add(house.put(f"{number}.jpg", LARGE))
            await anyio.sleep(1)
            assert (preparer.waiting, prepared(house)) == (25, 0)
            await until(lambda: prepared(house) == 25)

    run(body)


def test_it_gives_way_to_whoever_waits_for_a_picture(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house:
            small, large = house.put(), house.put("a.jpg", LARGE)
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                for width in (20, 21, 22):
                    group.start_soon(house.make, small, width)
                await until(lambda: house.figure("rendering") == 1)
                async with preparing(house) as preparer:
                    preparer.add(large)
                    await until(lambda: not preparer.waiting)
                    resume(child)
                    await until(lambda: prepared(house) == 1)
                    assert house.rendered() == 3, "every picture was made before"

    run(body)


def test_a_damaged_original_stops_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as house, preparing(house) as preparer:
            good = house.put("good.jpg", LARGE)
            preparer.add(good)
            preparer.add(house.put("bad.jpg", LARGE[: len(LARGE) // 2]))
            await until(lambda: prepared(house) == 1)
            assert preparer.waiting == 0

    run(body)
