"""Hits of memory and disk and revalidations: next to a bare app and nginx with the same bytes, and under rendering."""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.fetch import Answer, await_tiers, counted, fetch
from benchmarks.figures import at_least, at_most, exactly, ratios
from benchmarks.load import drive, request
from benchmarks.programs import Program, settled_seconds
from benchmarks.servers import bare_app, imgserve, imgserve_as_shipped, plain_nginx
from benchmarks.setup import Setup
from benchmarks.steady import RepeatedRequest

_BODY_BYTES = 30_000
_WIDTHS = range(80, 1300, 40)
_LOOKS = ("imgserve_cache_hits_total", "imgserve_cache_misses_total")
_LONGEST_MS = 25
_MOST_GENERATOR = 0.95
_IN_FLIGHT = 2 * (os.cpu_count() or 1)
_WANTED_MS = 8
"""An older system of this kind was required to stay below 25."""


@dataclass(slots=True)
class Kind:
    """A kind of answer, and its rounds."""

    name: str
    program: Program
    repeat: RepeatedRequest
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    """Microseconds of the server's processor time, an answer."""
    generator: list[float] = field(default_factory=list)


def measure(setup: Setup) -> None:
    """Alternate between imgserve and the floors, round after round."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(imgserve(setup.gallery.folder, setup.new_folder()))
        path, hit = near_30_kilobytes(server.address, setup)
        kinds = {kind.name: kind for kind in _kinds(stack, setup, server, (path, hit))}
        before = _work(server, path)
        for _ in setup.pace.turns():
            for kind in kinds.values():
                _run(kind, setup)
        after = _work(server, path)
        _report(kinds, len(hit.body), setup)
        for name, total in after.items():
            title = f"{name} during memory hits and 304s"
            setup.figures.add(title, "times", [total - before[name]], exactly(0))
        one = setup.generator.run(RepeatedRequest(server.address, path), 1, setup.pace.seconds)
    setup.figures.add("memory hit, one client, p50", "ms", [one.p50 * 1000], at_most(_LONGEST_MS))
    setup.figures.add("memory hit, one client, p99", "ms", [one.p99 * 1000], at_most(_LONGEST_MS))


def near_30_kilobytes(address: str, setup: Setup) -> tuple[str, Answer]:
    """Return the path and the memory hit of the width whose JPEG is closest to 30 KB."""
    gallery = setup.gallery
    name = gallery.fresh(gallery.smallest)
    sizes: dict[str, int] = {}
    for width in _WIDTHS:
        path = f"/img/{name}?width={gallery.scaled(width)}"
        sizes[path] = len(fetch(address, path).expect(200).body)
        if sizes[path] > _BODY_BYTES:
            break  # wider ones are larger still
    nearest = min(sizes, key=lambda path: abs(sizes[path] - _BODY_BYTES))
    return nearest, fetch(address, nearest).expect(200)


def _work(server: Program, hit: str) -> dict[str, float]:
    """Return how often the server has rendered and looked on disk so far."""
    await_tiers(server.address, hit)
    return {
        "renderings": counted(server.address, "imgserve_renders_total"),
        "disk look-ups": counted(server.address, *_LOOKS, tier="disk"),
    }


def _kinds(stack: contextlib.ExitStack, setup: Setup, server: Program, warm: tuple[str, Answer]) -> Iterator[Kind]:
    path, hit = warm
    tag = {"if_none_match": hit.header("etag")}
    unmodified = fetch(server.address, path, **tag).expect(304)
    yield Kind("memory hit", server, RepeatedRequest(server.address, path))
    usual = stack.enter_context(imgserve_as_shipped(setup.gallery.folder, setup.new_folder()))
    fetch(usual.address, path).expect(200)
    settled_seconds(usual)  # it has recorded the originals
    yield Kind("memory hit, default settings", usual, RepeatedRequest(usual.address, path))
    bare = stack.enter_context(bare_app(_floors(hit, unmodified, setup), setup.new_folder()))
    yield Kind("bare app, same headers", bare, RepeatedRequest(bare.address, "/same"))
    yield Kind("bare app, two headers", bare, RepeatedRequest(bare.address, "/few"))
    if setup.nginx:
        files = setup.new_folder()
        files.mkdir()
        (files / "body.jpg").write_bytes(hit.body)
        nginx = stack.enter_context(plain_nginx(setup.nginx, files, setup.new_folder()))
        yield Kind("nginx, one worker", nginx, RepeatedRequest(nginx.address, "/body.jpg"))
    yield Kind("304", server, RepeatedRequest(server.address, path, 304, tag))
    yield Kind("bare app, 304", bare, RepeatedRequest(bare.address, "/unmodified", 304))
    disk = stack.enter_context(imgserve(setup.gallery.folder, setup.new_folder(), IMGSERVE_CACHE__MEMORY_BYTES="0"))
    fetch(disk.address, path).expect(200)
    yield Kind("disk hit", disk, RepeatedRequest(disk.address, path))


def _run(kind: Kind, setup: Setup) -> None:
    before = kind.program.processor_seconds()
    done = setup.generator.run(kind.repeat, setup.pace.connections, setup.pace.seconds)
    kind.rates.append(done.rate)
    kind.costs.append((kind.program.processor_seconds() - before) / done.answers * 1e6)
    kind.generator.append(done.generator)


def _report(kinds: Mapping[str, Kind], size: int, setup: Setup) -> None:
    figures, pace = setup.figures, setup.pace
    for kind in kinds.values():
        title = "" if "304" in kind.name else f", {size / 1000:.1f} KB"
        figures.add(f"{kind.name}{title}, {pace.connections} connections", "answers/s", kind.rates)
    for one, other, least in (
        ("memory hit", "bare app, same headers", 0.9),
        ("memory hit, default settings", "memory hit", 0.8),
        ("memory hit, default settings", "bare app, same headers", 1.2),
        ("memory hit", "bare app, two headers", None),
        ("memory hit", "nginx, one worker", 0.5),
        ("bare app, same headers", "nginx, one worker", None),
        ("304", "memory hit", 1.3),
        ("304", "bare app, 304", None),
        ("disk hit", "memory hit", 0.35),
    ):
        if other in kinds:
            ours, floor = kinds[one], kinds[other]
            wanted = at_least(least) if least else None
            figures.add(f"{one} / {other}", "ratio", ratios(ours.rates, floor.rates), wanted)
            figures.add(f"{one} / {other}, by processor time", "ratio", ratios(floor.costs, ours.costs))
    for kind in kinds.values():
        figures.add(f"{kind.name}, processor time of the server", "us", kind.costs)
    for kind in kinds.values():
        if max(kind.generator) > _MOST_GENERATOR:
            figures.add(f"the load generator was the limit of: {kind.name}", "cores", kind.generator)


def _floors(hit: Answer, unmodified: Answer, setup: Setup) -> dict[str, object]:
    """Describe the bare answers; uvicorn itself adds the date."""
    body = setup.new_folder()
    body.write_bytes(hit.body)
    few = [(name, hit.header(name)) for name in ("content-type", "content-length")]

    def undated(answer: Answer) -> list[tuple[str, str]]:
        return [header for header in answer.headers if header[0] != "date"]

    return {
        "/same": {"status": 200, "headers": undated(hit), "body": str(body)},
        "/few": {"status": 200, "headers": few, "body": str(body)},
        "/unmodified": {"status": 304, "headers": undated(unmodified), "body": None},
    }


def busy(setup: Setup) -> None:
    """Measure the 99th percentile of hits while every core renders; once without rendering."""
    pace, figures = setup.pace, setup.figures
    with imgserve(setup.gallery.folder, setup.new_folder()) as server:
        path, _ = near_30_kilobytes(server.address, setup)
        repeat = RepeatedRequest(server.address, path)
        idle = setup.generator.run(repeat, pace.connections, pace.seconds)
        stop = threading.Event()
        with ThreadPoolExecutor(1, "cold pictures") as pool:
            cold = pool.submit(drive, server.address, _cold(setup, stop), _IN_FLIGHT, persistent=False)
            try:
                many = [setup.generator.run(repeat, pace.connections, pace.seconds) for _ in pace.turns()]
                one = [setup.generator.run(repeat, 1, pace.seconds) for _ in pace.turns()]
            finally:
                stop.set()
            rendered = cold.result().expect(200)
    title = f"memory hit while every core renders, {pace.connections} connections"
    figures.add(f"{title}, p99", "ms", [run.p99 * 1000 for run in many], at_most(_WANTED_MS))
    figures.add("the same without rendering, p99", "ms", [idle.p99 * 1000])
    figures.add("memory hit while every core renders, one client, p99", "ms", [run.p99 * 1000 for run in one])
    figures.add(title, "answers/s", [run.rate for run in many])
    figures.add("cold pictures meanwhile", "pictures/s", [rendered.rate])


def _cold(setup: Setup, stop: threading.Event) -> Iterator[bytes]:
    """Yield requests for one photograph after the other, each as a new original in every width of a page."""
    while True:
        for name in setup.gallery.all_fresh():
            for width in setup.gallery.srcset():
                if stop.is_set():
                    return
                yield request(f"/img/{name}?width={width}")
