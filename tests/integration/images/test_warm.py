"""Renditions that nobody asked for yet: kept on disk, behind every client, and never made twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from imgserve.cache import KeyLocks
from imgserve.errors import OriginalUnsettled, UnreadableImage
from imgserve.model import Original
from imgserve.transform import Transform
from tests.pictures import encoded, noise
from tests.pictures import opened as picture
from tests.rendition_rig import PNG, Rig, opened, run, until
from tests.servers import rendering_processes, resume

LARGE = encoded(noise(2000, 1500), "jpg")


@contextlib.asynccontextmanager
async def two_processes(place: Path) -> AsyncIterator[tuple[Rig, Rig]]:
    """Provide what two server processes have, which share a cache and its locks."""
    async with opened(place) as here, opened(place) as there:
        for open_rig in (here, there):
            open_rig.renditions._locks = KeyLocks(place / "locks", 60)
        yield here, there


async def warm(open_rig: Rig, original: Original, width: int = 20) -> bool:
    transform = Transform(width=width, format="png")
    return await open_rig.renditions.warm(original, transform, open_rig.renditions.key(original, transform))


def test_what_was_warmed_is_found_in_memory_if_the_disk_does_not_store_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            original = open_rig.put()
            (tmp_path / ".cache" / ".tmp").parent.mkdir(exist_ok=True)
            (tmp_path / ".cache" / ".tmp").touch()
            assert await warm(open_rig, original)
            assert not await warm(open_rig, original)
            assert (await open_rig.make(original)).outcome == "memory"
            assert open_rig.rendered() == 1

    run(body)


def test_what_was_warmed_is_found_on_disk_and_fills_no_memory(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            original = open_rig.put()
            assert await warm(open_rig, original)
            assert not await warm(open_rig, original)
            assert (await open_rig.make(original)).outcome == "disk"
            assert open_rig.rendered() == 1

    run(body)


def test_where_there_is_no_disk_memory_keeps_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, disk=0) as open_rig:
            original = open_rig.put()
            assert await warm(open_rig, original)
            assert (await open_rig.make(original)).outcome == "memory"

    run(body)


def test_several_sizes_of_a_large_original_decode_it_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=10**9) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            for width in (100, 200, 300):
                assert await warm(open_rig, original, width)
            assert open_rig.figure("renders_made_from_total", what="mezzanine") == 3

    run(body)


def test_clients_go_first_and_what_they_requested_is_not_made_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            original, order = open_rig.put(), list[str]()
            (child,) = rendering_processes()
            child.suspend()

            async def background(width: int) -> None:
                made = await warm(open_rig, original, width)
                order.append(f"warm {width} {made}")

            async def client(width: int) -> None:
                await open_rig.make(original, width)
                order.append(f"client {width}")

            async with anyio.create_task_group() as group:
                group.start_soon(client, 19)
                await until(lambda: open_rig.figure("rendering") == 1)
                group.start_soon(background, 20)
                group.start_soon(background, 21)
                await until(lambda: open_rig.figure("render_queue") == 2)
                group.start_soon(client, 20)
                await until(lambda: open_rig.figure("render_queue") == 3)
                resume(child)
            assert set(order) == {"client 19", "client 20", "warm 20 False", "warm 21 True"}
            assert order.index("client 20") < order.index("warm 21 True")
            assert open_rig.rendered() == 3

    run(body)


def test_what_may_still_be_written_or_is_damaged_is_reported(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            with pytest.raises(OriginalUnsettled):
                await warm(open_rig, open_rig.put(age=0))
            broken = open_rig.put("b.png", PNG[:2000])
            for _ in range(2):
                with pytest.raises(UnreadableImage):
                    await warm(open_rig, broken)
            assert open_rig.rendered() == 1, "the second time it is known"

    run(body)


def test_the_picture_of_several_steps_is_shared_while_it_is_made_and_not_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            original = open_rig.put()
            steps = [Transform(width=80), Transform(rotate=90, format="png")]
            outcomes = list[str]()

            async def make() -> None:
                served = await open_rig.renditions.make_chain(original, steps)
                assert (picture(served.rendition.data).width, served.stored) == (60, False)
                outcomes.append(served.outcome)

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(make)
            await make()
            assert sorted(outcomes) == ["coalesced", "coalesced", "render", "render"]
            assert (await open_rig.cache.stats())["disk"].entries == 0

    run(body)


def test_what_another_server_process_renders_is_not_rendered_twice(tmp_path: Path) -> None:
    async def body() -> None:
        async with two_processes(tmp_path) as (here, there):
            original = here.put()
            assert sorted(await asyncio.gather(*(warm(open_rig, original) for open_rig in (here, there)))) == [
                False,
                True,
            ]
            assert here.rendered() + there.rendered() == 1
            assert [(await open_rig.make(original)).outcome for open_rig in (here, there)] == ["disk", "disk"]

    run(body)


def test_a_client_of_another_server_process_waits_for_what_is_rendered_in_the_background(tmp_path: Path) -> None:
    async def body() -> None:
        async with two_processes(tmp_path) as (here, there):
            original = here.put("a.jpg", LARGE)
            warming = asyncio.create_task(warm(here, original, 900))
            await until(lambda: any((tmp_path / "locks").iterdir()) if (tmp_path / "locks").is_dir() else False)
            assert (await there.make(original, 900)).outcome == "disk"
            assert await warming

    run(body)
