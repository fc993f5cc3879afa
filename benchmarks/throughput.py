"""How fast a real server is, in ratios to the least that could be done on the same machine.

    python -m benchmarks.throughput FOLDER [--json FILE] [--rounds N]

Starts what it needs on loopback, ends it, prints medians and spreads of alternating rounds. The load generator shares
the machine with the server: on two cores it takes one of them, for our server and for the bare app alike.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks import hits, misses, programs
from benchmarks.figures import HEAD, Figures, machine

_SETTINGS = {"IMGSERVE_LOG__ACCESS": "off"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("folder", type=Path, help="photographs, large ones")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = misses.photographs(options.folder)
    if not found:
        parser.error(f"there are no photographs in {options.folder}")
    print(f"{machine()}; load generator on the same cores; one server process, access log off\n\n{HEAD}", flush=True)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as folder:
        _run(Path(folder), options.folder, found, options.rounds, figures)
    if options.json:
        figures.write(options.json)


def _run(folder: Path, originals: Path, found: list[misses.Photograph], rounds: int, figures: Figures) -> None:
    with programs.imgserve(originals, folder / "cache", _SETTINGS) as server:
        misses.first_pictures(server.address, found[0], rounds, figures)
        misses.measure(server, found, rounds, figures)
        hits.measure(server, found[-1].url, folder, rounds, figures)
        misses.crowd(server.address, found[0], rounds, figures)
        _memory(server.process, figures)


def _memory(process: int, figures: Figures) -> None:
    server = psutil.Process(process)
    figures.add("resident memory of the server process", "MB", server.memory_info().rss / 1e6)
    children = [child.memory_info().rss / 1e6 for child in server.children(recursive=True)]
    figures.add(f"resident memory of each of {len(children)} rendering processes", "MB", *children)


if __name__ == "__main__":
    main()
