"""Facts read in rendering processes for real: in turn, in time, and what becomes of a process that dies."""

import contextlib
import hashlib
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from prometheus_client import CollectorRegistry

from imgserve.errors import (
    Busy,
    ImageNotFound,
    LimitExceeded,
    OriginalChanged,
    RenderCrashed,
    RenderTimeout,
    Unavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.metrics import Metrics
from imgserve.model import Facts, Limits, file_version
from imgserve.rendering.admission import Admission
from imgserve.rendering.wire import InspectJob, ProcessLimits, RenderJob
from imgserve.rendering.workers import Workers
from imgserve.transform import Transform
from tests.pictures import ASTRONAUT, encoded, noise
from tests.rendition_rig import PATIENCE, deadly, run, until
from tests.servers import rendering_processes, resume

SMALL = encoded(noise(160, 120), "png")


def job(place: Path, name: str = "a.png", data: bytes = SMALL) -> InspectJob:
    path = place / name
    if not path.exists():
        path.write_bytes(data)
    state = path.stat()
    return InspectJob(str(path), file_version(state.st_mtime_ns, state.st_size), Limits())


def picture(place: Path) -> RenderJob:
    asked = job(place)
    return RenderJob(asked.path, asked.version, Transform(width=20, format="png"))


def figure(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"imgserve_{name}", labels) or 0.0


@contextlib.asynccontextmanager
async def opened(
    *, slots: int = 1, waiting: int = 4, time_limit: float = PATIENCE, faces: bool = False
) -> AsyncIterator[tuple[Workers, Metrics]]:
    metrics = Metrics(CollectorRegistry())
    admission, limits = Admission(slots, waiting=waiting, waiting_megapixels=10_000), ProcessLimits(faces=faces)
    workers = Workers(slots, admission, time_limit=time_limit, process_limits=limits, metrics=metrics)
    await workers.open()
    try:
        yield workers, metrics
    finally:
        await workers.close()


async def inspect(workers: Workers, asked: InspectJob, *, background: bool = False) -> Facts:
    return await workers.inspect(asked, megapixels=0.02, background=background)


def test_facts_come_back_whole(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            asked = job(tmp_path)
            read = await inspect(workers, asked)
            assert (read.version, read.sha256) == (asked.version, hashlib.sha256(SMALL).hexdigest())
            assert (read.format, read.width, read.height, read.size) == ("png", 160, 120, len(SMALL))
            assert read.perceptual_hash is not None
            assert read.thumbhash
            assert figure(metrics, "inspections_total", result="ok") == 1
            assert figure(metrics, "inspection_seconds_count") == 1
            assert (await workers.render(picture(tmp_path))).rendition.width == 20

    run(body)


def test_faces_are_found_in_the_sandbox(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(faces=True) as (workers, _):
            read = await inspect(workers, job(tmp_path, "astronaut.jpg", ASTRONAUT.read_bytes()))
            assert len(read.faces) == 1

    run(body)


def test_each_refusal_comes_back_as_itself_and_costs_no_process(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            first = rendering_processes()
            with pytest.raises(UnreadableImage, match="damaged"):
                await inspect(workers, job(tmp_path, "torn.png", SMALL[:2000]))
            with pytest.raises(UnsupportedImage):
                await inspect(workers, job(tmp_path, "text.png", b"no picture at all"))
            with pytest.raises(LimitExceeded, match="original_pixels"):
                await inspect(workers, replace(job(tmp_path), limits=Limits(original_pixels=1000)))
            with pytest.raises(OriginalChanged):
                await inspect(workers, replace(job(tmp_path), version="1_1"))
            with pytest.raises(ImageNotFound):
                await inspect(workers, replace(job(tmp_path), path=str(tmp_path / "none.png")))
            assert rendering_processes() == first
            assert figure(metrics, "inspections_total", result="unreadable_image") == 1
            assert figure(metrics, "inspections_total", result="original_changed") == 1
            assert figure(metrics, "render_process_deaths_total", reason="crash") == 0

    run(body)


def test_clients_pass_what_is_inspected_in_the_background(tmp_path: Path) -> None:
    done: list[str] = []

    async def body() -> None:
        async with opened() as (workers, metrics):

            async def low() -> None:
                await inspect(workers, job(tmp_path), background=True)
                done.append("background")

            async def high() -> None:
                await workers.render(picture(tmp_path))
                done.append("client")

            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                group.start_soon(high)
                await until(lambda: figure(metrics, "rendering") == 1)
                group.start_soon(low)
                await until(lambda: figure(metrics, "render_queue") == 1)
                group.start_soon(high)
                await until(lambda: figure(metrics, "render_queue") == 2)
                resume(child)
            assert done == ["client", "client", "background"]

    run(body)


def test_only_the_inspection_of_few_pixels_and_bytes_takes_the_last_slot_in_the_background(tmp_path: Path) -> None:
    turns: list[str] = []

    async def body() -> None:
        async with opened(slots=2) as (workers, _):

            async def render(number: int) -> None:
                await workers.render(
                    picture(tmp_path), on_turn=lambda _: turns.append(f"render {number}"), background=True
                )

            async def low(name: str, size: int = 0) -> None:
                asked = job(tmp_path, name, SMALL + bytes(size))
                await workers.inspect(
                    asked, megapixels=0.02, background=True, on_turn=lambda _: turns.append(f"inspect {name}")
                )

            for child in rendering_processes():
                child.suspend()
            async with anyio.create_task_group() as group:
                for number in range(2):
                    group.start_soon(render, number)
                group.start_soon(low, "large.png", 2_000_000)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(low, "small.png")
                await until(lambda: len(turns) == 2)
                assert turns == ["render 0", "inspect small.png"]
                for child in rendering_processes():
                    resume(child)
            assert turns[2:] == ["render 1", "inspect large.png"]

    run(body)


def test_the_search_for_faces_leaves_the_last_slot_to_clients(tmp_path: Path) -> None:
    turns: list[str] = []

    async def body() -> None:
        async with opened(slots=2, faces=True) as (workers, _):

            async def low(name: str) -> None:
                asked = job(tmp_path, name)
                await workers.inspect(asked, megapixels=0.02, background=True, on_turn=lambda _: turns.append(name))

            for child in rendering_processes():
                child.suspend()
            async with anyio.create_task_group() as group:
                for name in ("a.png", "b.png"):
                    group.start_soon(low, name)
                await anyio.wait_all_tasks_blocked()
                assert turns == ["a.png"]
                for child in rendering_processes():
                    resume(child)
            assert turns == ["a.png", "b.png"]

    run(body)


def test_a_full_queue_is_reported_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(waiting=0) as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                group.start_soon(inspect, workers, job(tmp_path))
                await until(lambda: figure(metrics, "rendering") == 1)
                with pytest.raises(Busy):
                    await inspect(workers, job(tmp_path))
                resume(child)

    run(body)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_an_original_whose_process_dies_once_is_inspected_at_the_second_try(tmp_path: Path, number: int) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                group.start_soon(inspect, workers, job(tmp_path))
                await until(lambda: figure(metrics, "rendering") == 1)
                child.send_signal(number)
                resume(child)
            assert figure(metrics, "render_process_deaths_total", reason="crash") == 1
            assert figure(metrics, "inspections_total", result="ok") == 1

    run(body)


def test_an_original_whose_process_dies_twice_is_given_up(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            with deadly(), pytest.raises(RenderCrashed):
                await inspect(workers, job(tmp_path))
            assert figure(metrics, "inspections_total", result=RenderCrashed.code) == 1
            assert (await inspect(workers, job(tmp_path))).width == 160

    run(body)


def test_an_original_that_hangs_its_process_is_given_up_in_time(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(time_limit=0.3) as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            with pytest.raises(RenderTimeout, match=r"time_limit of 0\.3 s"):
                await inspect(workers, job(tmp_path))
            await until(lambda: child not in rendering_processes())
            await until(lambda: len(rendering_processes()) == 1)
            assert figure(metrics, "inspections_total", result=RenderTimeout.code) == 1

    run(body)


def test_whoever_waits_when_all_is_ended_is_reported(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    with pytest.raises(Unavailable):
                        await inspect(workers, job(tmp_path))

                group.start_soon(ask)
                await until(lambda: figure(metrics, "rendering") == 1)
                await workers.close()

    run(body)
