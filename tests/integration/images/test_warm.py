"""Renditions that nobody asked for yet: kept on disk, behind every client, and never made twice."""

from pathlib import Path

import anyio
import pytest

from imgserve.errors import OriginalUnsettled, UnreadableImage
from imgserve.model import Original
from imgserve.transform import Transform
from tests.house import PNG, House, opened, run, until
from tests.pictures import encoded, noise
from tests.pictures import opened as picture
from tests.servers import rendering_processes, resume

LARGE = encoded(noise(2000, 1500), "jpg")


async def warm(house: House, original: Original, width: int = 20) -> bool:
    transform = Transform(width=width, format="png")
    return await house.renditions.warm(original, transform, house.renditions.key(original, transform))


def test_what_was_warmed_is_found_on_disk_and_fills_no_memory(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as house:
            original = house.put()
            assert await warm(house, original)
            assert not await warm(house, original)
            assert (await house.make(original)).outcome == "disk"
            assert house.rendered() == 1

    run(body)


def test_where_there_is_no_disk_memory_keeps_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, disk=0) as house:
            original = house.put()
            assert await warm(house, original)
            assert (await house.make(original)).outcome == "memory"

    run(body)


def test_several_sizes_of_a_large_original_decode_it_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=10**9) as house:
            original = house.put("a.jpg", LARGE)
            for width in (100, 200, 300):
                assert await warm(house, original, width)
            assert house.figure("renders_made_from_total", what="mezzanine") == 3

    run(body)


def test_clients_go_first_and_what_they_asked_for_is_not_made_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as house:
            original, order = house.put(), list[str]()
            (child,) = rendering_processes()
            child.suspend()

            async def background(width: int) -> None:
                made = await warm(house, original, width)
                order.append(f"warm {width} {made}")

            async def client(width: int) -> None:
                await house.make(original, width)
                order.append(f"client {width}")

            async with anyio.create_task_group() as group:
                group.start_soon(client, 19)
                await until(lambda: house.figure("rendering") == 1)
                group.start_soon(background, 20)
                group.start_soon(background, 21)
                await until(lambda: house.figure("render_queue") == 2)
                group.start_soon(client, 20)
                await until(lambda: house.figure("render_queue") == 3)
                resume(child)
            assert set(order) == {"client 19", "client 20", "warm 20 False", "warm 21 True"}
            assert order.index("client 20") < order.index("warm 21 True")
            assert house.rendered() == 3

    run(body)


def test_what_may_still_be_written_or_is_damaged_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as house:
            with pytest.raises(OriginalUnsettled):
                await warm(house, house.put(age=0))
            broken = house.put("b.png", PNG[:2000])
            for _ in range(2):
                with pytest.raises(UnreadableImage):
                    await warm(house, broken)
            assert house.rendered() == 1, "the second time it is known"

    run(body)


def test_the_picture_of_several_steps_is_shared_while_it_is_made_and_not_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as house:
            original = house.put()
            steps = [Transform(width=80), Transform(rotate=90, format="png")]
            outcomes = list[str]()

            async def make() -> None:
                served = await house.renditions.make_chain(original, steps)
                assert (picture(served.rendition.data).width, served.stored) == (60, False)
                outcomes.append(served.outcome)

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(make)
            await make()
            assert sorted(outcomes) == ["coalesced", "coalesced", "render", "render"]
            assert (await house.cache.stats())["disk"].entries == 0

    run(body)
