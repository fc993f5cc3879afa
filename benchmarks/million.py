"""What a full cache folder costs: cost of each step as it grows, start and memory of a server over it.

    python -m benchmarks.million [--entries N] [--json FILE] [--folder PLACE]

Files are tiny, a million of them take some 5 GB and 1.1 million inodes below PLACE until the end.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import full_server
from benchmarks.filling import PER_IMAGE, PICTURE, fill, key
from benchmarks.rounds import HEAD, Rounds, machine
from imgserve.cache import DiskTier, RenditionKey
from imgserve.model import Rendition

_ROUNDS = 5
_CALLS = 400
_IMAGES = 12
_NEW = 10**9
"""Numbers from here on name renditions that are not in the folder."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--folder", type=Path, help="where there is room; the system's place for temporary files")
    parser.add_argument("--only", choices=["steps", "serving"], help="a part")
    options = parser.parse_args()
    print(f"{machine()}\n\n{HEAD}", flush=True)
    figures = Rounds()
    place = Path(tempfile.mkdtemp(prefix="imgserve-million-", dir=options.folder))
    try:
        _run(place, options.entries, options.only, figures)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if options.json:
        figures.write(options.json)


def _run(place: Path, entries: int, only: str | None, figures: Rounds) -> None:
    cache = place / "cache"
    cache.mkdir()
    empty = full_server.measure_empty(place, _ROUNDS, figures) if only != "steps" else None
    filled = 0
    for size in sorted({min(10**power, entries) for power in range(3, 7)}):
        fill(cache, filled, size)
        filled = size
        os.sync()
        if only != "serving":
            steps(cache, size, size, figures)
    if empty is not None:
        full_server.measure(place, entries, empty, figures)


def steps(cache: Path, entries: int, size: int, figures: Rounds) -> None:
    """Measure each step of the disk tier over so many entries, of which the first `size` have files."""
    tier = DiskTier(cache, 10**12, 10**9)
    chosen = random.Random(size)
    # The newer half; the other half is evicted from.
    images = chosen.sample(range(size // PER_IMAGE // 2, size // PER_IMAGE), _ROUNDS * _IMAGES)
    steps: dict[str, Callable[[], float]] = {
        "get hit": lambda: _each(tier.get, [key(chosen.randrange(size)) for _ in range(_CALLS)]),
        "get hit at once": lambda: _at_once(tier, [key(chosen.randrange(size)) for _ in range(_CALLS)]),
        "get miss": lambda: _each(tier.get, [key(_NEW + chosen.randrange(10**9)) for _ in range(_CALLS)]),
        "put": lambda: _put(tier, chosen),
        "evict one": lambda: _evict(cache, tier),
        "purge of one image": lambda: _purge(tier, [images.pop() for _ in range(_IMAGES)]),
        "stats": lambda: _each(lambda _: tier.stats(), [key(0)] * 100),
    }
    for name, step in steps.items():
        rounds = [step() * 1e6 for _ in range(_ROUNDS)]
        figures.add(f"{name}, {entries:,} entries", "us", *rounds, wanted="flat")
    tier.close()
    fill(cache, 0, size)


def _each(step: Callable[[RenditionKey], object], keys: list[RenditionKey]) -> float:
    """Return the processor seconds of one call."""
    before = time.process_time()
    for one in keys:
        step(one)
    return (time.process_time() - before) / len(keys)


def _at_once(tier: DiskTier, keys: list[RenditionKey]) -> float:
    for one in keys:
        tier.get_nonblocking(one)
        tier.get(one)
    return _each(tier.get_nonblocking, keys)


def _put(tier: DiskTier, chosen: random.Random) -> float:
    picture = Rendition(PICTURE, "image/png", 1, 1)
    keys = [key(_NEW + chosen.randrange(10**9)) for _ in range(_CALLS)]
    spent = _each(lambda one: tier.put(one, picture), keys)
    for one in keys:
        tier.discard(one)
    return spent


def _evict(cache: Path, tier: DiskTier) -> float:
    before = tier.stats()
    small = DiskTier(cache, 10**12, before.entries - 50)
    started = time.process_time()
    small.evict_to_budget()
    spent = time.process_time() - started
    small.close()
    return spent / (before.entries - tier.stats().entries)


def _purge(tier: DiskTier, images: list[int]) -> float:
    return _each(lambda one: tier.purge(one.image_id), [key(number * PER_IMAGE) for number in images])


if __name__ == "__main__":
    main()
