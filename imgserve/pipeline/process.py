"""What runs inside a rendering process: its discipline, and the one function that others call there."""

import ctypes
import functools
import logging
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field

from imgserve.errors import ImgserveError, LimitExceeded, OriginalChanged, UnreadableImage
from imgserve.model import Limits, Rendition, file_version
from imgserve.original_file import reading_original
from imgserve.pipeline import vips
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.render import REVISION, render
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
    transform: Transform
    discipline: Discipline = field(default_factory=Discipline)
    limits: Limits = field(default_factory=Limits)
    encoders: EncoderSettings = field(default_factory=EncoderSettings)
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a rendering process sends back."""

    rendition: Rendition
    seconds: float


def start(discipline: Discipline) -> str:
    """Make this process ready before its first picture; tell which pipeline and libvips it runs."""
    _enter(discipline)
    return f"{REVISION}/{vips.version()}"


def render_file(job: RenderJob) -> Rendered:
    """Render one original from its file.

    Raises:
        OriginalChanged: the file is no longer the version that was asked for.
        ImageNotFound: it is gone.
        ImgserveError: whatever `render` raises; anything else that hostile bytes lead to is an UnreadableImage.
    """
    _enter(job.discipline)
    started = time.perf_counter()
    try:
        data = _read(job.path, job.version, job.limits.original_bytes)
        rendition = render(data, job.transform, limits=job.limits, encoders=job.encoders, damaged=job.damaged)
    except ImgserveError:
        raise
    except MemoryError as error:
        raise LimitExceeded("The original needs more memory than one picture may take.") from error
    except Exception as error:
        # The edge of the process. Bindings stumble over hostile metadata in ways of their own.
        _logger.exception("rendering %s failed", job.path)
        raise UnreadableImage(f"The original cannot be rendered ({type(error).__name__}).") from error
    return Rendered(rendition, time.perf_counter() - started)


def _read(path: str, version: str, most: int) -> bytes:
    """Read a file whole, and only while it is the asked version from the first byte to the last."""
    with reading_original(path) as file:
        before = os.fstat(file.fileno())
        data = file.read(most + 1)
        after = os.fstat(file.fileno())
    seen = {file_version(state.st_mtime_ns, state.st_size) for state in (before, after)}
    if seen != {version} or (len(data) != after.st_size and after.st_size <= most):
        raise OriginalChanged(retry_after=1)
    return data


@functools.cache
def _enter(discipline: Discipline) -> None:
    """Lower priority and memory, die with the server, leave Ctrl+C to it; once per process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # Two malloc arenas: with one per thread, freed pictures stay with threads that do not come back.
        libc.mallopt(_M_ARENA_MAX, 2)
    os.nice(discipline.niceness)
    resource.setrlimit(resource.RLIMIT_AS, (discipline.memory_bytes, discipline.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    vips.prepare(discipline.allowed_loaders)
    # `sys.stderr` is closed here, lest it mix with answers on standard output; the server's own log is behind it.
    logging.basicConfig(stream=os.fdopen(os.dup(2), "w"), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
