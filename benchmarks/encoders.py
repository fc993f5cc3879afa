"""What each encoder setting costs and gains on the photographs of a folder, at equal structural similarity.

    python -m benchmarks.encoders FOLDER [--formats jpg,webp] [--widths 400,1200]

Prints Markdown tables. Times are processor time of one thread, the quicker of two, so that other work on the machine
spoils them little.
"""

import argparse
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyvips

from benchmarks.candidates import CANDIDATES, REFERENCE, REFERENCE_QUALITY, Candidate
from benchmarks.ssim import Likeness, flattened

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Subject:
    """One photograph at one output size, with its reference."""

    name: str
    pixels: pyvips.Image
    likeness: Likeness
    target: float
    """SSIM of the reference encoding."""
    reference_bytes: int

    @property
    def megapixels(self) -> float:
        return float(self.pixels.width * self.pixels.height / 1e6)


@dataclass(frozen=True)
class Measured:
    """One candidate on one subject."""

    milliseconds: float
    size: float
    quality: float | None
    ssim: float
    color_error: float


def subjects(folder: Path, width: int) -> list[Subject]:
    """Resize every photograph that is at least so wide."""
    made = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _PICTURES:
            continue
        if pyvips.Image.new_from_file(str(path)).width < width:
            continue
        image = flattened(pyvips.Image.thumbnail(str(path), width, height=10**6, size="down"))
        pixels = image.colourspace("srgb").cast("uchar").copy_memory()
        likeness, encoded = Likeness(pixels), REFERENCE.encode(pixels, REFERENCE_QUALITY)
        made.append(Subject(path.stem, pixels, likeness, likeness.ssim(_decoded(encoded)), len(encoded)))
    return made


def measure(candidate: Candidate, subject: Subject, guess: int) -> Measured:
    """Find the quality that is as like the original as the reference, then time it."""
    if not candidate.lossy:
        return _timed(candidate, subject, None, None)
    known: dict[int, tuple[float, int]] = {}

    def look(quality: int) -> tuple[float, int]:
        if quality not in known:
            data = candidate.encode(subject.pixels, quality)
            known[quality] = (subject.likeness.ssim(_decoded(data)), len(data))
        return known[quality]

    quality = _least(lambda quality: look(quality)[0] >= subject.target, guess)
    return _timed(candidate, subject, quality, _between(look(quality - 1), look(quality), subject.target))


def _least(enough: Callable[[int], bool], guess: int) -> int:
    """Bisect for the least quality that is enough, looking first where it is likely."""
    low, high, stride = 2, 100, 4
    at = guess
    while low < high:
        if enough(at):
            high = at
            at = max(low, at - stride)
        else:
            low = at + 1
            at = min(high, at + stride)
        stride *= 2
        if high - low < 2 * stride:
            at = (low + high) // 2
    return high


def _between(below: tuple[float, int], above: tuple[float, int], target: float) -> tuple[float, float]:
    """Interpolate the step that is left of an integer quality: the part of it that is needed, and bytes there."""
    rise = above[0] - below[0]
    part = (target - below[0]) / rise if rise > 0 else 1.0
    part = min(1.0, max(0.0, part))
    return part, math.exp(math.log(below[1]) + part * (math.log(above[1]) - math.log(below[1])))


def _timed(
    candidate: Candidate, subject: Subject, quality: int | None, between: tuple[float, float] | None
) -> Measured:
    data, best = b"", math.inf
    for _ in range(2):
        started = time.process_time()
        data = candidate.encode(subject.pixels, quality)
        best = min(best, time.process_time() - started)
        if best > 1:
            break
    picture = _decoded(data)
    part, size = between or (1.0, float(len(data)))
    exact = None if quality is None else quality - 1 + part
    seen = subject.likeness
    return Measured(best * 1000, size, exact, seen.ssim(picture), seen.color_error(picture))


def _decoded(data: bytes) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(data, "").copy_memory()


def table(width: int, chosen: Sequence[Candidate], found: Sequence[Subject]) -> Iterable[str]:
    """Print one size as Markdown, a row as soon as it is known."""
    pixels = statistics.fmean(subject.megapixels for subject in found)
    kilobytes = statistics.fmean(subject.reference_bytes for subject in found) / 1000
    yield f"### {width} pixels wide\n"
    yield f"{len(found)} pictures, on average {pixels:.2f} megapixels and {kilobytes:.0f} KB as JPEG.\n"
    yield "| format | setting | ms | bytes to JPEG | quality (range) | SSIM | color error |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    guesses = [REFERENCE_QUALITY] * len(found)
    before = ""
    for candidate in chosen:
        if candidate.format != before:
            guesses, before = [70] * len(found), candidate.format
        rows = [measure(candidate, subject, guess) for subject, guess in zip(found, guesses, strict=True)]
        guesses = [
            guess if row.quality is None else round(row.quality) for row, guess in zip(rows, guesses, strict=True)
        ]
        yield _row(candidate, rows, found)


def _row(candidate: Candidate, rows: Sequence[Measured], found: Sequence[Subject]) -> str:
    ratio = statistics.geometric_mean(
        row.size / subject.reference_bytes for row, subject in zip(rows, found, strict=True)
    )
    qualities = [row.quality for row in rows if row.quality is not None]
    quality = f"{statistics.median(qualities):.1f} ({min(qualities):.0f}..{max(qualities):.0f})" if qualities else "-"
    milliseconds = statistics.fmean(row.milliseconds for row in rows)
    ssim, error = (
        statistics.fmean(values) for values in zip(*((row.ssim, row.color_error) for row in rows), strict=True)
    )
    return (
        f"| {candidate.format} | {candidate.label} | {milliseconds:.1f} | {ratio:.3f} | {quality} | {ssim:.4f} | "
        f"{error:.2f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--formats", default="jpg,webp,avif,png,gif,tiff")
    parser.add_argument("--widths", default="400,1200")
    parser.add_argument("--label", default="", help="only settings whose label has this in it")
    options = parser.parse_args()
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    formats = options.formats.split(",")
    chosen = [item for item in CANDIDATES if item.format in formats and options.label in item.label]
    version = ".".join(str(pyvips.version(part)) for part in range(3))
    print(f"{time.strftime('%Y-%m-%d')}, libvips {version}, {os.cpu_count()} cores, {platform.machine()}\n")
    for width in map(int, options.widths.split(",")):
        for line in table(width, chosen, subjects(options.folder, width)):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
