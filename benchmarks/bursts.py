"""Pages of cold pictures, then more sizes of the same: imgserve, a bare loop and the peers in turn."""

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from benchmarks.fetch import check_picture
from benchmarks.figures import at_least, ratios
from benchmarks.load import drive, request
from benchmarks.photographs import Gallery
from benchmarks.programs import Program, settled_seconds
from benchmarks.servers import LOOP_THREADS, BareLoop, Job, bare_loop, imgserve, imgserve_as_shipped
from benchmarks.setup import Setup

IN_FLIGHT = 4
_FORMATS = (("webp", 4), ("avif", 5))
"""With the ratio to the bare loop that is wanted with the extra `fast`."""
OURS, FLOOR = "imgserve", f"bare loop, {LOOP_THREADS} threads"
QUIET = "imgserve without access log and watcher"


@dataclass(slots=True)
class Rounds:
    """The rounds of one contender in one kind of work."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    """Milliseconds of processor time, a picture."""
    sizes: list[float] = field(default_factory=list)
    """Kilobytes, a picture."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that makes the pictures."""

    name: str
    program: Program | BareLoop
    make: Callable[[list[Job]], tuple[float, float]]
    """Makes them; returns the seconds and the bytes."""
    gallery: Gallery
    """Its own originals, so that a server that watches them does not work on those of the others."""
    burst: Rounds = field(default_factory=Rounds)
    widths: Rounds = field(default_factory=Rounds)

    def run(self, jobs: list[Job], rounds: Rounds) -> None:
        """Make pictures and record the rate, the cost and the size."""
        before = settled_seconds(self.program)
        seconds, size = self.make(jobs)
        rounds.costs.append((settled_seconds(self.program) - before) / len(jobs) * 1000)
        rounds.rates.append(len(jobs) / seconds)
        rounds.sizes.append(size / len(jobs) / 1000)


def measure(setup: Setup) -> None:
    """Run each contender on the same pages and the same further sizes, in rotating order."""
    with contextlib.ExitStack() as stack:
        contenders = list(_contenders(stack, setup))
        for number in setup.pace.turns():
            turned = number % len(contenders)
            for contender in contenders[turned:] + contenders[:turned]:
                gallery = contender.gallery
                names = gallery.all_fresh()
                contender.run(jobs(gallery, names, gallery.srcset()), contender.burst)
                contender.run(jobs(gallery, names, gallery.new_widths()), contender.widths)
    _report(setup, {contender.name: contender for contender in contenders})


def formats(setup: Setup) -> None:
    """Make further widths of the formats that take longer to encode, in turns with the bare loop."""
    rounds = {name: {one: Rounds() for one in (OURS, FLOOR)} for name, _ in _FORMATS}
    with contextlib.ExitStack() as stack:
        contenders = [one for one in _contenders(stack, replace(setup, peers=())) if one.name != QUIET]
        for _ in setup.pace.turns():
            for contender in contenders:
                names = contender.gallery.all_fresh()
                contender.make(jobs(contender.gallery, names, contender.gallery.srcset()[:1]))
                for name, _ in _FORMATS:
                    wanted = [
                        replace(job, format=name) for job in jobs(contender.gallery, names, contender.gallery.srcset())
                    ]
                    contender.run(wanted, rounds[name][contender.name])
    for name, least in _FORMATS:
        ours, floor = rounds[name][OURS], rounds[name][FLOOR]
        title = f"{len(setup.gallery.srcset()) * len(setup.gallery.photographs)} further {name}"
        setup.figures.add(f"{title}: {OURS} / {FLOOR}", "ratio", ratios(ours.rates, floor.rates), at_least(least))
        setup.figures.add(f"{title}: {OURS} / {FLOOR}, by processor time", "ratio", ratios(floor.costs, ours.costs))
        for one in (OURS, FLOOR):
            setup.figures.add(f"{title}: {one}, processor time a picture", "ms", rounds[name][one].costs)


def jobs(gallery: Gallery, names: Iterable[str], widths: Iterable[int]) -> list[Job]:
    """List every original in every width, in an order that is the same for all."""
    made = [Job(gallery.folder / name, width) for name in names for width in widths]
    random.Random(len(made)).shuffle(made)
    return made


def over_http(program: Program, path: Callable[[str, int], str]) -> Callable[[list[Job]], tuple[float, float]]:
    """Make pictures by asking a server for them."""

    def make(requested: list[Job]) -> tuple[float, float]:
        requests = [request(path(job.path.name, job.width) + _ending(job)) for job in requested]
        load = drive(program.address, requests, IN_FLIGHT, persistent=False).expect(200)
        return load.seconds, load.bytes

    return make


def _ending(job: Job) -> str:
    return "" if job.format == "jpg" else f"&format={job.format}"


def our_path(name: str, width: int) -> str:
    """Write the address of a picture of imgserve."""
    return f"/img/{name}?width={width}"


def _contenders(stack: contextlib.ExitStack, setup: Setup) -> Iterator[Contender]:
    loop = stack.enter_context(bare_loop(setup.new_folder()))
    yield _warm(Contender(FLOOR, loop, lambda requested: (loop.run(requested)[0], 0.0), setup.gallery))
    for name, start in ((OURS, imgserve_as_shipped), (QUIET, imgserve)):
        own = setup.new_folder()
        gallery = replace(setup.gallery, folder=own / "originals")
        gallery.folder.mkdir(parents=True)
        server = stack.enter_context(start(gallery.folder, own))
        check_picture(server.address, our_path(gallery.fresh(gallery.smallest), 200), 200)
        yield _warm(Contender(name, server, over_http(server, our_path), gallery))
    for peer in setup.peers:
        program = stack.enter_context(peer.start(setup.gallery.folder, setup.new_folder()))
        check_picture(program.address, peer.path(setup.gallery.fresh(setup.gallery.smallest), 200), 200)
        yield _warm(Contender(peer.name, program, over_http(program, peer.path), setup.gallery))


def _warm(contender: Contender) -> Contender:
    gallery = contender.gallery
    contender.make(jobs(gallery, [gallery.fresh(gallery.smallest)], gallery.srcset()))
    return contender


def _report(setup: Setup, contenders: dict[str, Contender]) -> None:
    page = f"burst of {len(setup.gallery.photographs)} photographs x {len(setup.gallery.srcset())} widths"
    more = f"{len(setup.gallery.photographs) * len(setup.gallery.new_widths())} more widths"
    peers = [peer.name for peer in setup.peers]
    wanted_of = {"ipx": 15.0, "thumbor": 8.0, "thumbor, baseline JPEG": 8.0}
    for what, kind, to_loop, to_peers in ((page, "burst", 2.5, {}), (more, "widths", 8.0, wanted_of)):
        done: dict[str, Rounds] = {name: getattr(one, kind) for name, one in contenders.items()}
        for name, rounds in done.items():
            setup.figures.add(f"{what}: {name}", "pictures/s", rounds.rates)
        pairs = ((OURS, FLOOR, to_loop), (QUIET, FLOOR, None), *((OURS, peer, to_peers.get(peer)) for peer in peers))
        for one, other, least in pairs:
            wanted = at_least(least) if least else None
            ours, theirs = done[one], done[other]
            setup.figures.add(f"{what}: {one} / {other}", "ratio", ratios(ours.rates, theirs.rates), wanted)
            title = f"{what}: {one} / {other}, by processor time"
            setup.figures.add(title, "ratio", ratios(theirs.costs, ours.costs))
        for name, rounds in done.items():
            setup.figures.add(f"{what}: {name}, processor time a picture", "ms", rounds.costs)
            if any(rounds.sizes):
                setup.figures.add(f"{what}: {name}, size of a picture", "KB", rounds.sizes)
