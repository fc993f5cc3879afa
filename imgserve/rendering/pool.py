"""The pool of rendering processes: started, used, recycled and replaced."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass

import psutil
from anyio import to_thread

from imgserve.errors import ConfigError, ImgserveError, RenderCrashed, RenderTimeout, Unavailable
from imgserve.metrics import Metrics
from imgserve.rendering.files import leftovers, open_files, remove
from imgserve.rendering.logs import PrintedLines
from imgserve.rendering.wire import (
    LENGTHS_BYTES,
    Answer,
    Failed,
    InspectJob,
    ProcessLimits,
    Ready,
    RenderJob,
    read_answer,
    read_lengths,
    write_job,
)

_logger = logging.getLogger("imgserve.workers")
_COMMAND = """
from signal import SIG_IGN, SIGINT, SIGTERM, signal
signal(SIGINT, SIG_IGN), signal(SIGTERM, SIG_IGN)
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from imgserve.rendering.worker import main
main(int(sys.argv[2]))
"""
"""Signals to the whole process group, such as Ctrl+C, are ignored from the start: the server ends its processes."""
_ENVIRONMENT = ("HOME", "PATH", "TMPDIR", "TZ", "LANG")
_ENVIRONMENT_PREFIXES = ("LC_", "XDG_", "PYTHON", "LD_", "VIPS_", "FONTCONFIG_", "G_", "GLIBC_", "MALLOC_")
"""The rest of the environment may contain secrets."""
_BUFFER = 1 << 20
"""Most answers fit into one read."""


class RenderingProcess:
    """A child process that works on one job at a time."""

    def __init__(self, child: asyncio.subprocess.Process, channel: socket.socket) -> None:
        """Wrap a running child and the socket for its files; see `launch`."""
        if child.stdin is None or child.stdout is None or child.stderr is None:
            raise ValueError("a child without pipes")
        self._channel = channel
        self._printed = PrintedLines(child.stderr, child.pid).start()
        self._ending = False
        self._child, self._input, self._output = child, child.stdin, child.stdout
        self.pipeline = ""
        """Version of its pipeline and libvips."""
        self.sandbox = ""
        """What confines it."""
        self.jobs = 0
        """Jobs sent to it so far."""
        self._first_resident = 0

    @classmethod
    async def launch(cls, limits: ProcessLimits) -> "RenderingProcess":
        """Start a process and return it when it is ready.

        Raises:
            Unavailable: no process can be started: no descriptors, no memory, too many processes.
            RenderCrashed: it ended before it was ready.
            ConfigError: it cannot be confined as the limits require.
        """
        with contextlib.ExitStack() as stack:
            try:
                ours, theirs = map(stack.enter_context, socket.socketpair())
                child = await _start_child(theirs.fileno())
            except OSError as error:
                raise Unavailable(retry_after=1) from error
            theirs.close()
            stack.pop_all()
        process = cls(child, ours)
        try:
            await process._start(limits)
        except BaseException:
            await process.end()
            raise
        return process

    async def _start(self, limits: ProcessLimits) -> None:
        ready = await self._send(limits)
        if not isinstance(ready, Ready):
            raise RenderCrashed
        if limits.sandbox == "required" and not ready.confined:
            raise ConfigError([f"rendering.sandbox: required, but the sandbox is {ready.sandbox}"])
        self.pipeline, self.sandbox = ready.pipeline, ready.sandbox

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Return whether it is not known to have ended."""
        return self._child.returncode is None

    @property
    def growth(self) -> int:
        """Return the bytes of resident memory added since the first call."""
        try:
            resident = psutil.Process(self._child.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0
        self._first_resident = self._first_resident or resident
        return max(0, resident - self._first_resident)

    async def render(self, job: RenderJob | InspectJob) -> Answer:
        """Send a job and return its first answer.

        Raises:
            RenderCrashed: the process ended or sent an invalid answer.
            ImgserveError: the error that it sent, or that of opening the original.
        """
        self.jobs += 1
        with await to_thread.run_sync(open_files, job) as files:
            try:
                files.send(self._channel)
            except OSError as error:
                raise RenderCrashed from error
        answer = None
        try:
            answer = await self._send(job)
        finally:
            for path in leftovers(job, answer):
                await to_thread.run_sync(remove, path)
        return answer

    async def next_answer(self) -> Answer:
        """Return the next answer to the same job; raises as `render` does."""
        try:
            head, body = read_lengths(await self._output.readexactly(LENGTHS_BYTES))
            answer = read_answer(await self._output.readexactly(head), await self._output.readexactly(body))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise RenderCrashed from error
        except ValueError as error:
            self.kill()
            raise RenderCrashed("The rendering process sent an invalid answer.") from error
        if isinstance(answer, Failed):
            raise answer.error
        return answer

    def kill(self) -> None:
        """End it at once."""
        self._ending = True
        if self.alive:
            self._child.kill()

    async def ended(self) -> None:
        """Wait until it has ended, log how unless it was killed, and close its input."""
        status = await self._child.wait()
        if not self._ending:
            _logger.warning("a rendering process ended by itself: %s", _cause(status), extra={"pid": self.pid})
        self._input.close()
        self._channel.close()

    async def end(self) -> None:
        """Kill it and close its pipes; nobody may wait for its answer."""
        self.kill()
        self._input.close()
        self._channel.close()
        # Reading to the end closes the pipe; otherwise `wait` would not return.
        while await self._output.read(_BUFFER):
            pass
        await self._child.wait()
        await self._printed

    async def _send(self, message: ProcessLimits | RenderJob | InspectJob) -> Answer:
        try:
            self._input.write(write_job(message))
            await self._input.drain()
        except (ConnectionError, RuntimeError) as error:
            raise RenderCrashed from error
        return await self.next_answer()


def _cause(status: int) -> str:
    return signal.Signals(-status).name if -status in {*signal.Signals} else f"status {status}"


async def _start_child(channel: int) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    # -P: modules in the current folder are not imported.
    command = (sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path), str(channel))
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_BUFFER, pass_fds=(channel,), env=environment
    )


_START_SECONDS = 30.0
_MEMORY_CHECK_EVERY = 16
"""Jobs between two looks at the memory of a process."""
_REPLACE_PAUSE = 0.1
"""Between the death of an idle process and its successor, which bounds the cost of one that always dies."""


@dataclass(frozen=True, slots=True)
class RecyclePolicy:
    """When a process is replaced by a new one."""

    pictures: int = 10_000
    """0: never by their number."""
    growth: int = 256 * 10**6
    """Bytes of resident memory added since its first picture; 0: never by its memory."""


class ProcessPool:
    """A fixed number of processes, each idle or in use."""

    def __init__(self, size: int, limits: ProcessLimits, metrics: Metrics, recycle: RecyclePolicy) -> None:
        self._size = size
        self._limits = limits
        self._metrics = metrics
        self._recycle = recycle
        self._idle: list[RenderingProcess] = []
        self._members: set[RenderingProcess] = set()
        self._running: set[RenderingProcess] = set()
        """The members, and killed processes that have not ended yet."""
        self._starting = 0
        self._worn: set[RenderingProcess] = set()
        """Members whose successor is being started."""
        self._leaving: set[RenderingProcess] = set()
        """Members whose successor is ready; they are ended when released."""
        self._changed = asyncio.Event()
        """Set when a process became idle or was lost, so that `acquire` looks again."""
        # The event loop holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Start every process and return the version of their pipeline.

        Raises RenderCrashed, RenderTimeout or Unavailable if one does not start.
        """
        await asyncio.gather(*(self._launch() for _ in range(self._size)))
        _logger.info("sandbox of the rendering processes: %s", self._idle[0].sandbox)
        return self._idle[0].pipeline

    async def close(self) -> None:
        """End every process and start no more; none may be in use."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.end() for process in self._running))
        for processes in (self._members, self._running, self._worn, self._leaving, self._idle):
            processes.clear()

    async def acquire(self) -> RenderingProcess:
        """Return an idle process, or a new one if one is missing; raise Unavailable if none can be started."""
        while True:
            process = next((process for process in reversed(self._idle) if process.alive), None)
            if process is not None:
                self._idle.remove(process)
                return process
            if len(self._members) + self._starting < self._size:
                try:
                    await self._launch()
                except (RenderCrashed, RenderTimeout) as error:
                    # Not caused by the picture, so not remembered for it.
                    raise Unavailable(retry_after=1) from error
            else:  # one is being started, or the end of one is being noticed
                self._changed.clear()
                await self._changed.wait()

    def release(self, process: RenderingProcess) -> None:
        """Return a process to the pool."""
        if process in self._leaving:
            self.dismiss(process)
            return
        if not process.alive:  # it ended after its last answer, when `_watch` did not find it idle
            self.mark_dead(process, "crash")
            return
        self._idle.append(process)
        self._changed.set()
        policy, done = self._recycle, process.jobs
        old = policy.pictures and done >= policy.pictures
        if not old and policy.growth and done % _MEMORY_CHECK_EVERY == 1:
            old = process.growth > policy.growth
        if old and process not in self._worn:
            self._worn.add(process)
            self._begin(self._replace(process))

    async def _replace(self, worn: RenderingProcess) -> None:
        """Start a successor before the worn process is ended, so that no picture waits for it."""
        try:
            await self._launch()
        except ImgserveError:
            _logger.exception("a worn rendering process could not be replaced and stays")
            return
        finally:
            self._worn.discard(worn)
        self._metrics.render_processes_recycled.inc()
        if worn in self._idle:
            self._idle.remove(worn)
            self.dismiss(worn)
        elif worn in self._members:
            self._leaving.add(worn)

    async def refill(self) -> None:
        """Start missing processes."""
        while len(self._members) + self._starting < self._size:
            try:
                await self._launch()
            except ImgserveError:
                _logger.exception("a rendering process could not be replaced; the next picture tries again")
                return

    async def _launch(self) -> None:
        self._starting += 1
        try:
            async with asyncio.timeout(_START_SECONDS):
                process = await RenderingProcess.launch(self._limits)
        except TimeoutError as error:
            self._metrics.render_process_deaths.labels("timeout").inc()
            raise RenderTimeout("A rendering process did not start in time.") from error
        except RenderCrashed:
            self._metrics.render_process_deaths.labels("crash").inc()
            raise
        finally:
            self._starting -= 1
            self._changed.set()
        self._members.add(process)
        self._running.add(process)
        self._idle.append(process)
        self._begin(self._watch(process))

    async def _watch(self, process: RenderingProcess) -> None:
        """Wait for the end of a process, and replace it if it was idle."""
        await process.ended()
        self._running.discard(process)
        if process in self._idle:
            self._idle.remove(process)
            self.mark_dead(process, "crash")
            await asyncio.sleep(_REPLACE_PAUSE)
            await self.refill()

    def mark_dead(self, process: RenderingProcess, reason: str) -> None:
        """Count a process as lost, and kill it if it still runs."""
        _logger.warning("a rendering process was lost (%s) and is replaced", reason, extra={"pid": process.pid})
        self._metrics.render_process_deaths.labels(reason).inc()
        self.dismiss(process)

    def dismiss(self, process: RenderingProcess) -> None:
        """End a process that is no longer needed."""
        process.kill()
        self._members.discard(process)
        self._leaving.discard(process)
        self._changed.set()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)
