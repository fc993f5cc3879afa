"""What it costs to read the facts of an original, step by step, on real photographs.

    python -m benchmarks.facts FOLDER

Prints a Markdown table: milliseconds of processor time a picture, least of several runs.
"""

import argparse
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from imgserve.errors import ImgserveError
from imgserve.model import Limits
from imgserve.pipeline import load
from imgserve.pipeline.blurhash import blurhash
from imgserve.pipeline.color import color_space
from imgserve.pipeline.facts import decode_small, facts_of, open_small
from imgserve.pipeline.load import recognize
from imgserve.pipeline.metadata import read_embedded
from imgserve.pipeline.perceptual import as_picture, palette, perceptual_hash, thumbhash
from imgserve.pipeline.probe import read_header

T = TypeVar("T")

_RUNS = 5
_COLUMNS = ("hash", "open", "texts", "decode", "likeness", "color", "thumbhash", "all")


class Stopwatch:
    """The least time that each step took."""

    def __init__(self) -> None:
        self.least: dict[str, float] = {}

    def __call__(self, name: str, step: Callable[[], T]) -> T:
        began = time.process_time()
        result = step()
        self.least[name] = min(self.least.get(name, float("inf")), time.process_time() - began)
        return result


def step_by_step(timed: Stopwatch, data: bytes, limits: Limits) -> None:
    """Do the steps of `facts_of` once."""
    timed("hash", lambda: hashlib.sha256(data))
    opened = recognize(data, limits)
    header = read_header(opened, limits)
    image = timed("open", lambda: open_small(opened, header))
    timed("texts", lambda: (read_embedded(image, opened), color_space(image)))
    small = timed("decode", lambda: as_picture(decode_small(image, opened, header, limits)[0]))
    timed("likeness", lambda: perceptual_hash(small))
    timed("color", lambda: palette(small))
    timed("thumbhash", lambda: thumbhash(small))
    timed("blurhash", lambda: blurhash(small))


def measured(data: bytes) -> dict[str, float]:
    """Time every step, and all together."""
    timed, limits = Stopwatch(), Limits()
    for _ in range(_RUNS):
        step_by_step(timed, data, limits)
        timed("all", lambda: facts_of(data, "", limits))
    return timed.least


def main() -> None:
    """Measure every picture of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    load.prepare()
    print(f"| picture | megapixels | {' | '.join(_COLUMNS)} |")
    print(f"|---|{'---|' * (len(_COLUMNS) + 1)}")
    for path in sorted(each for each in parser.parse_args().folder.rglob("*") if each.is_file()):
        data = path.read_bytes()
        try:
            facts = facts_of(data, "", Limits())
        except ImgserveError as error:
            print(f"| {path.name} | {error.code} |")
            continue
        least = measured(data)
        figures = " | ".join(f"{least[name] * 1e3:.1f}" for name in _COLUMNS)
        print(f"| {path.name} | {facts.width * facts.height / 1e6:.1f} | {figures} |")


if __name__ == "__main__":
    main()
