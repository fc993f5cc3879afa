"""The rendering processes: N render, M wait, beyond that Busy at once. Knows nothing of caches or originals."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
from anyio import to_process

from imgserve.errors import Busy, ImgserveError, RenderCrashed, RenderTimeout, Unavailable
from imgserve.metrics import Metrics
from imgserve.pipeline.process import Discipline, Rendered, RenderJob, render_file, start

T = TypeVar("T")

_logger = logging.getLogger("imgserve.workers")

_START_SECONDS = 30.0
_KEEP_ALIVE_SECONDS = 60.0
"""anyio drops a process that was idle for five minutes; a picture should not wait for a new one."""


def _nothing() -> None:
    """Do nothing when a picture's turn has come."""


class Workers:
    """A fixed number of isolated, niced, memory-capped processes, replaced when they die."""

    def __init__(
        self, processes: int, waiting: int, *, time_limit: float, discipline: Discipline, metrics: Metrics
    ) -> None:
        """Take how many render at once, how many may wait, and seconds a picture may take."""
        self._processes = processes
        self._most_waiting = waiting
        self._time_limit = time_limit
        self._discipline = discipline
        self._metrics = metrics
        self._slots = anyio.CapacityLimiter(processes)
        # Never the bottleneck: a slot is held by whoever uses a process. It only bounds what anyio may start.
        self._process_limiter = anyio.CapacityLimiter(processes + 1)
        # The event loop itself holds tasks by weak references only.
        self._replacements: set[asyncio.Task[None]] = set()
        self.started = False

    async def open(self) -> str:
        """Start every process before the first request; tell which pipeline and libvips they run.

        Raises:
            RenderCrashed, RenderTimeout: a process does not come up.
        """
        versions: list[str] = []

        async def one() -> None:
            versions.append(await self._call(start, self._discipline, seconds=_START_SECONDS))

        async with anyio.create_task_group() as group:
            for _ in range(self._processes):
                group.start_soon(one)
        self.started = True
        return versions[0]

    async def render(self, job: RenderJob, *, on_turn: Callable[[], None] = _nothing) -> Rendered:
        """Render one picture; a process that dies is replaced and the picture tried once more.

        `on_turn` is called when its turn has come, and may raise: others may have found out meanwhile that it cannot be
        rendered.

        Raises:
            Busy: as many wait as may.
            RenderTimeout, RenderCrashed: the process was killed, or died twice.
            ImgserveError: whatever rendering or `on_turn` raises.
        """
        place = object()
        await self._queue(place)
        try:
            on_turn()
        except BaseException:
            self._slots.release_on_behalf_of(place)
            raise
        try:
            rendered = await self._try_twice(job)
        except (RenderTimeout, RenderCrashed) as error:
            # The place stays taken until the process is replaced: the next picture's time is for rendering only.
            self._replacements.add(task := asyncio.create_task(self._replace(place)))
            task.add_done_callback(self._replacements.discard)
            raise error.with_traceback(None) from error.__cause__
        except BaseException:
            self._slots.release_on_behalf_of(place)
            raise
        self._slots.release_on_behalf_of(place)
        return rendered

    async def _queue(self, place: object) -> None:
        slots = self._slots.statistics()
        if slots.borrowed_tokens >= slots.total_tokens and slots.tasks_waiting >= self._most_waiting:
            raise Busy(retry_after=1)
        arrived = time.perf_counter()
        with self._metrics.render_queue.track_inprogress():
            await self._slots.acquire_on_behalf_of(place)
        self._metrics.render_wait_seconds.observe(time.perf_counter() - arrived)

    async def _try_twice(self, job: RenderJob) -> Rendered:
        with self._metrics.rendering.track_inprogress():
            try:
                return await self._try(job)
            except RenderCrashed:
                return await self._try(job)

    async def _try(self, job: RenderJob) -> Rendered:
        # A process may have died while it was idle, and its successor takes longer to start than some pictures may
        # take. So one is made sure of first: 0.1 ms where it is there, and the picture's time is for rendering only.
        await self._call(start, self._discipline, seconds=_START_SECONDS)
        return await self._call(render_file, job, seconds=self._time_limit)

    async def _call(self, function: Callable[..., T], *arguments: object, seconds: float) -> T:
        try:
            # Shielded: whoever gave up waiting, a picture under way is finished and kept, not its process killed.
            with anyio.fail_after(seconds, shield=True):
                return await to_process.run_sync(function, *arguments, cancellable=True, limiter=self._process_limiter)
        except TimeoutError as error:
            self._lost("timeout")
            raise RenderTimeout(f"Rendering took longer than the limit time_limit of {seconds:g} s.") from error
        except (anyio.BrokenWorkerProcess, ProcessLookupError) as error:
            # The latter is what anyio lets through where a process dies while it starts.
            self._lost("crash")
            raise RenderCrashed from error
        except OSError as error:
            # No process can be started: no descriptors, no memory, too many processes.
            _logger.exception("a rendering process could not be started")
            raise Unavailable(retry_after=1) from error

    def _lost(self, reason: str) -> None:
        _logger.warning("a rendering process was lost (%s); another takes its place", reason)
        self._metrics.render_process_deaths.labels(reason).inc()

    async def _replace(self, place: object) -> None:
        """Start a process, then give the place free."""
        try:
            await self._touch_all(self._touch)
        finally:
            self._slots.release_on_behalf_of(place)

    async def keep_alive(self) -> None:
        """Touch the idle processes for ever, so that none is dropped for idleness and a dead one is replaced."""
        while True:
            await anyio.sleep(_KEEP_ALIVE_SECONDS)
            await self._touch_all()

    async def close(self) -> None:
        """Start no more processes; those there are end with the event loop."""
        replacements = list(self._replacements)
        for task in replacements:
            task.cancel()
        await asyncio.gather(*replacements, return_exceptions=True)
        self.started = False

    async def _touch_all(self, *own: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Use every idle process for nothing, at once, so that as many are started as are missing."""
        async with anyio.create_task_group() as group:
            for touch in (*own, *[self._touch_idle] * int(self._slots.available_tokens)):
                group.start_soon(touch)

    async def _touch_idle(self) -> None:
        async with self._slots:
            await self._touch()

    async def _touch(self) -> None:
        try:
            await self._call(start, self._discipline, seconds=_START_SECONDS)
        except ImgserveError:
            _logger.exception("a rendering process could not be replaced; the next picture tries again")
