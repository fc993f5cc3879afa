"""The pool of rendering processes hands one out as soon as it is free."""

import asyncio
import os
import signal
import threading

import pytest
from prometheus_client import CollectorRegistry

from imgserve.metrics import Metrics
from imgserve.rendering.pool import ProcessPool, RecyclePolicy, RenderingProcess
from imgserve.rendering.wire import ProcessLimits
from tests.rendition_rig import PATIENCE


@pytest.mark.parametrize("lost", [False, True])
def test_a_caller_waits_without_polling_until_a_process_is_free_or_lost(
    monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    sleep, sleeps, thread = asyncio.sleep, list[float](), threading.get_ident()

    async def recorded(seconds: float) -> None:
        if threading.get_ident() == thread:  # servers of other tests may run in threads of this process
            sleeps.append(seconds)
        await sleep(seconds)

    async def body() -> None:
        pool = ProcessPool(1, ProcessLimits(), Metrics(CollectorRegistry()), RecyclePolicy())
        await pool.open()
        first = await pool.acquire()
        monkeypatch.setattr(asyncio, "sleep", recorded)
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await sleep(0.1)
        assert not any(task.done() for task in waiting)
        assert sleeps == []
        if lost:
            pool.mark_dead(first, "crash")
        else:
            pool.release(first)
        async with asyncio.timeout(PATIENCE):
            while not any(task.done() for task in waiting):
                await sleep(0.01)
            one, other = sorted(waiting, key=lambda task: not task.done())
            assert ((await one) is first) is not lost
            pool.release(await one)
            pool.release(await other)
        await pool.close()

    asyncio.run(body())


def test_a_process_ignores_signals_to_its_group_from_its_start() -> None:
    async def body() -> None:
        process = await RenderingProcess.launch(ProcessLimits())
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(process._child.pid, number)
        await process._send(ProcessLimits())  # answered as at the start
        assert process.alive
        await process.end()

    asyncio.run(body())
