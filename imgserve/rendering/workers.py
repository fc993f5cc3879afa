"""Render and inspect in the process pool, behind a queue."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace

from imgserve.errors import ImgserveError, RenderCrashed, RenderTimeout, TooLarge, Unavailable
from imgserve.metrics import Metrics
from imgserve.model import Facts, size_in
from imgserve.rendering.admission import BRIEF_MEGAPIXELS, Admission
from imgserve.rendering.logs import JobLog, trace_job
from imgserve.rendering.pool import ProcessPool, RecyclePolicy, RenderingProcess
from imgserve.rendering.wire import Answer, Inspected, InspectJob, ProcessLimits, Rendered, RenderJob, Stored
from imgserve.tracing import current_trace

_BYTES_PER_PIXEL = 0.25
"""Where a header does not contain the size: photographs have a quarter of a byte per pixel or more."""


OnTurn = Callable[[asyncio.Future[int]], None]
"""Called when a job has its slot, with the future bytes of its mezzanine: 0 for none."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A job and the futures of its answers."""

    job: RenderJob | InspectJob
    first: asyncio.Future[Rendered | Stored | Inspected]
    stored: asyncio.Future[int]

    def fail(self, error: BaseException) -> None:
        if not self.first.done():
            self.first.set_exception(error)
            self.first.exception()  # no warning when nobody waits any more
        if not self.stored.done():
            self.stored.set_result(0)


class Workers:
    """A fixed number of isolated, niced, memory-capped processes with a queue in front."""

    def __init__(
        self,
        processes: int,
        admission: Admission,
        *,
        time_limit: float,
        process_limits: ProcessLimits,
        metrics: Metrics,
        recycle: RecyclePolicy | None = None,
        log: JobLog | None = None,
    ) -> None:
        """Create the processes' queue."""
        self._admission = admission
        self._log = log or JobLog()
        self._time_limit = time_limit
        self._faces = process_limits.faces
        self._metrics = metrics
        self._pool = ProcessPool(processes, process_limits, metrics, recycle or RecyclePolicy())
        # The event loop holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self.started = False
        self._closed = False

    async def open(self) -> str:
        """Start every process and return the version of their pipeline; raises as `ProcessPool.open` does."""
        pipeline = await self._pool.open()
        self.started = True
        self._metrics.set_build_info(pipeline)
        self._metrics.render_slots.set(self._admission.slots)
        self._metrics.render_queue_limit.set(self._admission.max_waiting)
        return pipeline

    async def render(
        self, job: RenderJob, *, megapixels: float = 0.0, on_turn: OnTurn | None = None, background: bool = False
    ) -> Rendered:
        """Return a rendered picture; if its process dies, it is rendered once more in another.

        Args:
            job: what to render.
            megapixels: what has to be decoded for it, as far as known.
            on_turn: called when the job has its slot, and may raise to give it up. After that the picture is finished
                even if the caller is cancelled.
            background: let every client's picture pass.

        Raises:
            Busy: the queue is full.
            RenderTimeout, RenderCrashed: the process was killed, or died twice.
            Unavailable: no process can be started, or the workers are closed.
            ImgserveError: the error of rendering or of `on_turn`.
        """
        first = await self._run(job, megapixels=megapixels, background=background, on_turn=on_turn)
        if not isinstance(first, Rendered):
            raise RenderCrashed("A rendering process answered without a picture.")
        return first

    async def prepare(self, job: RenderJob, *, megapixels: float = 0.0, on_turn: OnTurn | None = None) -> int:
        """Write a mezzanine in the background and return its bytes, 0 for none; raises as `render` does."""
        first = await self._run(replace(job, transform=None), megapixels=megapixels, background=True, on_turn=on_turn)
        return first.size if isinstance(first, Stored) else 0

    async def inspect(
        self, job: InspectJob, *, megapixels: float, background: bool, on_turn: OnTurn | None = None
    ) -> Facts:
        """Return the facts of an original, its pixels decoded; arguments and errors are those of `render`.

        Raises TooLarge for an original of more bytes than are read as a whole.
        """
        size, limits = size_in(job.version), job.limits
        if size > limits.original_bytes:
            raise TooLarge(f"The original has over {limits.original_bytes} bytes, the limit original_bytes.")
        megapixels = megapixels or size / _BYTES_PER_PIXEL / 1e6
        if megapixels * 1e6 > limits.original_pixels:
            megapixels = 0.0  # it is refused on its header, which needs no time
        try:
            first = await self._run(job, megapixels=megapixels, background=background, on_turn=on_turn)
            if not isinstance(first, Inspected):
                raise RenderCrashed("A rendering process answered without facts.")
        except ImgserveError as error:
            self._metrics.inspections.labels(error.code).inc()
            raise
        self._metrics.inspections.labels("ok").inc()
        self._metrics.inspection_seconds.observe(first.seconds)
        return first.facts

    async def _run(
        self, job: RenderJob | InspectJob, *, megapixels: float, background: bool, on_turn: OnTurn | None
    ) -> Rendered | Stored | Inspected:
        arrived = time.perf_counter()
        with self._metrics.render_queue.track_inprogress():
            slot = await self._admission.enter(megapixels, background=background, brief=self._is_brief(job, megapixels))
        self._metrics.render_wait_seconds.observe(time.perf_counter() - arrived)
        if (trace := current_trace.get()) is not None:
            trace.add("queue", arrived, attributes={"background": background})
        loop = asyncio.get_running_loop()
        task = _Task(job, loop.create_future(), loop.create_future())

        def done(_: object) -> None:
            slot.leave()
            if not (task.first.done() and task.stored.done()):
                task.fail(Unavailable(retry_after=1))

        try:
            if self._closed:
                raise Unavailable(retry_after=1)  # noqa: TRY301  the slot is left in one place
            if on_turn is not None:
                on_turn(task.stored)
        except BaseException:
            slot.leave()
            raise
        self._tasks.add(work := asyncio.create_task(self._work(task)))
        work.add_done_callback(self._tasks.discard)
        # In a callback, since a task that is cancelled before its first step runs no code of its own.
        work.add_done_callback(done)
        return await asyncio.shield(task.first)

    def _is_brief(self, job: RenderJob | InspectJob, megapixels: float) -> bool:
        """Return whether a job only decodes an original of few pixels; an animation has more of them in more bytes."""
        decodes = not self._faces if isinstance(job, InspectJob) else job.transform is None
        return decodes and max(megapixels, size_in(job.version) / _BYTES_PER_PIXEL / 1e6) <= BRIEF_MEGAPIXELS

    async def _work(self, task: _Task) -> None:
        """Work on one job until a process is free for the next one."""
        try:
            with self._metrics.rendering.track_inprogress():
                await self._process(task)
        except Exception as error:  # noqa: BLE001  raised again by the caller that awaits the future
            task.fail(error.with_traceback(None))
        # The slot is held until a lost process is replaced: the time limit of the next picture is for rendering only.
        await self._pool.refill()

    async def _process(self, task: _Task) -> None:
        try:
            process, answer = await self._try(task.job)
        except RenderCrashed:
            # Not from the same mezzanine, which may be the cause.
            job = replace(task.job, mezzanine=None) if isinstance(task.job, RenderJob) else task.job
            process, answer = await self._try(job)
        if not isinstance(answer, Rendered | Stored | Inspected):
            self._pool.mark_dead(process, "crash")
            raise RenderCrashed
        task.first.set_result(answer)
        if isinstance(answer, Rendered | Inspected) and answer.storing:
            answer = await self._within_time(process, process.next_answer())
        task.stored.set_result(answer.size if isinstance(answer, Stored) else 0)
        self._pool.release(process)

    async def _try(self, job: RenderJob | InspectJob) -> tuple[RenderingProcess, Answer]:
        process = await self._pool.acquire()
        started = time.perf_counter()
        try:
            answer = await self._within_time(process, process.render(job))
        except ImgserveError as error:
            self._log.failed(job, process.pid, time.perf_counter() - started, error)
            trace_job(job, process.pid, started, error)
            raise
        self._log.finished(job, process.pid, time.perf_counter() - started)
        trace_job(job, process.pid, started, answer)
        return process, answer

    async def _within_time(self, process: RenderingProcess, answer: Coroutine[None, None, Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._time_limit):
                return await answer
        except TimeoutError as error:
            self._pool.mark_dead(process, "timeout")
            raise RenderTimeout(
                f"Rendering took longer than the limit time_limit of {self._time_limit:g} s."
            ) from error
        except asyncio.CancelledError:
            self._pool.dismiss(process)  # the workers are being closed
            raise
        except BaseException as error:
            if isinstance(error, ImgserveError) and not isinstance(error, RenderCrashed):
                self._pool.release(process)
            else:
                self._pool.mark_dead(process, "crash")
            raise

    async def close(self) -> None:
        """End every process and start no more; waiting callers get Unavailable."""
        self.started, self._closed = False, True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pool.close()
