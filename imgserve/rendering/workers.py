"""Render and inspect in the process pool, with admission control."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace

from imgserve.errors import ImgserveError, RenderCrashed, RenderTimeout, Unavailable
from imgserve.metrics import Metrics
from imgserve.model import Facts
from imgserve.pipeline.facts import Inspected, InspectJob
from imgserve.pipeline.jobs import Discipline, Kept, Rendered, RenderJob
from imgserve.rendering.pool import ProcessPool, RecyclePolicy, RenderingProcess
from imgserve.rendering.queue import Admission, Place
from imgserve.rendering.wire import Answer

OnTurn = Callable[[asyncio.Future[int]], None]
"""Called when the turn of a picture has come, with the bytes of its mezzanine once that is written: 0 for none."""


def _nothing(_kept: asyncio.Future[int]) -> None:
    """Do nothing when a picture's turn has come."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """One order and who waits for its answers."""

    job: RenderJob | InspectJob
    first: asyncio.Future[Rendered | Kept | Inspected]
    kept: asyncio.Future[int]

    def fail(self, error: BaseException) -> None:
        if not self.first.done():
            self.first.set_exception(error)
            self.first.exception()  # where nobody waits any more, nobody is to be told that nobody was
        if not self.kept.done():
            self.kept.set_result(0)


class Workers:
    """A fixed number of isolated, niced, memory-capped processes, replaced when they die or are worn."""

    def __init__(
        self,
        processes: int,
        admission: Admission,
        *,
        time_limit: float,
        discipline: Discipline,
        metrics: Metrics,
        wear: RecyclePolicy | None = None,
    ) -> None:
        """Take how many render at once, who decides whose turn it is, and seconds a picture may take."""
        self._admission = admission
        self._time_limit = time_limit
        self._metrics = metrics
        self._staff = ProcessPool(processes, discipline, metrics, wear or RecyclePolicy())
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self.started = False
        self._closed = False

    async def open(self) -> str:
        """Start every process before the first request; tell which pipeline and libvips they run.

        Raises:
            RenderCrashed, RenderTimeout, Unavailable: a process does not come up.
        """
        pipeline = await self._staff.open()
        self.started = True
        return pipeline

    async def render(
        self, job: RenderJob, *, megapixels: float = 0.0, on_turn: OnTurn = _nothing, background: bool = False
    ) -> Rendered:
        """Render one picture; a process that dies is replaced and the picture tried once more.

        `on_turn` is called when its turn has come, and may raise: others may have found out meanwhile that it cannot be
        rendered. Whoever gives up waiting after that, the picture is finished.

        Args:
            job: what to render, and what else to write.
            megapixels: what has to be decoded for it, as far as is known.
            on_turn: see above.
            background: nobody waits for it: let every picture of a client pass.

        Raises:
            Busy: as many wait as may.
            RenderTimeout, RenderCrashed: the process was killed, or died twice.
            Unavailable: no process can be started, or all are being ended.
            ImgserveError: whatever rendering or `on_turn` raises.
        """
        first = await self._order(job, megapixels=megapixels, low=background, on_turn=on_turn)
        if not isinstance(first, Rendered):
            raise RenderCrashed("A rendering process answered without a picture.")
        return first

    async def prepare(self, job: RenderJob, *, megapixels: float = 0.0, on_turn: OnTurn = _nothing) -> int:
        """Have a mezzanine written when nothing else waits; tell its bytes, 0 for none; raises as `render` does."""
        first = await self._order(replace(job, transform=None), megapixels=megapixels, low=True, on_turn=on_turn)
        return first.size if isinstance(first, Kept) else 0

    async def inspect(self, job: InspectJob, *, megapixels: float, background: bool) -> Facts:
        """Have the facts of an original read, its pixels decoded; raises as `render` does.

        Args:
            job: which original.
            megapixels: what has to be decoded for it, as far as is known.
            background: nobody waits for them: let every picture of a client pass.
        """
        try:
            first = await self._order(job, megapixels=megapixels, low=background, on_turn=_nothing)
            if not isinstance(first, Inspected):
                raise RenderCrashed("A rendering process answered without facts.")
        except ImgserveError as error:
            self._metrics.inspections.labels(error.code).inc()
            raise
        self._metrics.inspections.labels("ok").inc()
        self._metrics.inspection_seconds.observe(first.seconds)
        return first.facts

    async def _order(
        self, job: RenderJob | InspectJob, *, megapixels: float, low: bool, on_turn: OnTurn
    ) -> Rendered | Kept | Inspected:
        place = await self._enter(megapixels, low=low)
        loop = asyncio.get_running_loop()
        turn = _Turn(job, loop.create_future(), loop.create_future())

        def done(_: object) -> None:
            place.leave()
            turn.fail(Unavailable(retry_after=1))  # no matter where it was answered

        try:
            self._refuse_after_the_end()
            on_turn(turn.kept)
        except BaseException:
            place.leave()
            raise
        # A task that is cancelled before its first step takes none: so this is not left to it.
        self._begin(self._work(turn)).add_done_callback(done)
        return await asyncio.shield(turn.first)

    def _refuse_after_the_end(self) -> None:
        if self._closed:
            raise Unavailable(retry_after=1)

    async def _enter(self, megapixels: float, *, low: bool) -> Place:
        arrived = time.perf_counter()
        with self._metrics.render_queue.track_inprogress():
            place = await self._admission.enter(megapixels, low=low)
        self._metrics.render_wait_seconds.observe(time.perf_counter() - arrived)
        return place

    async def _work(self, turn: _Turn) -> None:
        """Take one order from its beginning until a process is free for the next one."""
        try:
            with self._metrics.rendering.track_inprogress():
                await self._carry_out(turn)
        except Exception as error:  # noqa: BLE001  it belongs to whoever ordered, who raises it
            turn.fail(error.with_traceback(None))
        # The place stays taken until a lost process is replaced: the next picture's time is for rendering only.
        await self._staff.refill()

    async def _carry_out(self, turn: _Turn) -> None:
        process, answer = await self._first_answer(turn.job)
        if not isinstance(answer, Rendered | Kept | Inspected):
            self._staff.lose(process, "crash")
            raise RenderCrashed
        turn.first.set_result(answer)
        if isinstance(answer, Rendered) and answer.keeping:
            answer = await self._within_time(process, process.next_answer())
        turn.kept.set_result(answer.size if isinstance(answer, Kept) else 0)
        self._staff.release(process)

    async def _first_answer(self, job: RenderJob | InspectJob) -> tuple[RenderingProcess, Answer]:
        try:
            return await self._try(job)
        except RenderCrashed:
            # Not from the same mezzanine: it may be what is broken.
            return await self._try(replace(job, mezzanine=None) if isinstance(job, RenderJob) else job)

    async def _try(self, job: RenderJob | InspectJob) -> tuple[RenderingProcess, Answer]:
        process = await self._staff.take()
        return process, await self._within_time(process, process.render(job))

    async def _within_time(self, process: RenderingProcess, answer: Coroutine[None, None, Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._time_limit):
                return await answer
        except TimeoutError as error:
            self._staff.lose(process, "timeout")
            raise RenderTimeout(
                f"Rendering took longer than the limit time_limit of {self._time_limit:g} s."
            ) from error
        except RenderCrashed:
            self._staff.lose(process, "crash")
            raise
        except ImgserveError:
            self._staff.release(process)
            raise
        except asyncio.CancelledError:
            self._staff.dismiss(process)  # all are being ended
            raise
        except BaseException:
            self._staff.lose(process, "crash")
            raise

    async def close(self) -> None:
        """End every process and start no more; whoever waits for a picture is told that it is unavailable."""
        self.started, self._closed = False, True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._staff.close()

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)
        return task
