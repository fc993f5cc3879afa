"""The pool of rendering processes: started, used, recycled and replaced."""

import asyncio
import json
import logging
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TypeVar

import psutil

from imgserve.errors import ImgserveError, RenderCrashed, RenderTimeout, Unavailable
from imgserve.metrics import Metrics
from imgserve.pipeline.facts import InspectJob
from imgserve.pipeline.jobs import Discipline, RenderJob
from imgserve.rendering.wire import LENGTHS_BYTES, Answer, Failed, Ready, lengths_of, read_answer
from imgserve.rendering.worker import write_order

T = TypeVar("T")
_COMMAND = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from imgserve.rendering.worker import main; main()"
_BUFFER = 1 << 20
"""Most answers come whole."""


class RenderingProcess:
    """A child that renders one picture at a time, until it is let go or dies."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        """Take a running child; see `launch`."""
        self._child = child
        self.pipeline = ""
        """Which pipeline and libvips it runs."""
        self.pictures = 0
        """Orders given to it so far."""
        self._resident_at_first = 0

    @classmethod
    async def launch(cls, discipline: Discipline) -> "RenderingProcess":
        """Start a process and wait until it is ready.

        Raises:
            Unavailable: no process can be started: no descriptors, no memory, too many processes.
            RenderCrashed: it did not come up.
        """
        pipe = asyncio.subprocess.PIPE
        # -P: what lies in the current folder is not code.
        command = (sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path))
        try:
            child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=_BUFFER)
        except OSError as error:
            raise Unavailable(retry_after=1) from error
        process = cls(child)
        try:
            ready = await process._ask(discipline)
        except BaseException:
            await process.let_go()
            raise
        process.pipeline = ready.pipeline if isinstance(ready, Ready) else ""
        return process

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._child.returncode is None

    @property
    def grown(self) -> int:
        """Bytes of resident memory more than after its first picture."""
        try:
            resident = psutil.Process(self._child.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0
        self._resident_at_first = self._resident_at_first or resident
        return max(0, resident - self._resident_at_first)

    async def render(self, job: RenderJob | InspectJob) -> Answer:
        """Order a picture, or what one is, and wait for the first answer.

        Raises:
            RenderCrashed: the process died, or lost its mind.
            ImgserveError: what it answers.
        """
        self.pictures += 1
        return await self._ask(job)

    async def next_answer(self) -> Answer:
        """Wait for another answer to the same order; raises as `render` does."""
        try:
            head, body = lengths_of(await self._output.readexactly(LENGTHS_BYTES))
            answer = read_answer(await self._output.readexactly(head), await self._output.readexactly(body))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise RenderCrashed from error
        except ValueError as error:
            self.kill()
            raise RenderCrashed("The rendering process answered nonsense.") from error
        if isinstance(answer, Failed):
            raise answer.error
        return answer

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self.alive:
            self._child.kill()

    async def ended(self) -> None:
        """Wait until it is gone, and hang up."""
        await self._child.wait()
        self._input.close()

    async def let_go(self) -> None:
        """Kill it, and close what connects us; to be called where nobody waits for its answer."""
        self.kill()
        self._input.close()
        # To the end, which closes it; else the pipe would be left to the garbage collector, and the wait would not end.
        while await self._output.read(_BUFFER):
            pass
        await self._child.wait()

    async def _ask(self, order: Discipline | RenderJob | InspectJob) -> Answer:
        try:
            self._input.write(write_order(order))
            await self._input.drain()
        except (ConnectionError, RuntimeError) as error:
            raise RenderCrashed from error
        return await self.next_answer()

    @property
    def _input(self) -> asyncio.StreamWriter:
        if self._child.stdin is None:
            raise LookupError("stdin")
        return self._child.stdin

    @property
    def _output(self) -> asyncio.StreamReader:
        if self._child.stdout is None:
            raise LookupError("stdout")
        return self._child.stdout


_logger = logging.getLogger("imgserve.workers")
_START_SECONDS = 30.0
_LOOK_AT_MEMORY_EVERY = 16
_REPLACE_PAUSE = 0.1
"""Between the death of an idle process and its successor, so that one that always dies costs little."""
_TAKE_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class RecyclePolicy:
    """When a process has worked enough and another takes its place."""

    pictures: int = 10_000
    """0: never for their number."""
    growth: int = 256 * 10**6
    """Bytes of resident memory beyond those after its first picture; 0: never for its memory."""


class ProcessPool:
    """A fixed number of processes, each idle or taken."""

    def __init__(self, processes: int, discipline: Discipline, metrics: Metrics, wear: RecyclePolicy) -> None:
        """Take how many there are to be, and what each may do before it is replaced."""
        self._processes = processes
        self._discipline = discipline
        self._metrics = metrics
        self._wear = wear
        self._idle: list[RenderingProcess] = []
        self._everyone: set[RenderingProcess] = set()
        self._present: set[RenderingProcess] = set()
        """Those and the killed ones that have not ended yet."""
        self._coming = 0
        self._worn: set[RenderingProcess] = set()
        """Whose successor is coming."""
        self._leaving: set[RenderingProcess] = set()
        """Whose successor is there; they go when they are free."""
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Start every process; tell which pipeline and libvips they run.

        Raises:
            RenderCrashed, RenderTimeout, Unavailable: a process does not come up.
        """
        await asyncio.gather(*(self._launch() for _ in range(self._processes)))
        return self._idle[0].pipeline

    async def close(self) -> None:
        """End every process and start no more; to be called when none is taken any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.let_go() for process in self._present))
        for processes in (self._everyone, self._present, self._worn, self._leaving):
            processes.clear()
        self._idle.clear()

    async def take(self) -> RenderingProcess:
        """Take an idle process, or a new one where one is missing.

        Raises:
            Unavailable: none can be started.
        """
        while True:
            process = next((process for process in reversed(self._idle) if process.alive), None)
            if process is not None:
                self._idle.remove(process)
                return process
            if self._number < self._processes:
                try:
                    await self._launch()
                except (RenderCrashed, RenderTimeout) as error:
                    # Not the picture's doing, so it is not to be remembered for it.
                    raise Unavailable(retry_after=1) from error
            else:  # one is just coming, or its end is just being noticed
                await asyncio.sleep(_TAKE_PAUSE)

    def release(self, process: RenderingProcess) -> None:
        """Give a process back."""
        if process in self._leaving:
            self.dismiss(process)
            return
        if not process.alive:  # it died after its last word, and whoever watches it did not find it idle
            self.lose(process, "crash")
            return
        self._idle.append(process)
        if process not in self._worn and self._is_worn(process):
            self._worn.add(process)
            self._begin(self._succeed(process))

    def _is_worn(self, process: RenderingProcess) -> bool:
        wear, done = self._wear, process.pictures
        if wear.pictures and done >= wear.pictures:
            return True
        return bool(wear.growth) and done % _LOOK_AT_MEMORY_EVERY == 1 and process.grown > wear.growth

    async def _succeed(self, worn: RenderingProcess) -> None:
        """Start a successor first, so that no picture waits for it; the worn one goes as soon as it is free."""
        try:
            await self._launch()
        except ImgserveError:
            _logger.exception("a worn rendering process could not be replaced and goes on")
            return
        finally:
            self._worn.discard(worn)
        self._metrics.render_processes_recycled.inc()
        if worn in self._idle:
            self._idle.remove(worn)
            self.dismiss(worn)
        elif worn in self._everyone:
            self._leaving.add(worn)

    async def refill(self) -> None:
        """Start as many processes as are missing."""
        while self._number < self._processes:
            try:
                await self._launch()
            except ImgserveError:
                _logger.exception("a rendering process could not be replaced; the next picture tries again")
                return

    async def _launch(self) -> None:
        self._coming += 1
        try:
            async with asyncio.timeout(_START_SECONDS):
                process = await RenderingProcess.launch(self._discipline)
        except TimeoutError as error:
            self._metrics.render_process_deaths.labels("timeout").inc()
            raise RenderTimeout("A rendering process did not start in time.") from error
        except RenderCrashed:
            self._metrics.render_process_deaths.labels("crash").inc()
            raise
        finally:
            self._coming -= 1
        self._everyone.add(process)
        self._present.add(process)
        self._idle.append(process)
        self._begin(self._watch(process))

    async def _watch(self, process: RenderingProcess) -> None:
        """Wait for the end of a process; one that dies while it is idle is replaced."""
        await process.ended()
        self._present.discard(process)
        if process in self._idle:
            self._idle.remove(process)
            self.lose(process, "crash")
            await asyncio.sleep(_REPLACE_PAUSE)
            await self.refill()

    def lose(self, process: RenderingProcess, reason: str) -> None:
        """Count a process as lost, and end it if it has not ended."""
        _logger.warning("a rendering process was lost (%s); another takes its place", reason)
        self._metrics.render_process_deaths.labels(reason).inc()
        self.dismiss(process)

    def dismiss(self, process: RenderingProcess) -> None:
        """End a process that is not needed any more."""
        process.kill()
        self._everyone.discard(process)
        self._leaving.discard(process)

    @property
    def _number(self) -> int:
        return len(self._everyone) + self._coming

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)
