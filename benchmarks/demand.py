"""Bytes and processor time of a day of requests: encoding fast once, thoroughly at once, or again on demand.

python -m benchmarks.demand PHOTOS

Encodes the photographs of a folder in every width and format, fast and thoroughly, and draws requests from a Zipf
distribution. Every rendition is rendered once and stays in the cache, as with a disk tier that is large enough.
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyvips

from benchmarks.sizing import FORMAT_SHARES, WIDTHS, random_requests
from benchmarks.ssim import Likeness
from imgserve.formats import FORMATS
from imgserve.pipeline import load
from imgserve.pipeline.encode import encode
from imgserve.pipeline.order import HITS_TO_PAY, EncoderSettings
from imgserve.transform import Transform

_FAST = EncoderSettings()
_THOROUGH = _FAST.thorough()
_ENCODINGS = 2
_MORE_TIME = 0.15
"""Processor time that encoding again may add."""
_DAYS = ((10_000, 1_000_000, 1.0), (1_000, 1_000_000, 1.0), (10_000, 10_000_000, 1.0), (10_000, 1_000_000, 1.2))
"""Originals, requests, and the exponent of their distribution."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one encoding."""

    bytes: int
    seconds: float
    """Processor time, the resampling from a mezzanine included."""
    ssim: float


def measured(path: Path) -> dict[tuple[str, int], tuple[Cost, Cost]]:
    """Return what a photograph costs in each format and width, fast and thoroughly encoded."""
    mezzanine = pyvips.Image.thumbnail(str(path), max(WIDTHS) * 3 // 2).colourspace("srgb").copy_memory()
    costs = dict[tuple[str, int], tuple[Cost, Cost]]()
    for width in WIDTHS:
        started = time.process_time()
        picture = mezzanine.thumbnail_image(width).copy_memory()
        resampling, likeness = time.process_time() - started, Likeness(picture)
        for name in FORMAT_SHARES:
            fast, thorough = (_cost(picture, name, settings, resampling, likeness) for settings in (_FAST, _THOROUGH))
            costs[name, width] = fast, thorough
    return costs


def _cost(picture: pyvips.Image, name: str, settings: EncoderSettings, resampling: float, likeness: Likeness) -> Cost:
    seconds, data = [], b""
    for _ in range(_ENCODINGS):
        started = time.process_time()
        data = encode(picture, FORMATS[name], Transform(format=name), settings, keep="none")
        seconds.append(time.process_time() - started)
    return Cost(len(data), resampling + min(seconds), likeness.ssim(pyvips.Image.new_from_buffer(data, "")))


def table(costs: list[dict[tuple[str, int], tuple[Cost, Cost]]], hits: Mapping[tuple[int, str, int], int]) -> str:
    """Return the rows of each format: bytes and processor time of the three ways, relative to encoding once.

    The bound is what nobody can exceed: it knows all requests beforehand, and spends `_MORE_TIME` where it saves most.
    """
    head = "| format | renditions | encoded again | GB once | bytes at once | bytes on demand | bound | CPU s once "
    head += "| CPU at once | CPU on demand | SSIM fast | SSIM thorough |"
    rows = [head, f"|---|{'--:|' * 11}"]
    for name in FORMAT_SHARES:
        sums, choices = defaultdict[str, float](float), list[tuple[float, int]]()
        for (original, form, width), number in hits.items():
            if form != name:
                continue
            fast, thorough = costs[original % len(costs)][form, WIDTHS[width]]
            later = max(0, number - HITS_TO_PAY[name])
            sums["renditions"] += 1
            sums["again"] += later > 0
            sums["once"] += fast.bytes * number
            sums["at once"] += thorough.bytes * number
            sums["demand"] += fast.bytes * (number - later) + min(fast.bytes, thorough.bytes) * later
            sums["CPU once"] += fast.seconds
            sums["CPU at once"] += thorough.seconds
            sums["CPU demand"] += fast.seconds + (thorough.seconds if later else 0)
            choices.append((thorough.seconds, max(0, fast.bytes - thorough.bytes) * number))
            sums["ssim fast"] += fast.ssim
            sums["ssim thorough"] += thorough.ssim
        count, bound = sums["renditions"], _most_saved(choices, _MORE_TIME * sums["CPU once"])
        cells = [
            name, f"{count:,.0f}", f"{sums['again'] / count:.1%}", f"{sums['once'] / 1e9:.2f}",
            f"{sums['at once'] / sums['once'] - 1:+.1%}", f"{sums['demand'] / sums['once'] - 1:+.1%}",
            f"{-bound / sums['once']:+.1%}", f"{sums['CPU once']:.0f}",
            f"{sums['CPU at once'] / sums['CPU once'] - 1:+.0%}", f"{sums['CPU demand'] / sums['CPU once'] - 1:+.0%}",
            f"{sums['ssim fast'] / count:.4f}", f"{sums['ssim thorough'] / count:.4f}",
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _most_saved(choices: list[tuple[float, int]], seconds: float) -> float:
    """Return the bytes saved by the best choices, of seconds and bytes each, for so much processor time."""
    saved = 0.0
    for cost, gain in sorted(choices, key=lambda choice: choice[1] / choice[0], reverse=True):
        saved += gain * min(1.0, seconds / cost)
        seconds -= cost
        if seconds <= 0:
            break
    return saved


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("photos", type=Path)
    chosen = options.parse_args()
    load.prepare()
    costs = [measured(path) for path in sorted(chosen.photos.glob("*.jpg"))]
    for originals, requests, zipf in _DAYS:
        hits = Counter(random_requests(originals, zipf, requests, seed=1))
        sys.stdout.write(
            f"\n{requests:,} requests for {originals:,} originals, Zipf {zipf:g}\n\n{table(costs, hits)}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
