"""The memory of all processes: of imgserve and the peers in the same burst, and of imgserve over many more pictures."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import psutil

from benchmarks.bursts import OURS, jobs, our_path, over_http
from benchmarks.figures import at_most, ratios
from benchmarks.programs import Program
from benchmarks.servers import imgserve
from benchmarks.setup import Setup

_PAUSE_SECONDS = 0.05
_MEGABYTE = 1e6
_MOST_OF_THUMBOR, _FLAT = 1.5, 1.1
_MOST_ROUNDS = 3
_QUARTERS = 4
_MEMORY_TIER = "5MB"
"""Full after the first page, so that what is cached is not mistaken for growth."""
KIND = "PSS" if psutil.LINUX else "USS"
"""PSS counts a page that several processes share once in all. Other systems only report unshared memory."""


@dataclass(slots=True)
class Samples:
    """Bytes over time, added up over processes."""

    values: list[int] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """The most of all samples."""
        return max(self.values)


@contextlib.contextmanager
def sampled(program: Program) -> Iterator[Samples]:
    """Sample until the block is left, and at its end."""
    samples, stop = Samples(), threading.Event()

    def sample() -> None:
        while not stop.wait(_PAUSE_SECONDS):
            samples.values.append(held(program))

    thread = threading.Thread(target=sample, name="memory samples")
    thread.start()
    try:
        yield samples
        samples.values.append(held(program))
    finally:
        stop.set()
        thread.join()


def held(program: Program) -> int:
    """Return the bytes that a program and all processes below it use now."""
    total = 0
    for process in program.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += getattr(process.memory_full_info(), KIND.lower())
    return total


@dataclass(frozen=True, slots=True)
class Server:
    """A server whose memory is sampled."""

    name: str
    path: Callable[[str, int], str]
    start: AbstractContextManager[Program]


def measure(setup: Setup) -> None:
    """Start every server in each round and sample a page of cold pictures; once, continue with imgserve."""
    peaks: dict[str, list[float]] = {}
    quarters: list[float] = []
    for _ in range(min(setup.pace.rounds, _MOST_ROUNDS)):
        for server in _servers(setup):
            with server.start as program:
                peak = _page(setup, server, program)
                peaks.setdefault(server.name, []).append(peak)
                if server.name == OURS and not quarters:
                    quarters += _many(setup, server, program)
    _report(setup, peaks, quarters)


def _servers(setup: Setup) -> Iterator[Server]:
    originals = setup.gallery.folder
    yield Server(OURS, our_path, imgserve(originals, setup.new_folder(), IMGSERVE_CACHE__MEMORY_BYTES=_MEMORY_TIER))
    for peer in setup.peers:
        yield Server(peer.name, peer.path, peer.start(originals, setup.new_folder()))


def _page(setup: Setup, server: Server, program: Program) -> float:
    """Make a page of pictures of new originals; return the peak in megabytes."""
    page = jobs(setup.gallery, setup.gallery.all_fresh(), setup.gallery.srcset())
    with sampled(program) as samples:
        over_http(program, server.path)(page)
    return samples.peak / _MEGABYTE


def _many(setup: Setup, server: Server, program: Program) -> list[float]:
    """Make page after page; return the peak of each quarter."""
    pages = setup.pace.pictures / len(setup.gallery.photographs) / len(setup.gallery.srcset())
    each = max(1, round(pages / _QUARTERS))
    return [max(_page(setup, server, program) for _ in range(each)) for _ in range(_QUARTERS)]


def _report(setup: Setup, peaks: dict[str, list[float]], quarters: list[float]) -> None:
    unit = f"MB {KIND}"
    for name, values in peaks.items():
        setup.figures.add(f"memory of all processes in the burst, peak: {name}", unit, values)
        if name != OURS:
            wanted = at_most(_MOST_OF_THUMBOR) if name == "thumbor" else None
            setup.figures.add(f"memory in the burst: {OURS} / {name}", "ratio", ratios(peaks[OURS], values), wanted)
    title = f"{setup.pace.pictures} more cold pictures"
    setup.figures.add(f"memory over {title}, peaks of its quarters", unit, quarters)
    setup.figures.add(
        f"memory over {title}: last quarter / first", "ratio", [quarters[-1] / quarters[0]], at_most(_FLAT)
    )
