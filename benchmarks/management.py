"""What it costs to record, upload, find and purge originals on a real server, over HTTP.

    python -m benchmarks.management FOLDER [--files N] [--records N] [--only CHAPTER] [--json FILE]

FOLDER holds photographs: the largest JPEG is uploaded, and stands for those of 22 megapixels. Prints a Markdown table.
"""

import argparse
import asyncio
import functools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import imagesize

from benchmarks import catalog, recorded
from benchmarks.fetch import fetch
from benchmarks.managed import Api, at_once, drawn, managed, settle, stamped
from benchmarks.rounds import HEAD, Rounds, machine
from imgserve.catalog import Database, Images
from tests.catalogs import put_many

_ROUNDS = 5
_TURNS = 30
_WIDTHS = (320, 480, 640, 800, 1024, 1280, 1600, 1920)
_SMALL, _LARGE = 40, 8
_RENDITIONS = 20
_BATCH = 5000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--files", type=int, default=10_000, help="that are recorded")
    parser.add_argument("--records", type=int, default=100_000, help="among which is searched")
    parser.add_argument("--only", choices=[*_CHAPTERS], help="a part")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    print(f"{machine()}\n\n{HEAD}", flush=True)
    figures, photograph = Rounds(), _largest(options.folder)
    for name in [options.only] if options.only else _CHAPTERS:
        place = Path(tempfile.mkdtemp(prefix=f"imgserve-{name}-"))
        try:
            _CHAPTERS[name](place, figures, options, photograph)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    if options.json:
        figures.write(options.json)


def _largest(folder: Path) -> bytes:
    sizes = {path: imagesize.get(path) for path in sorted(folder.rglob("*.jp*g"))}
    return max(sizes, key=lambda path: sizes[path][0] * sizes[path][1]).read_bytes()


def _record(place: Path, figures: Rounds, options: argparse.Namespace, photograph: bytes) -> None:
    recorded.measure(place, figures, options.files, photograph)


def _upload(place: Path, figures: Rounds, _options: argparse.Namespace, photograph: bytes) -> None:
    """Upload small pictures and photographs, by one client and by eight; then replace them."""
    numbers = iter(range(10**6))
    kinds: dict[str, tuple[int, Callable[[], bytes]]] = {
        "400x300": (_SMALL, lambda: drawn(next(numbers))),
        f"{len(photograph) / 1e6:.1f} MB, 22 megapixels": (_LARGE, lambda: stamped(photograph, next(numbers))),
    }
    with managed(place) as api:
        _warm_up(api)
        for kind, (many, make) in kinds.items():
            for clients in (1, 8):
                rounds = [_uploads(api, "POST", many, make, clients) for _ in range(_ROUNDS)]
                figures.add(f"upload, {kind}, {clients} at a time", "a second", *(rate for rate, _ in rounds))
                figures.add("the same, each", "ms", *sorted(one for _, took in rounds for one in took))
            replaced = [_uploads(api, "PUT", many // 4, make, 1)[1] for _ in range(_ROUNDS)]
            figures.add(f"PUT over an image, {kind}, each", "ms", *sorted(one for took in replaced for one in took))


def _uploads(api: Api, method: str, many: int, make: Callable[[], bytes], clients: int) -> tuple[float, list[float]]:
    path = "/api/images" if method == "POST" else "/api/images/replaced.jpg"
    bodies = [make() for _ in range(many)]
    calls = [functools.partial(api.timed, method, path, body, expected=(200, 201)) for body in bodies]
    return at_once(calls, clients)


def _find(place: Path, figures: Rounds, options: argparse.Namespace, _photograph: bytes) -> None:
    """Search among many records, written straight into the catalog: no files belong to them, so nothing is watched."""
    url = f"sqlite:///{place}/catalog.sqlite"
    asyncio.run(_fill(url, options.records))
    with managed(place, IMGSERVE_CATALOG__URL=url, IMGSERVE_ORIGINALS__WATCH="false") as api:
        _warm_up(api)
        for name, ask in _questions(options.records).items():
            took = sorted(api.timed("GET", ask(turn)) for turn in range(_TURNS))
            figures.add(f"{name}, {options.records:,} records", "ms", *took)
        took = sorted(api.timed("POST", "/api/images", drawn(at), expected=(201,)) for at in range(_TURNS))
        figures.add(f"upload, 400x300, one at a time, {options.records:,} records", "ms", *took)


async def _fill(url: str, records: int) -> None:
    database = Database(url, patience=60)
    await database.open()
    for start in range(0, records, _BATCH):
        batch = range(start, min(start + _BATCH, records))
        await put_many(Images(database), [catalog.record(number) for number in batch])
    await database.close()


def _questions(records: int) -> dict[str, Callable[[int], str]]:
    ids = [catalog.record(number).image_id for number in random.Random(0).sample(range(records), _TURNS)]
    word = [one.rsplit("/", 1)[1].split("_")[0] for one in ids]
    return {
        "get one": lambda n: f"/api/images/{ids[n]}",
        "list 50, newest": lambda _: "/api/images?limit=50",
        "list 1000, newest": lambda _: "/api/images?limit=1000",
        "list 50, by prefix": lambda n: f"/api/images?prefix=photographs/{n:02}/&limit=50",
        "list 50, by tag, format and width": lambda n: f"/api/images?tag={word[n]}&format=png&min_width=3000&limit=50",
        "search two words": lambda n: f"/api/images?q={word[n]}+{word[n - 1]}&limit=50",
        "search the beginning of words": lambda n: f"/api/images?q={word[n][:3]}&limit=50",
        "search one of a kind": lambda n: f"/api/images?q={n * 97:07}&limit=50",
        "similar": lambda n: f"/api/similar/{ids[n]}?distance=10",
        "duplicates, 50 groups": lambda _: "/api/duplicates?limit=50",
        "tags": lambda _: "/api/tags",
    }


def _purge(place: Path, figures: Rounds, _options: argparse.Namespace, photograph: bytes) -> None:
    """Purge one image with all that was made of it."""
    with managed(place) as api:
        _warm_up(api)
        api.call("PUT", "/api/images/a.jpg", photograph, (201,))
        settle(place / "originals" / "a.jpg")
        time.sleep(3)  # the watcher looks at it again
        took = list[float]()
        for _ in range(_ROUNDS):
            for number in range(_RENDITIONS):
                fetch(api.program.address, f"/img/a.jpg?width={20 + number}").expect(200)
            time.sleep(0.5)
            took.append(api.timed("POST", "/api/purge/a.jpg"))
        figures.add(f"purge of one image with {_RENDITIONS} renditions and its mezzanine", "ms", *took)
        figures.add("purge of one image of which nothing is kept", "ms", *_alone(api))


def _alone(api: Api) -> Iterator[float]:
    for _ in range(_TURNS):
        yield api.timed("POST", "/api/purge/a.jpg")


def _first(place: Path, figures: Rounds, _options: argparse.Namespace, photograph: bytes) -> None:
    """Time the first picture of new originals in each width, prepared at ingest and on demand."""
    found = {way: _first_pictures(place / way, way, photograph) for way in ("ingest", "demand")}
    for width in _WIDTHS:
        for way, took in found.items():
            wanted = "<= 40" if way == "ingest" else ""
            figures.add(f"first picture, {width} wide, prepared at {way}", "ms", *took[width], wanted=wanted)


def _first_pictures(place: Path, way: str, photograph: bytes) -> dict[int, list[float]]:
    names = [(width, f"{width}-{turn}.jpg") for turn in range(_ROUNDS) for width in _WIDTHS]
    random.Random(0).shuffle(names)
    originals = place / "originals"
    originals.mkdir(parents=True)
    for number, (_, name) in enumerate(names):
        (originals / name).write_bytes(stamped(photograph, number))
        settle(originals / name)
    took: dict[int, list[float]] = {width: [] for width in _WIDTHS}
    with managed(place, IMGSERVE_RENDERING__PREPARE=way) as api:
        api.until(lambda: api.images() >= len(names))
        if way == "ingest":
            api.until(lambda: api.kept() >= len(names))
        time.sleep(2)
        for width, name in names:
            began = time.perf_counter()
            fetch(api.program.address, f"/img/{name}?width={width}").expect(200)
            took[width].append((time.perf_counter() - began) * 1000)
            time.sleep(0 if way == "ingest" else 0.5)  # what it writes after the answer is not in the way of the next
    return took


def _warm_up(api: Api) -> None:
    """Make the server load what it loads at first use."""
    for number in range(8):
        api.call("POST", "/api/images", drawn(10**6 + number), (201,))
    api.call("GET", "/api/images?q=nothing")


_CHAPTERS = {"record": _record, "upload": _upload, "find": _find, "purge": _purge, "first": _first}


if __name__ == "__main__":
    main()
