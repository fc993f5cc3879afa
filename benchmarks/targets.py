"""What `quality=auto` saves on the photographs of a folder, and how alike the pictures are.

    python -m benchmarks.targets FOLDER [--widths 400,800,1600] [--similarity 0.98]

Prints a Markdown table: bytes and similarity at the default quality and at the automatic one, and the time for each.
The similarity here is that of a Gaussian window, which the search for a quality does not use.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.ssim import Likeness
from imgserve.formats import SIMILARITY
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.order import EncoderSettings
from imgserve.pipeline.render import render
from imgserve.transform import parse_query

_FORMATS = ("jpg", "webp", "avif")


def _made(data: bytes, query: str, settings: EncoderSettings) -> tuple[bytes, float]:
    """Return a rendition and the milliseconds that it took."""
    started = time.process_time()
    rendition = render(data, parse_query(query).transform, encoders=settings)
    return rendition.data, 1000 * (time.process_time() - started)


def measure(photos: list[bytes], width: int, name: str, settings: EncoderSettings) -> str:
    """Return a row of the table."""
    fixed, automatic = list[tuple[int, float, float]](), list[tuple[int, float, float]]()
    for data in photos:
        exact, _ = _made(data, f"w={width}&format=png", settings)
        likeness = Likeness(Recognized(exact, "png", "none").open())
        for rows, query in ((fixed, ""), (automatic, "&q=auto")):
            made, milliseconds = _made(data, f"w={width}&format={name}{query}", settings)
            rows.append((len(made), likeness.ssim(Recognized(made, name, "none").open()), milliseconds))
    cells = [f"{width}", name]
    for rows in (fixed, automatic):
        sizes, alike, times = zip(*rows, strict=True)
        worst, mean = min(alike), statistics.fmean(alike)
        cells += [f"{sum(sizes) / 1000:.0f}", f"{worst:.4f} .. {mean:.4f}", f"{statistics.median(times):.0f}"]
    saved = [1 - many[0] / one[0] for one, many in zip(fixed, automatic, strict=True)]
    cells += [f"{100 * (1 - sum(row[0] for row in automatic) / sum(row[0] for row in fixed)):.0f} %"]
    cells += [f"{100 * statistics.median(saved):.0f} % ({100 * min(saved):.0f} .. {100 * max(saved):.0f})"]
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--widths", default="400,800,1600")
    parser.add_argument("--similarity", type=float, default=SIMILARITY)
    options = parser.parse_args(arguments)
    photos = [path.read_bytes() for path in sorted(options.folder.iterdir()) if path.suffix in {".jpg", ".png"}]
    settings = EncoderSettings(similarity=options.similarity)
    print("| width | format | KB | similarity, least .. mean | ms | KB auto | similarity | ms | saved | per photo |")
    print("|--:|---|--:|---|--:|--:|---|--:|--:|---|")
    for width in map(int, options.widths.split(",")):
        for name in _FORMATS:
            print(measure(photos, width, name, settings), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
