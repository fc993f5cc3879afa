"""What is logged of rendering: slow and failed jobs, and what the rendering processes print."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime

from imgserve.errors import ImgserveError, OriginalChanged, RenderCrashed, RenderTimeout
from imgserve.records import SLOW, RenderProblem
from imgserve.rendering.lines import LONGEST, read_line
from imgserve.rendering.wire import Answer, InspectJob, Rendered, RenderJob
from imgserve.tracing import Attribute, current_trace
from imgserve.transform import canonical_steps

_logger = logging.getLogger("imgserve.render")
_CLIENT_ERROR = 400
"""The status of errors of the URL, which are not failures of rendering."""


@dataclass(frozen=True, slots=True)
class JobLog:
    """Logs and reports slow and failed jobs with all that is needed to repeat them."""

    slow: float = 0.0
    """Seconds from which a job counts as slow; 0 for never."""
    report: Callable[[RenderProblem], None] | None = None
    """Receives what concerns a rendition."""

    def finished(self, job: RenderJob | InspectJob, pid: int, seconds: float) -> None:
        """Log a job if it was slow."""
        if self.slow and seconds >= self.slow:
            _logger.warning("slow %s", _kind(job), extra=_details(job, pid, seconds))
            self._report(job, seconds, SLOW)

    def failed(self, job: RenderJob | InspectJob, pid: int, seconds: float, error: ImgserveError) -> None:
        """Log a job that failed; at level debug if the URL is wrong, or the caller reports the file."""
        lost = isinstance(error, RenderCrashed | RenderTimeout)
        usual = error.status == _CLIENT_ERROR or isinstance(error, OriginalChanged) or isinstance(job, InspectJob)
        level = logging.WARNING if lost or not usual else logging.DEBUG
        reason: dict[str, Attribute] = {"reason": error.code, "detail": error.detail}
        _logger.log(level, "failed %s", _kind(job), extra=_details(job, pid, seconds) | reason)
        if lost or not usual:
            self._report(job, seconds, error.code, error.detail)

    def _report(self, job: RenderJob | InspectJob, seconds: float, code: str, detail: str = "") -> None:
        if self.report is not None and isinstance(job, RenderJob) and job.transform is not None:
            self.report(RenderProblem(job.image_id, _text(job), code, detail, seconds, 1, datetime.now(UTC)))


def _kind(job: RenderJob | InspectJob) -> str:
    if isinstance(job, InspectJob):
        return "inspection"
    return "mezzanine" if job.transform is None else "rendering"


def _details(job: RenderJob | InspectJob, pid: int, seconds: float) -> dict[str, Attribute]:
    details: dict[str, Attribute] = {"original": job.path, "seconds": round(seconds, 3), "pid": pid}
    if isinstance(job, RenderJob) and job.transform is not None:
        details |= {"image_id": job.image_id, "transform": _text(job)}
    return details


def _text(job: RenderJob) -> str:
    """Return the canonical text of all steps."""
    return "" if job.transform is None else canonical_steps((job.transform, *job.then))


def trace_job(job: RenderJob | InspectJob, pid: int, started: float, result: Answer | ImgserveError) -> None:
    """Add a job to the trace of its request, and the part that was spent in the rendering process."""
    trace = current_trace.get()
    if trace is None:
        return
    ended = time.perf_counter()
    details = {name: value for name, value in _details(job, pid, ended - started).items() if name != "seconds"}
    if isinstance(result, ImgserveError):
        details["error.type"] = result.code
    whole = trace.add(_kind(job), started, ended, attributes=details)
    if isinstance(result, Rendered):
        # Within the whole, whatever a process under the control of a hostile file reports.
        began = min(max(started, result.started), ended)
        done = min(max(began, began + result.seconds), ended)
        trace.add("rendering process", began, done, parent=whole, attributes={"made_from": result.made_from})


_CHUNK = 1 << 16
_LINES_PER_SECOND, _BYTES_PER_SECOND = 20, 1 << 20


class PrintedLines:
    """Logs what a rendering process prints: its own records, and messages of libraries and of the C runtime.

    Of a flood, some lines are logged each second. A process that prints still faster has to wait, so that reading its
    output does not keep the server from its work.
    """

    def __init__(self, output: asyncio.StreamReader, pid: int) -> None:
        self._output = output
        self._pid = pid
        self._second = 0.0
        self._lines = self._bytes = self._omitted = 0

    def start(self) -> asyncio.Task[None]:
        """Begin to log, in the context of no request."""
        return asyncio.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        rest = b""
        while chunk := await self._output.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[: 8 * LONGEST]  # JSON may escape each character
            for line in lines:
                self._log(line)
            self._bytes += len(chunk)
            if self._bytes > _BYTES_PER_SECOND:
                await asyncio.sleep(max(0.0, self._second + 1 - time.monotonic()))
            self._renew()
        self._log(rest)
        self._report()

    def _renew(self) -> None:
        if time.monotonic() - self._second >= 1:
            self._report()
            self._second, self._lines, self._bytes = time.monotonic(), 0, 0

    def _report(self) -> None:
        if self._omitted:
            _logger.warning("%d further lines were omitted", self._omitted, extra={"pid": self._pid})
            self._omitted = 0

    def _log(self, line: bytes) -> None:
        if not line.strip():
            return
        self._renew()
        self._lines += 1
        if self._lines > _LINES_PER_SECOND:
            self._omitted += 1
            return
        level, text, more = read_line(line)
        _logger.log(level, "%s", text, extra={"pid": self._pid, **more})
