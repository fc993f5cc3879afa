"""How much memory all processes take: ours and the peers' in the same burst, and ours over many more pictures."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from imgserve.benchmark.bursts import OURS, jobs, our_path, over_http
from imgserve.benchmark.figures import at_most, ratios
from imgserve.benchmark.memory import KIND, sampled
from imgserve.benchmark.programs import Program
from imgserve.benchmark.servers import imgserve
from imgserve.benchmark.setup import Setup

_MEGABYTE = 1e6
_MOST_OF_THUMBOR, _FLAT = 1.5, 1.1
_MOST_ROUNDS = 3
_QUARTERS = 4
_MEMORY_TIER = "5MB"
"""Full after the first page, so that what is kept on purpose is not mistaken for growth."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whose memory is watched."""

    name: str
    path: Callable[[str, int], str]
    start: AbstractContextManager[Program]


def measure(setup: Setup) -> None:
    """Start everyone anew each round and watch a page of cold pictures; once, go on with ours."""
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
    """Make a page of pictures of new originals; tell the peak in megabytes."""
    page = jobs(setup, setup.gallery.all_fresh(), setup.gallery.srcset())
    with sampled(program) as samples:
        over_http(program, server.path)(page)
    return samples.peak / _MEGABYTE


def _many(setup: Setup, server: Server, program: Program) -> list[float]:
    """Make page after page; tell the peak of each quarter."""
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
    told = f"{setup.pace.pictures} more cold pictures"
    setup.figures.add(f"memory over {told}, peaks of its quarters", unit, quarters)
    setup.figures.add(
        f"memory over {told}: last quarter / first", "ratio", [quarters[-1] / quarters[0]], at_most(_FLAT)
    )
