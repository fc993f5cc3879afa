"""Jobs of a rendering process: its limits, and what it renders and writes."""

import contextlib
import ctypes
import functools
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imgserve.errors import ImgserveError, LimitExceeded, OriginalChanged, UnreadableImage
from imgserve.model import FocalPoint, Limits, Rendition, file_version
from imgserve.original_file import reading_original
from imgserve.pipeline import load
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, draft_reduced, read_mezzanine, reducible, write_mezzanine
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import REVISION, Order, draft, render_chain, render_opened
from imgserve.transform import Transform

_logger = logging.getLogger("imgserve.render")
_PR_SET_PDEATHSIG = 1
_M_ARENA_MAX = -8


@dataclass(frozen=True, slots=True)
class Discipline:
    """What a rendering process may take from the machine."""

    niceness: int = 10
    memory_bytes: int = 2 * 1024**3
    """Address space; beyond it the process dies and costs one picture."""
    allowed_loaders: tuple[str, ...] = ()
    """libvips loader classes allowed beside imgserve's own."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    """One picture to make, as it is sent to a rendering process."""

    path: str
    version: str
    transform: Transform | None
    """None: no picture is wanted, only the mezzanine."""
    discipline: Discipline = field(default_factory=Discipline)
    limits: Limits = field(default_factory=Limits)
    encoders: EncoderSettings = field(default_factory=EncoderSettings)
    damaged: bool = False
    mezzanine: Path | None = None
    """Reduced copy to make the picture from, where it has the detail."""
    keep: Path | None = None
    """New file to write a mezzanine to, once the picture is made."""
    focal_point: FocalPoint | None = None
    """What crops keep where the transform does not say."""
    then: tuple[Transform, ...] = ()
    """What is made of that picture, one after the other; only the last is encoded and sent back."""

    def order(self) -> Order:
        """Say what to make, whatever from."""
        point = None if self.focal_point is None else (self.focal_point.x, self.focal_point.y)
        return Order(self.transform or Transform(), self.limits, self.encoders, point, damaged=self.damaged)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture, as a rendering process sends it back."""

    rendition: Rendition
    seconds: float
    made_from: Literal["original", "mezzanine"] = "original"
    keeping: bool = False
    """A mezzanine is being written; `Kept` will follow."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mezzanine was written, or not: 0 bytes."""

    size: int
    seconds: float


def start(discipline: Discipline) -> str:
    """Make this process ready before its first picture; tell which pipeline and libvips it runs."""
    enter(discipline)
    return f"{REVISION}/{load.version()}"


def perform(job: RenderJob) -> Iterator[Rendered | Kept]:
    """Render one original from its file, or from its mezzanine; then write a mezzanine, if it is to be kept.

    Raises:
        OriginalChanged: the file is no longer the version that was asked for.
        ImageNotFound: it is gone.
        ImgserveError: whatever `render` raises; anything else that hostile bytes lead to is an UnreadableImage.
    """
    enter(job.discipline)
    with only_our_errors(job.path):
        yield from _performed(job)


@contextlib.contextmanager
def only_our_errors(path: str) -> Iterator[None]:
    """Raise whatever goes wrong with an original inside as an error of ours: this is the edge of the process."""
    try:
        yield
    except ImgserveError:
        raise
    except MemoryError as error:
        raise LimitExceeded("The original needs more memory than one picture may take.") from error
    except Exception as error:
        # Bindings stumble over hostile metadata in ways of their own.
        _logger.exception("rendering %s failed", path)
        raise UnreadableImage(f"The original cannot be rendered ({type(error).__name__}).") from error


def render_file(job: RenderJob) -> Rendered:
    """Render one picture and nothing else; raises as `perform` does."""
    for answer in perform(job):
        if isinstance(answer, Rendered):
            return answer
    raise LookupError(job)


def _performed(job: RenderJob) -> Iterator[Rendered | Kept]:
    started = time.perf_counter()
    order = job.order()
    rendition = _from_mezzanine(job, order)
    if rendition is not None:
        yield Rendered(rendition, time.perf_counter() - started, "mezzanine")
        return
    opened = recognize(read_version(job.path, job.version, job.limits.original_bytes), job.limits, damaged=job.damaged)
    header = read_header(opened, job.limits)
    decoded = Decoded(opened, header) if job.keep and reducible(opened, header) else None
    if job.transform is not None:
        if decoded is not None or job.then:
            first = decoded.draft(order) if decoded else draft(opened, header, order)
            rendition = render_chain(first, job.then, order)
        else:
            rendition = render_opened(opened, header, order)
        yield Rendered(rendition, time.perf_counter() - started, keeping=decoded is not None)
    elif decoded is not None:
        decoded.mezzanine()  # here it may fail: it is what was asked for
    if decoded is not None and job.keep is not None:
        yield _kept(job.keep, decoded)
    elif job.transform is None:
        yield Kept(0, 0.0)


def _from_mezzanine(job: RenderJob, order: Order) -> Rendition | None:
    mezzanine = read_mezzanine(job.mezzanine) if job.mezzanine and job.transform else None
    first = None if mezzanine is None else draft_reduced(mezzanine, order)
    return None if first is None else render_chain(first, job.then, order)


def _kept(path: Path, decoded: Decoded) -> Kept:
    """Write the mezzanine; the picture is out already, so whatever goes wrong is logged and costs only speed."""
    started = time.perf_counter()
    size = 0
    try:
        size = write_mezzanine(path, decoded.mezzanine())
    except (ImgserveError, OSError, ValueError) as error:
        # A full disk, or an original that is damaged where the picture did not look.
        _logger.warning("a mezzanine could not be written: %s", error)
    except Exception:
        _logger.exception("a mezzanine could not be written")
    return Kept(size, time.perf_counter() - started)


def read_version(path: str, version: str, most: int) -> bytes:
    """Read a file whole, and only while it is the asked version from the first byte to the last.

    Raises:
        OriginalChanged: it is another version.
        ImageNotFound, Unavailable: it is gone, or cannot be read now.
    """
    with reading_original(path) as file:
        before = os.fstat(file.fileno())
        data = file.read(most + 1)
        after = os.fstat(file.fileno())
    seen = {file_version(state.st_mtime_ns, state.st_size) for state in (before, after)}
    if seen != {version} or (len(data) != after.st_size and after.st_size <= most):
        raise OriginalChanged(retry_after=1)
    return data


@functools.cache
def enter(discipline: Discipline) -> None:
    """Lower priority and memory, die with the server, leave Ctrl+C to it; once per process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # One malloc arena: with one per thread, freed pictures stay with threads that do not come back. Measured over
        # 240 pictures: 104 MB at the end against 290 without, 164 with two arenas, at the same processor time.
        libc.mallopt(_M_ARENA_MAX, 1)
    os.nice(discipline.niceness)
    resource.setrlimit(resource.RLIMIT_AS, (discipline.memory_bytes, discipline.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load.prepare(discipline.allowed_loaders)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
