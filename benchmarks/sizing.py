"""Which tier answers a request, by the size of the caches: a simulation, whose plot is in docs/sizing.md.

python -m benchmarks.sizing [--requests N] [--plot FILE]

Requests choose originals by a Zipf distribution, a width of a srcset and a format as browsers accept them. The tiers
have the default budgets of the settings, and evict the least recently used as those of the server do.
"""

import argparse
import itertools
import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from cachetools import LRUCache

from imgserve.cache.memory import ENTRY_BYTES
from imgserve.config.pictures import CacheConfig

WIDTHS = (320, 480, 640, 800, 1024, 1280, 1600, 1920)
WIDTH_SHARES = (0.10, 0.18, 0.18, 0.15, 0.12, 0.12, 0.08, 0.07)
KILOBYTES = {
    "avif": (12, 24, 39, 57, 86, 126, 182, 245),
    "webp": (14, 30, 50, 73, 112, 164, 239, 323),
    "jpg": (17, 33, 55, 80, 124, 183, 269, 370),
}
"""Mean sizes of renditions of five photographs of 6 to 22 megapixels."""
MILLISECONDS = {
    "avif": (12, 22, 32, 50, 78, 132, 178, 248),
    "webp": (10, 16, 24, 32, 56, 78, 116, 142),
    "jpg": (6, 6, 9, 10, 16, 22, 26, 28),
}
"""Processor time to render them from a mezzanine."""
FORMAT_SHARES = {"avif": 0.75, "webp": 0.2, "jpg": 0.05}
DECODING = 220
"""Milliseconds of processor time to decode an original, and to write its mezzanine."""
MEZZANINE_BYTES = 24 * 10**6
OUTCOMES = ("memory", "disk", "mezzanine", "original")
COLORS = ("#1b6ca8", "#5fa8d3", "#f2b134", "#d1495b")
HIT = {"memory": 0.016, "disk": 0.06}
"""Milliseconds of processor time."""
DEFAULTS = CacheConfig()


@dataclass(frozen=True, slots=True)
class Budgets:
    """Bytes of each tier; of the server unless stated otherwise."""

    memory: int = DEFAULTS.memory_bytes
    disk: int = DEFAULTS.disk_bytes
    mezzanines: int = DEFAULTS.mezzanine_bytes


@dataclass(frozen=True, slots=True)
class Result:
    """The shares of requests by where the picture came from, and the processor time of a request."""

    shares: dict[str, float]
    milliseconds: float


def simulate(
    originals: int, budgets: Budgets, *, exponent: float = 1.0, requests: int = 400_000, seed: int = 1
) -> Result:
    """Return who answers in the second half of the requests; the first one fills the caches."""
    memory, disk = (LRUCache[int, int](size, getsizeof=int) for size in (budgets.memory, budgets.disk))
    mezzanines = LRUCache[int, int](budgets.mezzanines, getsizeof=int)
    counts, milliseconds = dict.fromkeys(OUTCOMES, 0), 0.0
    for number, (original, name, width) in enumerate(random_requests(originals, exponent, requests, seed)):
        key, size = (original * 8 + width) * 3 + list(KILOBYTES).index(name), KILOBYTES[name][width] * 1000
        if memory.get(key):
            outcome = "memory"
        elif disk.get(key):
            outcome = "disk"
        else:
            outcome = "mezzanine" if mezzanines.get(original) else "original"
            _put(disk, key, size)
            _put(mezzanines, original, MEZZANINE_BYTES)
        if outcome != "memory":
            _put(memory, key, size + ENTRY_BYTES)
        if number >= requests // 2:
            counts[outcome] += 1
            decoding = DECODING if outcome == "original" else 0
            milliseconds += HIT.get(outcome, MILLISECONDS[name][width] + decoding)
    total = sum(counts.values())
    return Result({outcome: count / total for outcome, count in counts.items()}, milliseconds / total)


def random_requests(originals: int, exponent: float, number: int, seed: int) -> Iterable[tuple[int, str, int]]:
    """Yield original, format and index of the width of requests, the same for equal arguments."""
    chance = random.Random(seed)
    weights = list(itertools.accumulate(1 / rank**exponent for rank in range(1, originals + 1)))
    names, shares = zip(*FORMAT_SHARES.items(), strict=True)
    return zip(
        chance.choices(range(originals), cum_weights=weights, k=number),
        chance.choices(names, shares, k=number),
        chance.choices(range(len(WIDTHS)), WIDTH_SHARES, k=number),
        strict=True,
    )


def _put(cache: "LRUCache[int, int]", key: int, size: int) -> None:
    if size <= cache.maxsize:
        cache[key] = size


_LEFT, _TOP, _WIDTH, _HEIGHT = 60, 50, 600, 260


def plot(title: str, sizes: Sequence[float], results: Sequence[Result]) -> str:
    """Return an SVG of stacked shares by the size of the disk tier in gigabytes, on a logarithmic axis."""
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    xs = [_LEFT + _WIDTH * (math.log(size) - low) / (high - low) for size in sizes]
    bottom = [0.0] * len(sizes)
    parts = []
    for outcome, color in zip(OUTCOMES, COLORS, strict=True):
        top = [below + result.shares[outcome] for below, result in zip(bottom, results, strict=True)]
        outline = [(x, _y(value)) for x, value in zip(xs, top, strict=True)]
        outline += reversed([(x, _y(value)) for x, value in zip(xs, bottom, strict=True)])
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
        parts.append(f'<polygon points="{points}" fill="{color}"/>')
        bottom = top
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        parts.append(f'<path d="M{_LEFT} {y}H{_LEFT + _WIDTH}" stroke="#fff" stroke-opacity=".5"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{percent} %</text>')
    for x, size in zip(xs, sizes, strict=True):
        parts.append(f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{size:g}</text>')
    parts.append(f'<text x="{_LEFT + _WIDTH / 2}" y="{_TOP + _HEIGHT + 38}" text-anchor="middle">disk tier, GB</text>')
    parts.append(f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>')
    names = ("memory tier", "disk tier", "rendered from a mezzanine", "rendered from the original")
    for place, (name, color) in enumerate(zip(names, COLORS, strict=True)):
        x = _LEFT + (0, 110, 200, 390)[place]
        parts.append(
            f'<rect x="{x}" y="29" width="11" height="11" fill="{color}"/><text x="{x + 16}" y="39">{name}</text>'
        )
    width, height = _LEFT + _WIDTH + 20, _TOP + _HEIGHT + 50
    view = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {view}>'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>", ""])


def _y(share: float) -> float:
    return round(_TOP + _HEIGHT * (1 - share), 1)


def main() -> int:
    """Print a table, and write the plot."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=2_000_000, help="per row")
    options.add_argument("--plot", type=Path, default=Path("docs/sizing.svg"))
    chosen = options.parse_args()
    sys.stdout.write(f"| originals | Zipf | {' | '.join(OUTCOMES)} | ms |\n|--:|--:|{'--:|' * (len(OUTCOMES) + 1)}\n")
    for originals, exponent in itertools.product((1_000, 10_000, 100_000), (1.0, 0.8)):
        result = simulate(originals, Budgets(), exponent=exponent, requests=chosen.requests)
        cells = [f"{originals:,}", f"{exponent:g}", *(f"{share:.1%}" for share in result.shares.values())]
        sys.stdout.write(f"| {' | '.join([*cells, f'{result.milliseconds:.1f}'])} |\n")
        sys.stdout.flush()
    sizes = (0.5, 1, 2, 4, 8, 16, 32, 64)
    results = [simulate(20_000, Budgets(disk=int(size * 1e9)), requests=chosen.requests) for size in sizes]
    chosen.plot.write_text(plot("20,000 originals, Zipf 1.0, 256 MB of memory, 2 GB of mezzanines", sizes, results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
