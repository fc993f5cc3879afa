"""Rendering processes for real: how many, who waits, what becomes of one that dies or hangs."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from prometheus_client import CollectorRegistry

from imgserve.errors import Busy, ImageNotFound, RenderCrashed, RenderTimeout, UnreadableImage
from imgserve.metrics import Metrics
from imgserve.model import file_version
from imgserve.pipeline.process import Discipline, RenderJob
from imgserve.services.workers import Workers
from imgserve.transform import Transform
from tests.pictures import encoded, noise
from tests.servers import rendering_processes, resume

PATIENCE = 8.0
SMALL = encoded(noise(160, 120), "png")
SLOW = Transform(format="webp", lossless=True)


def job(place: Path, name: str = "a.png", data: bytes = SMALL) -> RenderJob:
    path = place / name
    if not path.exists():
        path.write_bytes(data)
    state = path.stat()
    return RenderJob(str(path), file_version(state.st_mtime_ns, state.st_size), Transform(width=20, format="png"))


def figure(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"imgserve_{name}", labels) or 0.0


async def until(found: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not found():  # noqa: ASYNC110  what is waited for is a figure or a process, which set no event
            await anyio.sleep(0.02)


@contextlib.asynccontextmanager
async def opened(
    processes: int = 1, waiting: int = 4, time_limit: float = PATIENCE
) -> AsyncIterator[tuple[Workers, Metrics]]:
    metrics = Metrics(CollectorRegistry())
    workers = Workers(processes, waiting, time_limit=time_limit, discipline=Discipline(), metrics=metrics)
    await workers.open()
    try:
        yield workers, metrics
    finally:
        await workers.close()


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    before = set(rendering_processes())
    asyncio.run(body())
    # One that was just being started ends by itself, at the end of its standard input.
    deadline = time.monotonic() + PATIENCE
    while set(rendering_processes()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    _, left = psutil.wait_procs(set(rendering_processes()) - before, PATIENCE)
    assert not left, "a rendering process outlived its event loop"


def test_every_process_is_started_and_disciplined_before_the_first_picture() -> None:
    async def body() -> None:
        metrics = Metrics(CollectorRegistry())
        discipline = Discipline(niceness=7, memory_bytes=10**9)
        workers = Workers(2, 4, time_limit=PATIENCE, discipline=discipline, metrics=metrics)
        assert not workers.started
        version = await workers.open()
        assert version.partition("/")[2].count(".") == 2
        assert workers.started
        assert len(rendering_processes()) == 2
        assert {child.nice() - os.nice(0) for child in rendering_processes()} <= {7, 19 - os.nice(0)}
        assert {child.rlimit(psutil.RLIMIT_AS) for child in rendering_processes()} == {(10**9, 10**9)}

    run(body)


def test_pictures_are_rendered_by_the_same_processes_again_and_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(2, 40) as (workers, metrics):
            first = set(rendering_processes())
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(workers.render, job(tmp_path))
            assert set(rendering_processes()) == first
            assert figure(metrics, "render_wait_seconds_count") == 20
            assert figure(metrics, "rendering") == figure(metrics, "render_queue") == 0

    run(body)


def test_an_error_of_the_picture_comes_back_and_costs_no_process(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            first = rendering_processes()
            with pytest.raises(UnreadableImage, match="damaged"):
                await workers.render(job(tmp_path, "torn.png", SMALL[:2000]))
            gone = job(tmp_path)
            (tmp_path / "a.png").unlink()
            with pytest.raises(ImageNotFound):
                await workers.render(gone)
            assert rendering_processes() == first
            assert figure(metrics, "render_process_deaths_total", reason="crash") == 0

    run(body)


@pytest.mark.parametrize("waiting", [0, 1, 3])
def test_as_many_wait_as_may_and_the_next_is_told_that_we_are_busy(tmp_path: Path, waiting: int) -> None:
    outcomes: list[str] = []

    async def ask(workers: Workers, asked: RenderJob) -> None:
        try:
            await workers.render(asked)
            outcomes.append("ok")
        except Busy as error:
            outcomes.append("busy" if error.retry_after else "busy without a time")

    async def body() -> None:
        async with opened(1, waiting) as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(ask, workers, job(tmp_path))
                await until(lambda: len(outcomes) == 9 - waiting)
                assert figure(metrics, "render_queue") == waiting
                assert figure(metrics, "rendering") == 1
                resume(child)
            assert sorted(outcomes) == ["busy"] * (9 - waiting) + ["ok"] * (1 + waiting)

    run(body)


def test_whoever_leaves_the_queue_frees_a_place_and_costs_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(1, 1) as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                group.start_soon(workers.render, job(tmp_path))
                await until(lambda: figure(metrics, "rendering") == 1)
                with anyio.move_on_after(0.1):
                    await workers.render(job(tmp_path))
                assert figure(metrics, "render_queue") == 0
                group.start_soon(workers.render, job(tmp_path))
                await until(lambda: figure(metrics, "render_queue") == 1)
                resume(child)
            assert figure(metrics, "render_wait_seconds_count") == 2
            assert rendering_processes() == [child]

    run(body)


def test_whoever_leaves_a_picture_under_way_leaves_its_process_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            asyncio.get_running_loop().call_later(0.3, child.resume)
            with anyio.move_on_after(0.1) as left:
                await workers.render(job(tmp_path))
            assert left.cancel_called
            assert figure(metrics, "rendering") == 0
            await workers.render(job(tmp_path))
            assert rendering_processes() == [child]

    run(body)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_picture_whose_process_dies_once_succeeds_at_the_second_try(tmp_path: Path, number: int) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            (child,) = rendering_processes()
            child.suspend()
            async with anyio.create_task_group() as group:
                group.start_soon(workers.render, job(tmp_path))
                await until(lambda: figure(metrics, "rendering") == 1)
                child.send_signal(number)
                resume(child)
            assert figure(metrics, "render_process_deaths_total", reason="crash") == 1
            assert child not in rendering_processes()

    run(body)


def test_a_picture_whose_process_dies_twice_is_given_up_and_a_process_takes_their_place(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, metrics):
            errors: list[Exception] = []

            async def ask() -> None:
                try:
                    await workers.render(job(tmp_path))
                except RenderCrashed as error:
                    errors.append(error)

            rendering_processes()[0].suspend()
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                for _ in range(2):
                    await until(lambda: bool(rendering_processes()))
                    rendering_processes()[0].kill()
                    deaths = figure(metrics, "render_process_deaths_total", reason="crash")
                    await until(lambda: figure(metrics, "render_process_deaths_total", reason="crash") > deaths)  # noqa: B023
            assert len(errors) == 1
            await until(lambda: len(rendering_processes()) == 1)
            assert (await workers.render(job(tmp_path))).rendition.width == 20
            assert figure(metrics, "render_process_deaths_total", reason="crash") == 2

    run(body)


def test_a_picture_over_time_costs_its_process_and_is_not_tried_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(2, time_limit=0.3) as (workers, metrics):
            first = rendering_processes()
            slow = replace(job(tmp_path, "slow.png", encoded(noise(2500, 2500), "png")), transform=SLOW)
            started = time.monotonic()
            with pytest.raises(RenderTimeout, match=r"time_limit of 0\.3 s"):
                await workers.render(slow)
            assert time.monotonic() - started >= 0.3
            assert figure(metrics, "render_process_deaths_total", reason="timeout") == 1
            await until(lambda: len(rendering_processes()) == 2)
            assert len(set(rendering_processes()) & set(first)) == 1

    run(body)


def test_the_time_that_a_process_takes_to_start_is_not_the_picture_s(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(time_limit=0.1) as (workers, _):
            (child,) = rendering_processes()
            child.kill()
            await until(lambda: child not in rendering_processes())
            assert (await workers.render(job(tmp_path))).rendition.width == 20

    run(body)
