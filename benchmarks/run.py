"""The run: the chapters, what each receives, and the lines printed around them."""

import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks import bursts, cold, hits, limits, memory
from benchmarks.figures import HEAD, Figures
from benchmarks.memory import KIND
from benchmarks.peers import Commands, Peer, installed
from benchmarks.photographs import gallery
from benchmarks.setup import Pace, Setup
from benchmarks.steady import WRK_LEAST_SECONDS, Generator
from imgserve import __version__

_OTHER_DESCRIPTORS = 128

CHAPTERS: dict[str, Callable[[Setup], None]] = {
    "cold": cold.measure,
    "hits": hits.measure,
    "busy": hits.busy,
    "burst": bursts.measure,
    "alone": cold.alone,
    "crowd": cold.crowd,
    "memory": memory.measure,
    "limits": limits.measure,
    "formats": bursts.formats,
}
"""In the order of the table. Each starts what it measures, adds its figures, and leaves nothing running."""


@dataclass(frozen=True, slots=True)
class Order:
    """The measurement that is requested."""

    photographs: Path
    pace: Pace = field(default_factory=Pace)
    chapters: Sequence[str] = tuple(CHAPTERS)
    commands: Commands = field(default_factory=Commands)
    json: Path | None = None


def run(order: Order, print_line: Callable[[str], None]) -> Figures:
    """Measure, and print every figure as soon as it is known.

    Raises:
        BenchmarkFailed: something did not start or answered wrongly; what had been started is gone.
    """
    _allow_descriptors(order.pace.crowd + _OTHER_DESCRIPTORS)
    peers, skipped = installed(order.commands)
    generator = Generator(order.commands.wrk if order.pace.seconds >= WRK_LEAST_SECONDS else None)
    figures = Figures(print_line)
    facts = _machine()
    for line in _head(facts, generator, peers, skipped):
        print_line(line)
    facts |= {"generator": generator.name, "peers": [peer.description for peer in peers], "skipped": skipped}
    with tempfile.TemporaryDirectory(prefix="imgserve-benchmark-") as name:
        folder = Path(name)
        shown = gallery(order.photographs, folder)
        facts["photographs"] = [f"{item.width}x{item.height}" for item in shown.photographs]
        setup = Setup(folder, shown, order.pace, figures, generator, peers, order.commands.nginx)
        for chapter in order.chapters:
            CHAPTERS[chapter](setup)
            if order.json:
                figures.write(order.json, facts)  # after each, so that who interrupts a long run keeps what is known
    return figures


def _machine() -> dict[str, object]:
    """Return the time and the machine."""
    return {
        "imgserve": __version__,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "uvicorn": version("uvicorn"),
        "load_before": round(os.getloadavg()[0], 1),
    }


def _head(
    machine: Mapping[str, object], generator: Generator, peers: Sequence[Peer], skipped: Sequence[str]
) -> list[str]:
    lines = [
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
        f"Requests come from the same machine and share its cores. Hits are requested by {generator.name}.",
        f"Memory is {KIND}, added up over processes. One server process, access log and watcher off but in bursts.",
    ]
    return [
        *lines,
        *(f"Peer: {peer.description}." for peer in peers),
        *(f"Skipped {line}" for line in skipped),
        "",
        HEAD,
    ]


def _allow_descriptors(wanted: int) -> None:
    """Raise the limit of descriptors for a crowd, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
