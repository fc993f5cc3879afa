"""Render and inspect in the process pool, behind a queue: N slots render, M requests wait, others are refused."""

import asyncio
import itertools
import math
import time
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace

from imgserve.errors import Busy, ImgserveError, RenderCrashed, RenderTimeout, TooLarge, Unavailable
from imgserve.metrics import Metrics
from imgserve.model import Facts, size_in
from imgserve.rendering.logs import JobLog, trace_job
from imgserve.rendering.pool import ProcessPool, RecyclePolicy, RenderingProcess
from imgserve.rendering.wire import Answer, Inspected, InspectJob, ProcessLimits, Rendered, RenderJob, Stored
from imgserve.tracing import current_trace

GIANT_MEGAPIXELS = 25.0
"""Above what today's cameras deliver: 22 megapixels of JPEG decode in 0.1 s, 50 of PNG in over a second."""
_GIANT_PIXELS = GIANT_MEGAPIXELS * 1e6
BRIEF_MEGAPIXELS = 4.0
"""A client waits 0.1 s at most for the inspection or mezzanine of such an original, but a second for an AVIF of it."""
IDLE_SECONDS = 1.0
"""Without a client's picture, after which the next one is not expected at once."""
ALLOWANCE = 0.05
"""Seconds for each megapixel in which smaller pictures may overtake one: 0.1 s for 2 megapixels, 2.5 s for 50."""
_SECONDS_PER_PICTURE, _SECONDS_PER_MEGAPIXEL = 0.02, 0.01
"""A first estimate of rendering time, between JPEG and PNG, which is corrected by measurements."""
_DECAY = 0.95
"""Weight of earlier measurements after each picture: the last twenty count most."""
_BYTES_PER_PIXEL = 0.25
"""Where a header does not contain the size: photographs have a quarter of a byte per pixel or more."""
_MAX_RETRY = 60
"""A longer estimate would not be reliable."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiter:
    deadline: float
    number: int
    """By arrival: equal deadlines are served first in, first out, and no two waiters are equal."""
    pixels: int = field(compare=False)
    """An integer, so that sums return to exactly zero."""
    background: bool = field(compare=False)
    brief: bool = field(compare=False)
    admitted: asyncio.Future["Slot"] = field(compare=False)

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        return self.background, self.brief, self.pixels > _GIANT_PIXELS


class Slot:
    """The right to render one picture, until `leave`."""

    def __init__(self, admission: "Admission", pixels: int, *, background: bool, entered: float) -> None:
        """Create a slot in use; called by `Admission.enter` only."""
        self._admission = admission
        self.pixels = pixels
        self.giant = pixels > _GIANT_PIXELS
        self.background = background
        self.entered = entered

    def leave(self) -> None:
        """Release the slot to the next waiter; further calls have no effect."""
        self._admission._leave(self)  # noqa: SLF001  the other half of one mechanism


class Admission:
    """The queue: N slots render, M pictures wait, small pictures ahead of large ones, none for ever.

    1. All steps between two awaits run alone, since there is one event loop and no threads.
    2. Between steps no waiter that may enter is left waiting: every change that could allow it (a slot left, a waiter
       gone) admits all that may enter. So an arriving picture that may enter overtakes none.
    3. Every waiter is admitted in the end: a picture that arrives after another's allowance has the later deadline. It
       overtakes a giant only while giants hold all the slots that giants may hold, and these are left in the end.
    4. Admission takes the slot at once. A waiter cancelled between that and its next step leaves it again.
    5. Of two or more slots, one is closed to giants and one to background work: a small picture never finds all slots
       held by either, at the cost of one slot for a series of giants. While no client renders, brief background work
       uses all slots, since it ends soon.
    """

    def __init__(
        self, slots: int, *, waiting: int, waiting_megapixels: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a queue with so many slots, in which so many pictures and megapixels may wait."""
        self.slots = slots
        self._share = max(1, slots - 1)
        """Slots that giants may hold, or background work."""
        self.max_waiting = waiting
        self._max_pixels = round(waiting_megapixels * 1e6)
        self._clock = clock
        self._numbers = itertools.count()
        self._inside: set[Slot] = set()
        # One line for each kind, by background, brief and giant: the first of each kind is found at once.
        self._lines = defaultdict[tuple[bool, bool, bool], list[_Waiter]](list)
        self._pixels = {False: 0, True: 0}
        """Waiting pixels, by background."""
        self._estimated, self._measured = 1.0, 1.0
        """Seconds of the last pictures in their slots."""
        self._client_at = -math.inf
        """When the last client's picture arrived or left."""

    @property
    def free(self) -> int:
        """Return the number of free slots."""
        return self.slots - len(self._inside)

    @property
    def waiting(self) -> int:
        """Return the number of clients' pictures that wait."""
        return self._count(background=False)

    async def enter(self, megapixels: float, *, background: bool = False, brief: bool = False) -> Slot:
        """Wait for a slot and return it, or raise Busy at once.

        A background job lets all clients pass. If it is brief, it may use the last slot while no client renders.
        """
        pixels = round(megapixels * 1e6)
        if background:
            self._admit_waiting()  # time alone may allow brief work
        else:
            self._client_at = self._clock()
        if self._may_enter(pixels, background=background, brief=brief):
            return self._admit(pixels, background=background)
        count = self._count(background=background)
        # Alone, a picture of any size may wait: otherwise one larger than the bound could never be rendered.
        if count >= self.max_waiting or (count and self._pixels[background] + pixels > self._max_pixels):
            raise Busy(retry_after=self._retry_after())
        deadline = self._clock() + ALLOWANCE * megapixels
        admitted: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(deadline, next(self._numbers), pixels, background, brief, admitted)
        insort(self._lines[waiter.kind], waiter)
        self._pixels[background] += pixels
        try:
            return await waiter.admitted
        except BaseException:
            if waiter.admitted.done() and not waiter.admitted.cancelled():
                waiter.admitted.result().leave()
            else:
                waiter.admitted.cancel()
                self._forget(waiter)
                self._admit_waiting()
            raise

    def _leave(self, slot: Slot) -> None:
        if slot not in self._inside:
            return
        self._inside.remove(slot)
        if not slot.background:
            self._client_at = self._clock()
        self._estimated = _DECAY * self._estimated + _estimate(1, slot.pixels)
        self._measured = _DECAY * self._measured + max(0.0, self._clock() - slot.entered)
        self._admit_waiting()

    def _admit_waiting(self) -> None:
        while ready := [
            line[0] for (background, *_), line in self._lines.items()
            if line and self._may_enter(line[0].pixels, background=background, brief=line[0].brief)
        ]:  # fmt: skip
            waiter = min(ready)
            self._forget(waiter)
            if not waiter.admitted.done():
                waiter.admitted.set_result(self._admit(waiter.pixels, background=waiter.background))

    def _may_enter(self, pixels: int, *, background: bool, brief: bool) -> bool:
        if not self.free or (pixels > _GIANT_PIXELS and sum(slot.giant for slot in self._inside) >= self._share):
            return False
        if not background:
            return True
        unused = brief and self._clock() - self._client_at >= IDLE_SECONDS
        share = self.slots if unused else self._share
        return not self.waiting and sum(slot.background for slot in self._inside) < share

    def _admit(self, pixels: int, *, background: bool) -> Slot:
        slot = Slot(self, pixels, background=background, entered=self._clock())
        self._inside.add(slot)
        return slot

    def _forget(self, waiter: _Waiter) -> None:
        """Remove a waiter from its line, if it is still there."""
        line = self._lines[waiter.kind]
        at = bisect_left(line, waiter)
        if at < len(line) and line[at] is waiter:
            del line[at]
            self._pixels[waiter.background] -= waiter.pixels

    def _retry_after(self) -> int:
        """Return the seconds until all waiting and current pictures are estimated to be done."""
        count = self.waiting + len(self._inside)
        pixels = self._pixels[False] + sum(slot.pixels for slot in self._inside)
        pace = self._measured / self._estimated
        return min(_MAX_RETRY, max(1, math.ceil(pace * _estimate(count, pixels) / self.slots)))

    def _count(self, *, background: bool) -> int:
        return sum(len(line) for kind, line in self._lines.items() if kind[0] is background)


def _estimate(pictures: int, pixels: int) -> float:
    return pictures * _SECONDS_PER_PICTURE + pixels / 1e6 * _SECONDS_PER_MEGAPIXEL


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
