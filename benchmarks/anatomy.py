"""Where the milliseconds of a miss go, step by step.

    python -m benchmarks.anatomy PHOTOGRAPH

Prints a Markdown table of processor time, the least of several runs.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import jpeg_shrink
from imgserve.model import Limits, Rendition, file_version
from imgserve.pipeline import load, metadata
from imgserve.pipeline.encode import encode
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, Mezzanine, draft_reduced, read_mezzanine, write_mezzanine
from imgserve.pipeline.order import EncoderSettings, Order
from imgserve.pipeline.probe import Header, read_header
from imgserve.pipeline.render import finished, render
from imgserve.pipeline.stages import Job, staged
from imgserve.rendering.pool import RenderingProcess
from imgserve.rendering.wire import ProcessLimits, RenderJob
from imgserve.transform import Transform, canonical, normalize, parse_query

_RUNS = 7
_WIDTH = 800
_QUERY = f"width={_WIDTH}&format=jpg"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("photograph", type=Path, help="a large JPEG")
    path = parser.parse_args().photograph
    load.prepare()
    print(f"| {path.name}, {_WIDTH} wide | ms |\n|---|--:|")
    for name, seconds in _miss(path):
        print(f"| {name} | {seconds * 1000:.2f} |", flush=True)


def _miss(path: Path) -> list[tuple[str, float]]:
    limits, settings = Limits(), EncoderSettings()
    data = path.read_bytes()
    opened = recognize(data, limits)
    header = read_header(opened, limits)
    stored = Size(header.width, header.height)
    order = Order(Transform(width=_WIDTH, format="jpg"))
    transform, output = order.normalized(FORMATS["jpg"])
    made = order.plan(stored, transform, orientation=header.orientation)
    job = Job(made, transform, output, stored)
    shrink = jpeg_shrink(stored)
    decoded = opened.open(access="sequential", shrink=shrink).copy_memory()
    shown = staged(decoded, job).copy_memory()
    kept = metadata.select(shown, transform)

    def decode() -> object:
        return opened.open(access="sequential", shrink=shrink).copy_memory()

    decoding = _least(decode)
    steps: list[tuple[str, float]] = [
        ("parse the query, settle, write the canonical text", _least(lambda: _normalized(_QUERY))),
        ("read the file, recognize, read the header", _least(lambda: _header(path))),
        ("plan", _least(lambda: order.plan(stored, transform))),
        (f"decode at 1/{shrink} of its sides into memory", decoding),
        ("stages: resample, colors", _least(lambda: staged(decoded, job).copy_memory())),
        ("encode", _least(lambda: encode(kept[0], output, transform, settings, keep=kept[1]))),
        ("all of it, alone", _least(lambda: render(data, transform))),
        ("there and back between the processes, beside rendering", _round_trip(path)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "mezzanine"
        mezzanine = Decoded(opened, header).mezzanine()
        reducing = _least(lambda: Decoded(opened, header).mezzanine())
        steps += [
            ("mezzanine, after the answer: reduce, turn, colors", reducing - decoding),
            ("mezzanine: reduced levels", _least(mezzanine.reduced)),
            ("mezzanine: write, half level included", _least(lambda: _written(place, mezzanine))),
            ("another width, from the mezzanine: map", _least(lambda: _mapped(place))),
            ("another width: all of it", _least(lambda: _reduced(place, order))),
        ]
    return steps


def _normalized(query: str) -> str:
    parsed = parse_query(query.encode(), strict=False, presets={}, path_preset=None, default=None, max_side=8192)
    return canonical(normalize(parsed.transform, FORMATS["jpg"], FORMATS["jpg"], qualities=EncoderSettings().quality))


def _header(path: Path) -> Header:
    return read_header(recognize(path.read_bytes(), Limits()), Limits())


def _written(place: Path, mezzanine: Mezzanine) -> None:
    place.unlink(missing_ok=True)
    with place.open("xb") as file:
        write_mezzanine(file.fileno(), mezzanine)


def _mapped(place: Path) -> Mezzanine:
    with place.open("rb") as file:
        return read_mezzanine(file.fileno())


def _reduced(place: Path, order: Order) -> Rendition:
    drafted = draft_reduced(_mapped(place), order)
    assert drafted is not None
    return finished(drafted, order.encoders)


def _round_trip(path: Path) -> float:
    """Return the seconds of wall time that a picture takes in addition to its rendering time."""
    state = path.stat()
    job = RenderJob(str(path), file_version(state.st_mtime_ns, state.st_size), Transform(width=_WIDTH, format="jpg"))

    async def measure() -> float:
        process = await RenderingProcess.launch(ProcessLimits())
        beyond = []
        for _ in range(_RUNS):
            started = time.perf_counter()
            answer = await process.render(job)
            beyond.append(time.perf_counter() - started - getattr(answer, "seconds", 0.0))
        await process.end()
        return min(beyond)

    return uvloop.run(measure())


def _least(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    spent = []
    for _ in range(_RUNS):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


if __name__ == "__main__":
    main()
