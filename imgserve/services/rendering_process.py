"""One rendering process seen from the server: started, asked, killed. Knows no queue and no pictures."""

import asyncio
import json
import sys
from typing import TypeVar

import psutil

from imgserve.errors import RenderCrashed, Unavailable
from imgserve.pipeline.answers import LENGTHS_BYTES, Answer, Failed, Ready, lengths_of, read_answer
from imgserve.pipeline.conversation import write_order
from imgserve.pipeline.facts import InspectJob
from imgserve.pipeline.process import Discipline, RenderJob

T = TypeVar("T")

_COMMAND = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from imgserve.pipeline.conversation import main; main()"
)
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
