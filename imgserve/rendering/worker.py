"""The main loop of a rendering process, and how it works on a job."""

import ctypes
import functools
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from imgserve.errors import ImgserveError, LimitExceeded, OriginalChanged, UnreadableImage
from imgserve.model import file_version, size_in
from imgserve.originals.folder import translated_errors
from imgserve.pipeline import faces, fast, load
from imgserve.pipeline.facts import facts_of
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, Mezzanine, draft_reduced, is_reducible, read_mezzanine, write_mezzanine
from imgserve.pipeline.order import Order
from imgserve.pipeline.passthrough import smaller
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import REVISION, draft, render_chain, render_opened
from imgserve.rendering import sandbox
from imgserve.rendering.files import JobFiles, mark_changed
from imgserve.rendering.lines import log_lines
from imgserve.rendering.wire import (
    Answer,
    Failed,
    Inspected,
    InspectJob,
    Job,
    ProcessLimits,
    Ready,
    Rendered,
    RenderJob,
    Stored,
    read_job,
    write_answer,
)
from imgserve.transform import Transform

_logger = logging.getLogger("imgserve.render")
_PR_SET_PDEATHSIG = 1


class FileNames(logging.Filter):
    """Adds the file of the current job to messages that do not name it, such as the warnings of libvips."""

    path = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete a message; all are logged."""
        message = record.getMessage()
        if self.path and self.path not in message:
            record.msg, record.args = "%s (%r)", (message, self.path)
        return True


_names = FileNames()
_M_ARENA_MAX = -8


def main(channel: int) -> None:
    """Read jobs from standard input until it ends, their files from a socket; write the answers to standard output."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library prints must not mix with the answers.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    with socket.socket(fileno=channel) as passed:
        while (job := read_job(jobs)) is not None:
            with JobFiles() if isinstance(job, ProcessLimits) else JobFiles.receive(passed) as files:
                for answer in answers_to(job, files):
                    answers.write(write_answer(answer))
                    answers.flush()


def answers_to(job: Job, files: JobFiles) -> Iterator[Answer]:
    """Work on a job and return its answers; every error is an ImgserveError, since this is the edge of the process."""
    if isinstance(job, ProcessLimits):
        yield start(job)
        return
    _names.path = job.path
    try:
        if isinstance(job, InspectJob):
            yield from _inspect(job, files)
        else:
            yield from _render(job, files)
    except ImgserveError as error:
        yield Failed(error.with_traceback(None))
    except MemoryError:
        yield Failed(LimitExceeded("The original needs more memory than one picture may take."))
    except Exception as error:
        # The bindings raise errors of many kinds for hostile metadata.
        _logger.exception("rendering %s failed", job.path)
        yield Failed(UnreadableImage(f"The original cannot be rendered ({type(error).__name__})."))


@functools.cache
def start(limits: ProcessLimits) -> Ready:
    """Lower priority and memory, die with the server, enter the sandbox."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # One malloc arena: with one for each thread, freed memory stays with threads that do not come back. Measured
        # over 240 pictures: 104 MB at the end against 290 without, 164 with two arenas, at the same processor time.
        libc.mallopt(_M_ARENA_MAX, 1)
        if limits.idle:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.nice(limits.niceness)
    before = _address_space()
    encoders = fast.version()  # loads them before the sandbox, and before the limit, which is that of pictures
    memory = limits.memory_bytes + _address_space() - before
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load.prepare(limits.allowed_loaders)
    faces.search(limits.faces)
    load.create_font_cache()
    log_lines(_names)
    state = sandbox.SandboxState(reasons=("off",)) if limits.sandbox == "off" else sandbox.enter()
    return Ready(f"{REVISION}/{load.version()}/{encoders}", str(state), state.complete)


def _address_space() -> int:
    """Return the bytes of address space of this process; 0 where the system does not show them."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


def _inspect(job: InspectJob, files: JobFiles) -> Iterator[Inspected | Stored]:
    """Return the facts of an original; what rendering would refuse is refused. Then write a mezzanine if asked to."""
    started = time.perf_counter()
    data = _read_version(files.original, job.version, job.limits.original_bytes)
    decoded = None
    if files.store >= 0:
        opened = recognize(data, job.limits, damaged=job.damaged)
        header = read_header(opened, job.limits)
        decoded = Decoded(opened, header) if is_reducible(opened, header) else None
    facts = facts_of(data, job.version, job.limits, damaged=job.damaged, decoded=decoded)
    yield Inspected(facts, time.perf_counter() - started, storing=decoded is not None)
    if decoded is not None:
        yield _stored(files.store, decoded)


def _render(job: RenderJob, files: JobFiles) -> Iterator[Rendered | Stored]:
    """Render an original, or its mezzanine; then write a mezzanine if the job says so."""
    started = time.perf_counter()
    point = None if job.focal_point is None else (job.focal_point.x, job.focal_point.y)
    order = Order(
        job.transform or Transform(),
        job.limits,
        job.encoders,
        point,
        damaged=job.damaged,
        marks=_read_marks(job, files),
    )
    mezzanine, broken = _mezzanine(job, files)
    reduced = None if mezzanine is None else draft_reduced(mezzanine, order)
    if reduced is not None:
        rendition = render_chain(reduced, job.then, order)
        whole = reduced.job.plan.size == reduced.job.stored and not job.then
        if whole and (order.transform.max_bytes or len(rendition.data) > size_in(job.version)):
            opened = recognize(_read_version(files.original, job.version, job.limits.original_bytes), job.limits)
            rendition = smaller(rendition, opened, read_header(opened, job.limits), reduced.job, 1)
        yield Rendered(rendition, time.perf_counter() - started, "mezzanine", started=started)
        return
    opened = recognize(
        _read_version(files.original, job.version, job.limits.original_bytes), job.limits, damaged=job.damaged
    )
    header = read_header(opened, job.limits)
    decoded = Decoded(opened, header) if files.store >= 0 and is_reducible(opened, header) else None
    if job.transform is not None:
        if decoded is not None or job.then:
            first = decoded.draft(order) if decoded else draft(opened, header, order)
            rendition = render_chain(first, job.then, order)
            if not job.then:
                rendition = smaller(rendition, opened, header, first.job, 1)
        else:
            rendition = render_opened(opened, header, order)
        seconds = time.perf_counter() - started
        yield Rendered(rendition, seconds, storing=decoded is not None, broken=broken, started=started)
    elif decoded is not None:
        decoded.mezzanine()  # its errors are errors of the job, unlike below
    if decoded is not None:
        yield _stored(files.store, decoded, compact=job.compact)
    elif job.transform is None:
        yield Stored(0, 0.0)


def _read_marks(job: RenderJob, files: JobFiles) -> dict[str, bytes]:
    """Return the bytes of the marks of a job by their image ids; raises as `_read_version` does."""
    marks = dict[str, bytes]()
    for mark, descriptor in zip(job.marks, files.marks, strict=True):
        try:
            marks[mark.image_id] = _read_version(descriptor, mark.version, job.limits.original_bytes)
        except OriginalChanged as error:
            raise mark_changed(mark) from error
    return marks


def _mezzanine(job: RenderJob, files: JobFiles) -> tuple[Mezzanine | None, bool]:
    """Return the mezzanine to start from, if there is one, and whether it is broken."""
    if files.mezzanine < 0:
        return None, False
    try:
        return read_mezzanine(files.mezzanine), False
    except OSError as error:
        _logger.warning("a mezzanine cannot be mapped, its original is used: %s", error)
        return None, False
    except (ValueError, KeyError, TypeError) as error:
        _logger.warning("a mezzanine is broken, its original is used: %s: %s", job.mezzanine, error)
        return None, True


def _stored(descriptor: int, decoded: Decoded, *, compact: bool = False) -> Stored:
    """Write the mezzanine; errors are logged only, since the picture was sent already."""
    started = time.perf_counter()
    size = 0
    try:
        size = write_mezzanine(descriptor, decoded.mezzanine(), compact=compact)
    except (ImgserveError, OSError, ValueError) as error:
        # A full disk, or an original that is damaged outside of the picture.
        _logger.warning("a mezzanine could not be written: %s", error)
    except Exception:
        _logger.exception("a mezzanine could not be written")
    return Stored(size, time.perf_counter() - started)


def _read_version(descriptor: int, version: str, max_bytes: int) -> bytes:
    """Return the bytes of a file, at most one more than the limit.

    Raises:
        OriginalChanged: the file is another version, or changed while it was read.
        Unavailable: it cannot be read now.
    """
    with translated_errors(), os.fdopen(descriptor, "rb", closefd=False) as file:
        before = os.fstat(descriptor)
        data = file.read(max_bytes + 1)
        after = os.fstat(descriptor)
    versions = {file_version(state.st_mtime_ns, state.st_size) for state in (before, after)}
    if versions != {version} or (len(data) != after.st_size and after.st_size <= max_bytes):
        raise OriginalChanged(retry_after=1)
    return data
