"""From an original to a picture with a real cache and real processes: made once, kept, or refused for a while."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from imgserve.errors import LimitExceeded, OriginalChanged, OriginalUnsettled, RenderCrashed, UnreadableImage
from imgserve.images.renditions import Served
from imgserve.images.settings import RenderSettings
from imgserve.model import Limits
from imgserve.pipeline.order import EncoderSettings
from imgserve.transform import Transform
from tests.pictures import encoded, noise
from tests.rendition_rig import LONG_YOUNG, PNG, RENDER_SETTINGS, deadly, opened, run, until
from tests.servers import rendering_processes, resume


@contextlib.asynccontextmanager
async def frozen() -> AsyncIterator[psutil.Process]:
    (child,) = rendering_processes()
    child.suspend()
    yield child
    resume(child)


@pytest.mark.parametrize("background", [False, True])
def test_a_picture_that_is_purged_while_it_is_rendered_is_not_stored(tmp_path: Path, background: bool) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            original, transform = open_rig.put(), Transform(width=20, format="png")
            key = open_rig.renditions.key(original, transform)
            work = open_rig.renditions.warm if background else open_rig.renditions.make
            async with frozen():
                making: asyncio.Task[Served | bool] = asyncio.create_task(work(original, transform, key))
                await until(lambda: open_rig.figure("rendering") == 1)
                await open_rig.cache.purge(original.image_id)
            made = await making
            assert made is True or (isinstance(made, Served) and not made.stored)
            assert await open_rig.renditions.cached(key) is None
            assert (await open_rig.make(original)).stored

    run(body)


def test_a_picture_is_made_once_then_found_in_memory_then_on_disk(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            original = open_rig.put()
            made, again = await open_rig.make(original), await open_rig.make(original)
            assert (made.outcome, again.outcome) == ("render", "memory")
            assert made.rendition == again.rendition
            assert set(made.seconds) == {"wait", "render"}
            assert open_rig.rendered() == 1
        async with opened(tmp_path) as open_rig:
            assert (await open_rig.make(original)).outcome == "disk"
            assert open_rig.rendered() == 0

    run(body)


def test_everyone_who_requests_one_picture_shares_one_rendering(tmp_path: Path) -> None:
    served: list[Served] = []

    async def body() -> None:
        async with opened(tmp_path, waiting=1) as open_rig:
            original, transform, arrived = open_rig.put(), Transform(width=20, format="png"), list[int]()
            key = open_rig.renditions.key(original, transform)

            async def ask() -> None:
                assert await open_rig.renditions.cached(key) is None
                arrived.append(1)  # it shares the rendering before it is suspended again
                served.append(await open_rig.renditions.make(original, transform, key))

            async with frozen(), anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(ask)
                await until(lambda: len(arrived) == 50 and open_rig.figure("rendering") == 1)
                resume(rendering_processes()[0])
            assert sorted({one.outcome for one in served}) == ["coalesced", "render"]
            assert {one.rendition.data for one in served} == {served[0].rendition.data}
            assert (open_rig.rendered(), open_rig.figure("coalesced_total")) == (1, 49)

    run(body)


@pytest.mark.parametrize("memory", [10**7, 0])
def test_a_picture_that_all_have_left_is_finished_and_kept(tmp_path: Path, memory: int) -> None:
    async def body() -> None:
        async with opened(tmp_path, memory=memory) as open_rig:
            original = open_rig.put()
            async with frozen():
                with anyio.move_on_after(0.2):
                    await open_rig.make(original)
            await until(lambda: open_rig.rendered() == 1)
            await until(lambda: open_rig.figure("rendering") == 0)
            await anyio.sleep(0.1)
            assert (await open_rig.make(original)).outcome in {"memory", "disk"}
        async with opened(tmp_path) as open_rig:
            assert (await open_rig.make(original)).outcome == "disk"

    run(body)


@pytest.mark.parametrize(
    ("data", "render_settings", "error"),
    [
        (PNG[:2000], RENDER_SETTINGS, UnreadableImage),
        (PNG, replace(RENDER_SETTINGS, limits=Limits(original_pixels=100)), LimitExceeded),
    ],
)
def test_a_failure_is_remembered_for_the_picture(
    tmp_path: Path, data: bytes, render_settings: RenderSettings, error: type[Exception]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, render_settings=render_settings) as open_rig:
            original = open_rig.put(data=data)
            for _ in range(3):
                with pytest.raises(error):
                    await open_rig.make(original)
            assert open_rig.rendered() == 1
            with pytest.raises(error):
                await open_rig.make(original, 21)
            assert open_rig.rendered() == 2

    run(body)


def test_a_crash_is_remembered_for_the_file_until_its_time_is_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, forget=1.0) as open_rig:
            original = open_rig.put()
            with deadly(), pytest.raises(RenderCrashed):
                await open_rig.make(original)
            with pytest.raises(RenderCrashed):
                await open_rig.make(original, 21)
            assert open_rig.rendered() == 1
            await anyio.sleep(1.1)
            assert (await open_rig.make(original, 21)).outcome == "render"

    run(body)


def test_a_young_original_is_served_and_not_kept(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, render_settings=LONG_YOUNG) as open_rig:
            original = open_rig.put(age=0)
            outcomes = [await open_rig.make(original) for _ in range(2)]
            assert [(one.outcome, one.stored) for one in outcomes] == [("render", False)] * 2

    run(body)


def test_a_young_original_that_cannot_be_read_is_to_be_requested_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, render_settings=LONG_YOUNG) as open_rig:
            original = open_rig.put(data=PNG[:2000], age=0)
            for _ in range(2):
                with pytest.raises(OriginalUnsettled) as caught:
                    await open_rig.make(original)
                assert caught.value.retry_after
            assert open_rig.rendered() == 2

    run(body)


def test_a_replaced_original_is_never_served_under_its_former_version(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as open_rig:
            before = open_rig.put()
            after = open_rig.put(data=encoded(noise(100, 90), "png"), age=30)
            for _ in range(2):
                with pytest.raises(OriginalChanged):
                    await open_rig.make(before)
            assert (await open_rig.make(after)).outcome == "render"

    run(body)


def test_what_decides_the_bytes_is_in_the_key_and_what_does_not_is_not() -> None:
    settings = [
        RENDER_SETTINGS,
        replace(RENDER_SETTINGS, damaged=True),
        replace(RENDER_SETTINGS, encoders=EncoderSettings({**EncoderSettings().quality, "jpg": 33})),
        replace(RENDER_SETTINGS, limits=Limits(output_side=100)),
    ]
    assert len({render_settings.revision("1/8.18.0") for render_settings in settings}) == len(settings)
    assert RENDER_SETTINGS.revision("1/8.18.0") != RENDER_SETTINGS.revision("1/8.18.1")
    same = replace(RENDER_SETTINGS, settle=9, limits=Limits(original_bytes=99))
    assert same.revision("1") == RENDER_SETTINGS.revision("1")
