"""Who becomes the maker of a mezzanine, and what it costs others when that comes to nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import psutil
import pytest

from imgserve.errors import Busy
from tests.pictures import encoded, noise
from tests.rendition_rig import Rig, opened, run, until
from tests.servers import rendering_processes, resume

ROOM = 10**9
LARGE = encoded(noise(2000, 1500), "jpg")


def kept(open_rig: Rig) -> float:
    return open_rig.figure("mezzanines_total", result="kept")


def temporary(open_rig: Rig) -> list[Path]:
    return [path for path in (open_rig.place / ".cache" / ".tmp").rglob("*") if path.is_file()]


@contextlib.asynccontextmanager
async def occupied(open_rig: Rig) -> AsyncIterator[None]:
    """Occupy the only process with another picture."""
    (child,) = rendering_processes()
    child.suspend()
    busy = asyncio.create_task(open_rig.make(open_rig.put("busy.jpg", encoded(noise(50, 50), "jpg")), 10))
    await until(lambda: open_rig.figure("rendering") == 1)
    try:
        yield
    finally:
        resume(child)
        await busy


def test_a_client_that_leaves_the_queue_does_not_keep_its_original_from_having_a_mezzanine(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            async with occupied(open_rig):
                leaver = asyncio.create_task(open_rig.make(original, 100))
                await until(lambda: open_rig.figure("render_queue") == 1)
                leaver.cancel()
                await asyncio.gather(leaver, return_exceptions=True)
            await open_rig.make(original, 200)
            await until(lambda: kept(open_rig) == 1)

    run(body)


def test_a_full_queue_does_not_keep_an_original_from_having_a_mezzanine(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM, waiting=0) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            async with occupied(open_rig):
                with pytest.raises(Busy):
                    await open_rig.make(original, 100)
            await until(lambda: not open_rig.figure("rendering"))
            await open_rig.make(original, 200)
            await until(lambda: kept(open_rig) == 1)

    run(body)


def test_an_original_that_was_too_young_to_prepare_has_a_mezzanine_later(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE, age=0.5)
            assert not await open_rig.renditions.prepare(original)
            await until(lambda: open_rig.renditions.is_settled(original))
            await open_rig.make(original, 200)
            await until(lambda: kept(open_rig) == 1)

    run(body)


def test_sizes_of_one_original_do_not_wait_for_each_other_where_no_mezzanine_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=0) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            async with occupied(open_rig):
                work = [asyncio.create_task(open_rig.make(original, width)) for width in (100, 200, 300)]
                await until(lambda: open_rig.figure("render_queue") == 3)
            await asyncio.gather(*work)

    run(body)


def test_whoever_leaves_while_a_mezzanine_is_prepared_leaves_no_file_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            (child,) = rendering_processes()
            child.suspend()
            work = asyncio.create_task(open_rig.renditions.prepare(original))
            await until(lambda: open_rig.figure("rendering") == 1)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            resume(child)
            await until(lambda: kept(open_rig) == 1)
            assert temporary(open_rig) == []

    run(body)


def test_a_mezzanine_that_waits_to_be_prepared_holds_up_no_client(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM) as open_rig:
            original = open_rig.put("a.jpg", LARGE)
            async with occupied(open_rig):
                preparing = asyncio.create_task(open_rig.renditions.prepare(original))
                await until(lambda: open_rig.figure("render_queue") == 1)
                asked = asyncio.create_task(open_rig.make(original, 100))
                await until(lambda: open_rig.figure("render_queue") == 2)
            assert (await asked).rendition.width == 100
            assert not await preparing, "the client's picture brought it"
            await until(lambda: kept(open_rig) == 1)
            assert temporary(open_rig) == []

    run(body)


def test_what_another_server_process_makes_is_waited_for_and_then_held_up_by_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, mezzanines=ROOM, shared=True) as one:
            (first,) = rendering_processes()
            async with opened(tmp_path, mezzanines=ROOM, shared=True) as other:
                (second,) = set(rendering_processes()) - {first}
                await two_servers(one, first, other, second)

    async def two_servers(one: Rig, first: psutil.Process, other: Rig, second: psutil.Process) -> None:
        original = one.put("a.jpg", LARGE)
        first.suspend()
        maker = asyncio.create_task(one.make(original, 100))
        await until(lambda: one.figure("rendering") == 1)
        second.suspend()
        work = [asyncio.create_task(other.make(original, width)) for width in (200, 300)]
        await anyio.sleep(0.2)
        assert other.figure("rendering") == 0
        resume(first)
        await maker
        await until(lambda: other.figure("rendering") == other.figure("render_queue") == 1)
        resume(second)
        await asyncio.gather(*work)
        assert other.figure("renders_made_from_total", what="mezzanine") == 2

    run(body)
