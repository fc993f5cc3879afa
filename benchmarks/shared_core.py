"""How long hits take while rendering processes keep the server's core busy.

python -m benchmarks.shared_core PHOTOS [--rounds N] [--seconds N] [--processes N]

Simulates a machine on which every core renders: one server process and four rendering processes share one core, and the
load generator has another one. Settings are the defaults otherwise, access log included.
"""

import argparse
import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.fetch import fetch
from benchmarks.figures import Figures, at_most
from benchmarks.load import Load, drive, repeated, request
from benchmarks.managed import drawn, settle
from benchmarks.programs import PYTHON, Program, serving

_PATH = "/img/hit.jpg?width=300&quality=95"
_WANTED_MS = 8
_CONNECTIONS = (1, 8, 32)


def main() -> None:
    """Measure hits with and without rendering."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("photos", type=Path, nargs="?", help="a folder of JPEGs; large drawn ones without it")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--processes", type=int, default=4)
    given = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="imgserve-core-") as place:
        photos = _originals(Path(place) / "originals", given.photos)
        os.sched_setaffinity(0, cores[:1])  # inherited by the server and its processes
        with _server(Path(place), given.processes) as server:
            os.sched_setaffinity(0, cores[1:] or cores)
            _measure(server, photos, given)


def _measure(server: Program, photos: list[str], given: argparse.Namespace) -> None:
    figures = Figures(print)
    fetch(server.address, _PATH).expect(200)
    for connections in _CONNECTIONS:
        idle = _hits(server, connections, given.seconds)
        figures.add(f"hits, {connections} connections, nothing is rendered, p99", "ms", [idle.percentile(99) * 1000])
        with _rendering(server, photos, given.processes):
            runs = [_hits(server, connections, given.seconds) for _ in range(given.rounds)]
        title = f"hits, {connections} connections, {given.processes} rendering processes on the server's core"
        figures.add(f"{title}, p99", "ms", [run.percentile(99) * 1000 for run in runs], at_most(_WANTED_MS))
        figures.add(f"{title}, p50", "ms", [run.percentile(50) * 1000 for run in runs])
        figures.add(title, "answers/s", [run.rate for run in runs])


def _hits(server: Program, connections: int, seconds: float) -> Load:
    return drive(server.address, repeated(request(_PATH), seconds), connections).expect(200)


@contextlib.contextmanager
def _rendering(server: Program, photos: list[str], processes: int) -> Iterator[None]:
    """Keep every rendering process busy until the block ends."""
    stop = threading.Event()
    number = next(_NUMBERS)

    def requests() -> Iterator[bytes]:
        for width, name in itertools.product(range(200, 2000), photos):
            if stop.is_set():
                return
            yield request(f"/img/{name}?width={width}&quality={80 + number % 15}")

    with ThreadPoolExecutor(1) as pool:
        cold = pool.submit(drive, server.address, requests(), 2 * processes, persistent=False)
        try:
            yield
        finally:
            stop.set()
        print(f"  meanwhile {cold.result().expect(200).rate:.1f} pictures/s were rendered")


_NUMBERS = itertools.count()


def _originals(folder: Path, photos: Path | None) -> list[str]:
    folder.mkdir()
    (folder / "hit.jpg").write_bytes(drawn(1, 600, 450))
    settle(folder / "hit.jpg")
    found = sorted(photos.glob("*.jp*g")) if photos else []
    contents = [path.read_bytes() for path in found] or [drawn(number, 4000, 3000) for number in range(2, 6)]
    for number, content in enumerate(contents):
        (folder / f"{number}.jpg").write_bytes(content)
        settle(folder / f"{number}.jpg")
    return [f"{number}.jpg" for number in range(len(contents))]


@contextlib.contextmanager
def _server(place: Path, processes: int) -> Iterator[Program]:
    command = [*PYTHON, "imgserve", "serve", str(place / "originals"), "--cache", str(place / "cache"), "--port", "0"]
    with serving(command, place, {"IMGSERVE_RENDERING__PROCESSES": str(processes)}) as program:
        yield program


if __name__ == "__main__":
    main()
