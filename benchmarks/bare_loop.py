"""The floor for cold pictures: threads that call pyvips, and nothing else. Run as a program of its own.

Reads one JSON object `{"calls": .., "threads": .., "jobs": [[path, width, format], ..]}` a line; answers each with a
list of seconds: of the whole, then of each picture. Has the niceness, the one libvips thread and the encoder settings
of a rendering process.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyvips

from imgserve.pipeline import load
from imgserve.pipeline.order import EFFORTS, QUALITIES
from imgserve.rendering.wire import ProcessLimits

_SHRINKS = (8, 4, 2)


def thumbnail(data: bytes, width: int) -> pyvips.Image:
    """Reduce a picture in the usual libvips way."""
    return pyvips.Image.thumbnail_buffer(data, width, height=10**6, size="down")


def pipeline(data: bytes, width: int) -> pyvips.Image:
    """Make the pyvips calls of the pipeline for a JPEG in sRGB or with a profile, without its decisions."""
    header = pyvips.Image.jpegload_buffer(data)
    factor = header.width / width
    height = max(1, round(header.height / factor))
    shrink = next((shrink for shrink in _SHRINKS if factor >= 2 * shrink), 1)
    image = pyvips.Image.jpegload_buffer(data, shrink=shrink, access="sequential", fail_on="error")
    image = image.resize(width / image.width, vscale=height / image.height, kernel="lanczos3", gap=0.0)
    if image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True, depth=8)
    return image


def save(image: pyvips.Image, name: str) -> bytes:
    """Encode with libvips and the default settings of imgserve."""
    options: dict[str, Any] = {"Q": QUALITIES[name], "keep": "none"}
    if name == "avif":
        options |= {"compression": "av1", "bitdepth": 8, "subsample_mode": "on"}
    if name in EFFORTS:
        options["effort"] = EFFORTS[name]
    return bytes(image.write_to_buffer(f".{name}", **options))


_CALLS: dict[str, Callable[[bytes, int], pyvips.Image]] = {"thumbnail": thumbnail, "pipeline": pipeline}


def picture(calls: str, path: str, width: int, name: str) -> float:
    """Make one picture; return the seconds."""
    started = time.perf_counter()
    save(_CALLS[calls](Path(path).read_bytes(), width), name)
    return time.perf_counter() - started


def main() -> None:
    """Answer lines until there are no more."""
    os.nice(ProcessLimits().niceness)
    load.prepare()
    for line in sys.stdin:
        requested = json.loads(line)
        with ThreadPoolExecutor(requested["threads"]) as pool:
            started = time.perf_counter()
            each = list(pool.map(lambda job, calls=requested["calls"]: picture(calls, *job), requested["jobs"]))
            seconds = time.perf_counter() - started
        sys.stdout.write(json.dumps([seconds, *each]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
