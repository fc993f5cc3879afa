"""A rendering process as the server sees it: started, given jobs, ended."""

import asyncio
import json
import sys

import psutil

from imgserve.errors import RenderCrashed, Unavailable
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

_COMMAND = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from imgserve.rendering.worker import main; main()"
_BUFFER = 1 << 20
"""Most answers fit into one read."""


class RenderingProcess:
    """A child process that works on one job at a time."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        """Wrap a running child; see `launch`."""
        self._child = child
        self.pipeline = ""
        """Version of its pipeline and libvips."""
        self.jobs = 0
        """Jobs sent to it so far."""
        self._first_resident = 0

    @classmethod
    async def launch(cls, limits: ProcessLimits) -> "RenderingProcess":
        """Start a process and return it when it is ready.

        Raises:
            Unavailable: no process can be started: no descriptors, no memory, too many processes.
            RenderCrashed: it ended before it was ready.
        """
        pipe = asyncio.subprocess.PIPE
        # -P: modules in the current folder are not imported.
        command = (sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path))
        try:
            child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=_BUFFER)
        except OSError as error:
            raise Unavailable(retry_after=1) from error
        process = cls(child)
        try:
            ready = await process._send(limits)
        except BaseException:
            await process.end()
            raise
        process.pipeline = ready.pipeline if isinstance(ready, Ready) else ""
        return process

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
            ImgserveError: the error that it sent.
        """
        self.jobs += 1
        return await self._send(job)

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
        if self.alive:
            self._child.kill()

    async def ended(self) -> None:
        """Wait until it has ended, and close its input."""
        await self._child.wait()
        self._input.close()

    async def end(self) -> None:
        """Kill it and close its pipes; nobody may wait for its answer."""
        self.kill()
        self._input.close()
        # Reading to the end closes the pipe; otherwise `wait` would not return.
        while await self._output.read(_BUFFER):
            pass
        await self._child.wait()

    async def _send(self, message: ProcessLimits | RenderJob | InspectJob) -> Answer:
        try:
            self._input.write(write_job(message))
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
