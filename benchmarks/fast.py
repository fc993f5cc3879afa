"""The encoders of the extra `fast` next to those of libvips, in turns: time, bytes and quality at equal settings.

    python -m benchmarks.fast PHOTOS [--widths 320,640,1280,1920]

SSIMULACRA 2 is measured if the package `ssimulacra2` is installed. Times are processor time, the least of several runs.
"""

import argparse
import importlib.util
import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyvips

from benchmarks.bare_loop import save
from benchmarks.ssim import Likeness
from imgserve.pipeline import fast, load
from imgserve.pipeline.order import EFFORTS, QUALITIES

_OPTIONS: MappingProxyType[str, dict[str, Any]] = MappingProxyType({
    "webp": {"Q": QUALITIES["webp"], "effort": EFFORTS["webp"], "lossless": False},
    "avif": {"Q": QUALITIES["avif"], "effort": EFFORTS["avif"], "lossless": False, "subsample_mode": "on"},
})  # fmt: skip
_RUNS = 5


def _faster(image: pyvips.Image, name: str) -> bytes:
    data = fast.encode(image, name, "none", _OPTIONS[name])
    assert data is not None
    return data


def _timed(encode: Callable[[pyvips.Image, str], bytes], image: pyvips.Image, name: str) -> tuple[float, bytes]:
    started = time.process_time()
    data = encode(image, name)
    return (time.process_time() - started) * 1000, data


def _simulacra(original: pyvips.Image, shown: pyvips.Image) -> float:
    if importlib.util.find_spec("ssimulacra2") is None:
        return float("nan")
    compare = importlib.import_module("ssimulacra2").compute_ssimulacra2
    return float(
        compare(*(io.BytesIO(image.pngsave_buffer(compression=1, keep="none")) for image in (original, shown)))
    )


def measured(image: pyvips.Image, name: str) -> list[tuple[float, int, float, float, float]]:
    """Return milliseconds, bytes, SSIM, color error and SSIMULACRA 2 of both encoders for one picture."""
    turns = [[_timed(encode, image, name) for encode in (save, _faster)] for _ in range(_RUNS)]
    likeness, rows = Likeness(image), []
    for times in zip(*turns, strict=True):
        data = times[0][1]
        shown = pyvips.Image.new_from_buffer(data, "").copy_memory()
        quality = likeness.ssim(shown), likeness.color_error(shown), _simulacra(image, shown)
        rows.append((min(spent for spent, _ in times), len(data), *quality))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--widths", default="320,640,1280,1920")
    options = parser.parse_args()
    load.prepare()
    print(f"libvips {load.version()}, {fast.version()}\n")
    print("| format | width | libvips ms | fast ms | times | bytes | SSIM | | color error | | SSIMULACRA 2 | |")
    print("|---|" + "--:|" * 11)
    for name in _OPTIONS:
        for width in map(int, options.widths.split(",")):
            pictures = []
            for path in sorted(options.photos.glob("*.jpg")):
                reduced = pyvips.Image.thumbnail(str(path), width, height=10**6, size="down").colourspace("srgb")
                pictures.append(measured(reduced.cast("uchar").copy_memory(), name))
            usual, faster = (list(zip(*rows, strict=True)) for rows in zip(*pictures, strict=True))
            times, sizes = (
                statistics.geometric_mean(one / other for one, other in zip(*pair, strict=True))
                for pair in ((usual[0], faster[0]), (faster[1], usual[1]))
            )
            spent = f"{statistics.fmean(usual[0]):.1f} | {statistics.fmean(faster[0]):.1f} | {times:.2f}"
            quality = " | ".join(
                f"{statistics.fmean(values[at]):.{digits}f}"
                for at, digits in ((2, 4), (3, 2), (4, 1))
                for values in (usual, faster)
            )
            print(f"| {name} | {width} | {spent} | {sizes:.3f} | {quality} |", flush=True)


if __name__ == "__main__":
    main()
