"""Cold pictures through a running server, against a bare pyvips loop; and many clients for one cold picture."""

import random
import re
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyvips

from benchmarks import programs
from benchmarks.bare_loop import IN_FLIGHT
from benchmarks.figures import Figures, ratios
from benchmarks.hits import fetch
from benchmarks.load import drive, request

_RASTER = {".jpg", ".jpeg", ".png", ".webp"}
_WIDTHS = (320, 480, 640, 800, 1200)
_FORMATS = ("jpg", "webp")
_CROWD = 500
_RENDERED = re.compile(r'^imgserve_renders_total\{[^}]*result="ok"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)
_SETTLED_SECONDS = 0.3


@dataclass(frozen=True)
class Photograph:
    """One file of the folder."""

    path: Path
    width: int
    pixels: int

    @property
    def url(self) -> str:
        return quote(self.path.name)


def photographs(folder: Path) -> list[Photograph]:
    """List what a camera or a browser could have made, largest first."""
    paths = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in _RASTER)
    images = [(path, pyvips.Image.new_from_file(str(path))) for path in paths]
    found = [Photograph(path, image.width, image.width * image.height) for path, image in images]
    return sorted(found, key=lambda photograph: -photograph.pixels)


def first_pictures(address: str, largest: Photograph, rounds: int, figures: Figures) -> None:
    """Time one cold picture at a time of the largest photograph; the very first also warms its process."""
    milliseconds = []
    for at in range(rounds + 1):
        load = drive(address, [request(f"/img/{largest.url}?width={800 + at}")], 1).expect(200)
        milliseconds.append(load.latencies[0] * 1000)
    name = f"cold picture of the {largest.pixels / 1e6:.0f} megapixel photograph, width 800"
    figures.add(f"{name}, first after start", "ms", milliseconds[0], wanted="<= 500")
    figures.add(name, "ms", *milliseconds[1:], wanted="<= 500")


def measure(server: programs.Program, found: list[Photograph], rounds: int, figures: Figures) -> None:
    """Alternate between our server and the bare loop; each round asks for sizes that were never asked for."""
    ours: list[float] = []
    floor: list[float] = []
    our_cost: list[float] = []
    floor_cost: list[float] = []
    with programs.bare_loop() as bare:
        bare.run(_round(found, 0))
        for number in range(1, rounds + 1):
            jobs = _round(found, number)
            for side in (bare, server) if number % 2 else (server, bare):
                before = side.processor_seconds()
                rate = len(jobs) / bare.run(jobs) if side is bare else _through(server.address, jobs)
                cost = (side.processor_seconds() - before) / len(jobs) * 1000
                (floor if side is bare else ours).append(rate)
                (floor_cost if side is bare else our_cost).append(cost)
    figures.add(f"cold pictures, {IN_FLIGHT} in flight", "pictures/s", *ours)
    figures.add("bare pyvips loop, two threads", "pictures/s", *floor)
    figures.add("cold pictures to bare loop", "ratio", *ratios(ours, floor), wanted=">= 0.85")
    figures.add("cold picture, processor time of server and rendering", "ms", *our_cost)
    figures.add("bare pyvips loop, processor time a picture", "ms", *floor_cost)
    figures.add("the same as a ratio: bare loop to cold picture", "ratio", *ratios(floor_cost, our_cost))


def crowd(address: str, photograph: Photograph, rounds: int, figures: Figures) -> None:
    """Have many clients ask at the same moment for one picture that nobody asked for before."""
    last, alone, renders = [], [], []
    for at in range(rounds):
        single = drive(address, [request(f"/img/{photograph.url}?width={700 + at}")], 1).expect(200)
        before = _renders(address)
        sent = request(f"/img/{photograph.url}?width={600 + at}")
        many = drive(address, [sent] * _CROWD, _CROWD).expect(200)
        renders.append(_renders(address) - before)
        alone.append(max(single.latencies) * 1000)
        last.append(max(many.latencies) * 1000)
    figures.add(f"renderings for {_CROWD} simultaneous requests", "renderings", *renders, wanted="1")
    figures.add(f"last of {_CROWD} simultaneous requests", "ms", *last)
    figures.add("the same picture for one client, cold", "ms", *alone)


def _round(found: list[Photograph], number: int) -> list[tuple[str, int, str]]:
    """List every photograph in every width and format, shuffled alike for both sides."""
    jobs = [
        (str(photograph.path.resolve()), width + number, name)
        for photograph in found
        for width in _WIDTHS
        for name in _FORMATS
        if width + number <= photograph.width
    ]
    random.Random(number).shuffle(jobs)
    return jobs


def _through(address: str, jobs: list[tuple[str, int, str]]) -> float:
    asked = [request(f"/img/{quote(Path(path).name)}?width={width}&format={name}") for path, width, name in jobs]
    return drive(address, asked, IN_FLIGHT).expect(200).rate


def _renders(address: str) -> int:
    time.sleep(_SETTLED_SECONDS)  # the last answers are counted after they were sent
    return round(sum(float(count) for count in _RENDERED.findall(fetch(address, "/metrics").body.decode())))
