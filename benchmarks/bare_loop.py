"""The floor for misses: threads that read, thumbnail and encode with pyvips, and nothing else.

    python -m benchmarks.bare_loop

Reads one JSON list of `[path, width, format]` a line; answers each with the seconds it took with two threads. Has the
niceness and the one libvips thread of a rendering process, and its encoder settings.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyvips

from imgserve.formats import FORMATS
from imgserve.pipeline import vips
from imgserve.pipeline.encode import EncoderSettings, encode
from imgserve.pipeline.process import Discipline
from imgserve.transform import Transform

IN_FLIGHT = 2
_SETTINGS = EncoderSettings()


def picture(path: str, width: int, name: str) -> int:
    """Make one picture; tell its bytes."""
    image = pyvips.Image.thumbnail_buffer(Path(path).read_bytes(), width, height=10**6, size="down")
    output = FORMATS[name]
    if image.hasalpha() and not output.alpha:
        image = image.flatten(background=[255])
    return len(encode(image, output, Transform(format=name), _SETTINGS, keep="none"))


def main() -> None:
    """Answer lines until there are no more."""
    os.nice(Discipline().niceness)
    vips.prepare()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for line in sys.stdin:
            jobs = json.loads(line)
            started = time.perf_counter()
            sizes = list(pool.map(lambda job: picture(*job), jobs))
            seconds = time.perf_counter() - started
            print(json.dumps({"seconds": seconds, "bytes": sum(sizes)}), flush=True)


if __name__ == "__main__":
    main()
