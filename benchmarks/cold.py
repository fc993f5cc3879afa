"""Cold pictures: the first after the start, many next to a bare pyvips loop, one large one alone, one for a crowd."""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.fetch import counted
from benchmarks.figures import at_least, at_most, exactly, ratios
from benchmarks.load import drive, request
from benchmarks.programs import Program, Timed, settled_seconds
from benchmarks.servers import LOOP_THREADS, BareLoop, Job, bare_loop, imgserve
from benchmarks.setup import Setup

_WIDTHS = (320, 480, 640, 800, 1200)
_FORMATS = ("jpg", "webp")
_ALONE_WIDTH = 800
_ALONE_TIMES = 3
_CROWD_WIDTH = 640
_PAUSE_SECONDS = 0.5
"""After it, the work for the previous picture is done."""
_LONGEST_MS = 500


@dataclass(slots=True)
class Side:
    """The rounds of one of two sides."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def measure(setup: Setup) -> None:
    """Alternate between imgserve and the bare loop; every round has its own originals and sizes."""
    gallery, figures = setup.gallery, setup.figures
    with (
        imgserve(gallery.folder, setup.new_folder()) as server,
        bare_loop(setup.new_folder()) as bare,
    ):
        first = _alone(server, setup)
        name = f"first picture after start, {gallery.largest.megapixels:.0f} megapixels"
        figures.add(name, "ms", [first * 1000], at_most(_LONGEST_MS))
        ours, floor = Side(), Side()
        _both(server, bare, _jobs(setup, 0), (Side(), Side()))  # warms both
        for number in setup.pace.turns():
            _both(server, bare, _jobs(setup, number + 1), (ours, floor))
    at = f"{LOOP_THREADS} in flight"
    figures.add(f"cold pictures of new originals, {at}", "pictures/s", ours.rates)
    figures.add(f"bare pyvips loop, {LOOP_THREADS} threads", "pictures/s", floor.rates)
    figures.add("cold pictures / bare loop", "ratio", ratios(ours.rates, floor.rates), at_least(0.85))
    figures.add("cold picture, processor time of server and rendering", "ms", ours.costs)
    figures.add("bare pyvips loop, processor time a picture", "ms", floor.costs)
    figures.add("cold pictures / bare loop, by processor time", "ratio", ratios(floor.costs, ours.costs))


def alone(setup: Setup) -> None:
    """Time cold pictures of the largest photograph, one at a time, next to the same calls in a script."""
    gallery, figures = setup.gallery, setup.figures
    ours, floor = Side(), Side()
    with (
        imgserve(gallery.folder, setup.new_folder()) as server,
        bare_loop(setup.new_folder()) as bare,
    ):
        job = Job(gallery.largest.path, gallery.scaled(_ALONE_WIDTH))
        _alone(server, setup)
        bare.run([job], threads=1, calls="pipeline")
        for _ in setup.pace.turns():
            _times(ours, server, lambda: [_alone(server, setup) for _ in range(_ALONE_TIMES)])
            _times(floor, bare, lambda: bare.run([job] * _ALONE_TIMES, threads=1, calls="pipeline")[1:])
    name = f"cold {gallery.largest.megapixels:.0f} megapixel picture"
    figures.add(f"{name} alone", "ms", ours.times, at_most(_LONGEST_MS))
    figures.add("the same pyvips calls in a script", "ms", floor.times)
    figures.add(f"{name} / script", "ratio", ratios(ours.times, floor.times), at_most(1.15))
    figures.add(f"{name} / script, by processor time", "ratio", ratios(ours.costs, floor.costs))


def _times(side: Side, program: Timed, make: Callable[[], list[float]]) -> None:
    """Record the median of a few pictures, made one after the other."""
    before = settled_seconds(program)
    side.times.append(statistics.median(make()) * 1000)
    side.costs.append(settled_seconds(program) - before)


def _alone(server: Program, setup: Setup) -> float:
    time.sleep(_PAUSE_SECONDS)
    name = setup.gallery.fresh(setup.gallery.largest)
    width = setup.gallery.scaled(_ALONE_WIDTH)
    return drive(server.address, [request(f"/img/{name}?width={width}")], 1).expect(200).latencies[0]


def _jobs(setup: Setup, number: int) -> list[Job]:
    """List every photograph, new, in every width and format, shuffled."""
    gallery = setup.gallery
    jobs = [
        Job(gallery.folder / name, gallery.scaled(width), kind)
        for name in gallery.all_fresh()
        for width in _WIDTHS
        for kind in _FORMATS
    ]
    random.Random(number).shuffle(jobs)
    return jobs


def _both(server: Program, bare: BareLoop, jobs: list[Job], sides: tuple[Side, Side]) -> None:
    ours, floor = sides
    before = settled_seconds(bare)
    floor.rates.append(len(jobs) / bare.run(jobs)[0])
    floor.costs.append((settled_seconds(bare) - before) / len(jobs) * 1000)
    before = settled_seconds(server)
    ours.rates.append(drive(server.address, _requests(jobs), LOOP_THREADS, persistent=False).expect(200).rate)
    ours.costs.append((settled_seconds(server) - before) / len(jobs) * 1000)


def _requests(jobs: list[Job]) -> Iterator[bytes]:
    return (request(f"/img/{job.path.name}?width={job.width}&format={job.format}") for job in jobs)


def crowd(setup: Setup) -> None:
    """Alternate between the crowd and one client, each with an original of its own."""
    first, last, single, renders = [], [], [], []
    gallery, figures, clients = setup.gallery, setup.figures, setup.pace.crowd
    with imgserve(gallery.folder, setup.new_folder()) as server:

        def request_by(number: int) -> list[float]:
            sent = request(f"/img/{gallery.fresh(gallery.largest)}?width={gallery.scaled(_CROWD_WIDTH)}")
            return drive(server.address, [sent] * number, number).expect(200).latencies

        request_by(clients)
        for _ in setup.pace.turns():
            before = counted(server.address, "imgserve_renders_total")
            many = request_by(clients)
            renders.append(counted(server.address, "imgserve_renders_total") - before)
            first.append(min(many) * 1000)
            last.append(max(many) * 1000)
            single.append(max(request_by(1)) * 1000)
    figures.add(f"renderings for {clients} clients of one cold picture", "renderings", renders, exactly(1))
    figures.add(f"first of {clients} clients", "ms", first)
    figures.add(f"last of {clients} clients", "ms", last)
    figures.add("the same for one client", "ms", single)
    figures.add("last / first", "ratio", ratios(last, first), at_most(1.5))
    figures.add("last / one client alone", "ratio", ratios(last, single))
