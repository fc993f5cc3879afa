"""Rendering processes for real: how many, who waits, what becomes of one that dies or hangs."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from prometheus_client import CollectorRegistry

from imgserve.errors import BadTransform, Busy, ImageNotFound, RenderCrashed, RenderTimeout, UnreadableImage
from imgserve.metrics import Metrics
from imgserve.model import file_version
from imgserve.rendering.admission import Admission
from imgserve.rendering.pool import RecyclePolicy, RenderingProcess
from imgserve.rendering.wire import ProcessLimits, RenderJob
from imgserve.rendering.workers import Workers
from imgserve.transform import Transform
from tests.pictures import encoded, noise
from tests.rendition_rig import PATIENCE, deadly, until
from tests.servers import rendering_processes, resume

SMALL = encoded(noise(160, 120), "png")
SLOW_AND_LARGE = Transform(width=2900, format="png")
SLOW = Transform(format="webp", lossless=True)


def job(place: Path, name: str = "a.png", data: bytes = SMALL) -> RenderJob:
    path = place / name
    if not path.exists():
        path.write_bytes(data)
    state = path.stat()
    return RenderJob(str(path), file_version(state.st_mtime_ns, state.st_size), Transform(width=20, format="png"))


def figure(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"imgserve_{name}", labels) or 0.0


@contextlib.asynccontextmanager
async def opened(
    processes: int = 1, waiting: int = 4, time_limit: float = PATIENCE, recycle: RecyclePolicy | None = None
) -> AsyncIterator[tuple[Workers, Metrics]]:
    metrics = Metrics(CollectorRegistry())
    workers = Workers(
        processes,
        Admission(processes, waiting=waiting, waiting_megapixels=10_000),
        time_limit=time_limit,
        process_limits=ProcessLimits(),
        metrics=metrics,
        recycle=recycle,
    )
    await workers.open()
    try:
        yield workers, metrics
    finally:
        await workers.close()


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    before = set(rendering_processes())
    asyncio.run(body())
    assert set(rendering_processes()) <= before, "a rendering process outlived its event loop"


def test_every_process_is_started_and_disciplined_before_the_first_picture() -> None:
    async def body() -> None:
        metrics = Metrics(CollectorRegistry())
        process_limits = ProcessLimits(niceness=7, memory_bytes=10**9)
        workers = Workers(
            2,
            Admission(2, waiting=4, waiting_megapixels=10_000),
            time_limit=PATIENCE,
            process_limits=process_limits,
            metrics=metrics,
        )
        assert not workers.started
        version = await workers.open()
        assert version.split("/")[1].count(".") == 2
        assert workers.started
        assert len(rendering_processes()) == 2
        assert {child.nice() - os.nice(0) for child in rendering_processes()} <= {7, 19 - os.nice(0)}
        # The optional encoders are not counted.
        limits = [limit for child in rendering_processes() for limit in child.rlimit(psutil.RLIMIT_AS)]
        assert all(10**9 <= limit < 1.2 * 10**9 for limit in limits)
        await workers.close()
        assert not workers.started

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


def test_an_error_keeps_its_fields_on_the_way_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened() as (workers, _):
            asked = job(tmp_path, "a.tif", encoded(noise(80, 60), "tiff"))
            with pytest.raises(BadTransform, match=r"expected 1\.\.1") as caught:
                await workers.render(replace(asked, transform=Transform(page=3, format="png")))
            assert len(caught.value.mistakes) == 1

    run(body)


@pytest.mark.parametrize("waiting", [0, 1, 3])
def test_as_many_wait_as_may_and_the_next_is_reported_that_we_are_busy(tmp_path: Path, waiting: int) -> None:
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
            await until(lambda: figure(metrics, "rendering") == 0)
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
            with deadly(), pytest.raises(RenderCrashed):
                await workers.render(job(tmp_path))
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
        async with opened(time_limit=2.0) as (workers, _):
            (child,) = rendering_processes()
            child.kill()
            await until(lambda: child not in rendering_processes())
            picture = asyncio.create_task(workers.render(job(tmp_path)))
            await until(lambda: len(rendering_processes()) == 1)
            (other,) = rendering_processes()
            other.suspend()
            await anyio.sleep(2.2)
            resume(other)
            assert (await picture).rendition.width == 20

    run(body)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_worn_process_is_replaced_and_no_picture_notices(tmp_path: Path, processes: int) -> None:
    async def body() -> None:
        async with opened(processes, 100, recycle=RecyclePolicy(pictures=3, growth=0)) as (workers, metrics):
            first = set(rendering_processes())
            async with anyio.create_task_group() as group:
                for _ in range(10 * processes):
                    group.start_soon(workers.render, job(tmp_path))
            await until(lambda: figure(metrics, "render_processes_recycled_total") >= processes)
            await until(lambda: len(rendering_processes()) == processes)
            assert not set(rendering_processes()) & first
            assert figure(metrics, "render_process_deaths_total", reason="crash") == 0

    run(body)


def test_a_process_that_has_grown_is_replaced(tmp_path: Path) -> None:
    async def body() -> None:
        large = replace(job(tmp_path, "large.png", encoded(noise(3000, 3000), "png")), transform=SLOW_AND_LARGE)
        async with opened(recycle=RecyclePolicy(pictures=0, growth=1)) as (workers, metrics):
            first = rendering_processes()
            for at in range(18):
                await workers.render(large if at == 1 else job(tmp_path))
            await until(lambda: figure(metrics, "render_processes_recycled_total") == 1)
            await until(lambda: len(rendering_processes()) == 1)
            assert rendering_processes() != first

    run(body)


def test_what_answers_nonsense_has_crashed_and_is_ended(tmp_path: Path) -> None:
    async def body() -> None:
        talker = "import time; print('x' * 1000, flush=True); time.sleep(60)"
        pipe = asyncio.subprocess.PIPE
        ours, theirs = socket.socketpair()
        process = RenderingProcess(
            await asyncio.create_subprocess_exec(sys.executable, "-c", talker, stdin=pipe, stdout=pipe, stderr=pipe),
            ours,
        )
        with pytest.raises(RenderCrashed):
            await process.render(job(tmp_path))
        await process.ended()
        assert not process.alive
        await process.end()
        theirs.close()

    run(body)
