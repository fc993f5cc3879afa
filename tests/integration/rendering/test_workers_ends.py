"""Rendering processes that die between two steps, do not start, or are ended with the server."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from imgserve.errors import ImgserveError, Unavailable
from imgserve.metrics import Metrics
from imgserve.model import file_version
from imgserve.rendering.admission import Admission
from imgserve.rendering.pool import RenderingProcess
from imgserve.rendering.wire import Answer, ProcessLimits, RenderJob
from imgserve.rendering.workers import Workers
from imgserve.transform import Transform
from tests.pictures import encoded, noise
from tests.rendition_rig import PATIENCE, until
from tests.servers import rendering_processes

SMALL = encoded(noise(160, 120), "png")


def job(place: Path, name: str = "a.png", data: bytes = SMALL, **fields: Any) -> RenderJob:
    path = place / name
    path.write_bytes(data)
    state = path.stat()
    order = RenderJob(str(path), file_version(state.st_mtime_ns, state.st_size), Transform(width=20, format="png"))
    return replace(order, **fields)


def staffed(metrics: Metrics) -> Workers:
    return Workers(
        1,
        Admission(1, waiting=9, waiting_megapixels=10_000),
        time_limit=PATIENCE,
        process_limits=ProcessLimits(),
        metrics=metrics,
    )


def run(body: Callable[[Workers, Metrics], Coroutine[Any, Any, None]]) -> None:
    """Run with one process, and see that nothing of it is left."""
    before = set(rendering_processes())

    async def whole() -> None:
        metrics = Metrics(CollectorRegistry())
        workers = staffed(metrics)
        await body(workers, metrics)
        with anyio.fail_after(PATIENCE):
            await workers.close()
        assert set(rendering_processes()) <= before, "a rendering process outlived its workers"
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task outlived its workers"

    asyncio.run(whole())


def test_a_process_that_dies_between_its_answer_and_its_release_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = RenderingProcess.render

    async def last_words(process: RenderingProcess, ordered: RenderJob) -> Answer:
        answer = await render(process, ordered)
        process.kill()
        await process.ended()
        await anyio.sleep(0.05)
        return answer

    async def body(workers: Workers, metrics: Metrics) -> None:
        await workers.open()
        monkeypatch.setattr(RenderingProcess, "render", last_words)
        assert (await workers.render(job(tmp_path))).rendition.width == 20
        monkeypatch.setattr(RenderingProcess, "render", render)
        with anyio.fail_after(PATIENCE):
            assert (await workers.render(job(tmp_path))).rendition.width == 20
        assert metrics.registry.get_sample_value("imgserve_render_process_deaths_total", {"reason": "crash"}) == 1

    run(body)


def test_a_picture_for_which_no_process_comes_up_is_not_at_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgserve.rendering.pool._COMMAND", "raise SystemExit(1)")

    async def body(workers: Workers, _: Metrics) -> None:
        with pytest.raises(Unavailable):
            await workers.render(job(tmp_path))

    run(body)


def test_pictures_that_wait_at_the_end_are_refused_and_start_no_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(workers: Workers, metrics: Metrics) -> None:
        await workers.open()
        (child,) = rendering_processes()
        child.suspend()
        orders = [asyncio.create_task(workers.render(job(tmp_path))) for _ in range(3)]
        await until(lambda: metrics.registry.get_sample_value("imgserve_render_queue") == 2)
        with caplog.at_level(logging.INFO), anyio.fail_after(PATIENCE):
            await workers.close()
            outcomes = await asyncio.gather(*orders, return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes), outcomes
        assert caplog.messages == [], "nothing was lost: it was ended"
        assert metrics.registry.get_sample_value("imgserve_render_process_deaths_total", {"reason": "crash"}) == 0

    run(body)


def test_an_order_that_came_a_moment_before_the_end_is_refused(tmp_path: Path) -> None:
    async def body(workers: Workers, _: Metrics) -> None:
        await workers.open()
        order = asyncio.create_task(workers.render(job(tmp_path)))
        await asyncio.sleep(0)
        await workers.close()
        with anyio.fail_after(PATIENCE), pytest.raises(ImgserveError):
            await order

    run(body)


def test_a_process_is_let_go_whatever_it_still_has_to_say() -> None:
    async def body() -> None:
        talker = "import sys; sys.stdout.buffer.write(bytes(10**7))"
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", talker, stdin=pipe, stdout=pipe, stderr=pipe)
        await anyio.sleep(0.3)
        with anyio.fail_after(PATIENCE):
            ours, theirs = socket.socketpair()
            with theirs:
                await RenderingProcess(child, ours).end()
        assert child.returncode is not None

    asyncio.run(body())
