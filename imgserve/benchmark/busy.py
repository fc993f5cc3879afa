"""Memory hits while every core renders: another client keeps cold pictures in flight."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from imgserve.benchmark.figures import at_most
from imgserve.benchmark.hits import near_30_kilobytes
from imgserve.benchmark.load import drive, request
from imgserve.benchmark.servers import imgserve
from imgserve.benchmark.setup import Setup
from imgserve.benchmark.steady import Asked

_IN_FLIGHT = 2 * (os.cpu_count() or 1)
_WANTED_MS = 8
"""An older system of this kind had to keep 25."""


def measure(setup: Setup) -> None:
    """Take the 99th percentile of hits with the rendering on, over as many rounds; once without it."""
    pace, figures = setup.pace, setup.figures
    with imgserve(setup.gallery.folder, setup.new_folder()) as server:
        path, _ = near_30_kilobytes(server.address, setup)
        asked = Asked(server.address, path)
        idle = setup.generator.run(asked, pace.connections, pace.seconds)
        stop = threading.Event()
        with ThreadPoolExecutor(1, "cold pictures") as pool:
            cold = pool.submit(drive, server.address, _cold(setup, stop), _IN_FLIGHT, kept=False)
            try:
                many = [setup.generator.run(asked, pace.connections, pace.seconds) for _ in pace.turns()]
                one = [setup.generator.run(asked, 1, pace.seconds) for _ in pace.turns()]
            finally:
                stop.set()
            rendered = cold.result().expect(200)
    told = f"memory hit while every core renders, {pace.connections} connections"
    figures.add(f"{told}, p99", "ms", [run.p99 * 1000 for run in many], at_most(_WANTED_MS))
    figures.add("the same without rendering, p99", "ms", [idle.p99 * 1000])
    figures.add("memory hit while every core renders, one client, p99", "ms", [run.p99 * 1000 for run in one])
    figures.add(told, "answers/s", [run.rate for run in many])
    figures.add("cold pictures meanwhile", "pictures/s", [rendered.rate])


def _cold(setup: Setup, stop: threading.Event) -> Iterator[bytes]:
    """Ask for one photograph after the other, always as a new original, in every width of a page."""
    while True:
        for name in setup.gallery.all_fresh():
            for width in setup.gallery.srcset():
                if stop.is_set():
                    return
                yield request(f"/img/{name}?width={width}")
