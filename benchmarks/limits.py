"""How far each step of a picture is from the bare library call for it, in turns within one process."""

import ctypes
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyvips

from benchmarks.bare_loop import save
from benchmarks.figures import at_most, ratios
from benchmarks.photographs import Photograph
from benchmarks.setup import Setup
from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.reduction import jpeg_shrink
from imgserve.model import Limits
from imgserve.pipeline import fast, load
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, draft_reduced, read_mezzanine, write_mezzanine
from imgserve.pipeline.order import Order
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import finished
from imgserve.pipeline.stages import staged
from imgserve.pipeline.targets import Encoding, encode_to_targets
from imgserve.transform import Transform

_M_ARENA_MAX = -8
_WANTED = 1.3
_SLOW = ("webp", "avif")
_SLOW_STEP = 4
"""Every so many widths are enough for what takes long."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step done by imgserve, and by the library alone."""

    name: str
    megapixels: float
    """Of the input of decoding and resampling, else of the picture."""
    ours: Callable[[], object]
    bare: Callable[[], object]


def measure(setup: Setup) -> None:
    """Alternate between the steps of imgserve and the bare calls, with default settings."""
    load.prepare()
    # As a rendering process begins.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    fast.codecs()
    folder = setup.new_folder()
    folder.mkdir()
    rows: dict[str, list[list[float]]] = defaultdict(list)
    for _ in setup.pace.turns():
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for number, photograph in enumerate(setup.gallery.photographs):
            for step in _steps(photograph, folder / str(number), setup.gallery.srcset()):
                spent = step.megapixels, _seconds(step.ours), _seconds(step.bare)
                for at, value in enumerate(spent):
                    sums[step.name][at] += value
        for name, total in sums.items():
            rows[name].append(total)
    for name, measured in rows.items():
        setup.figures.add(f"{name}: imgserve", "MP/s", [megapixels / ours for megapixels, ours, _ in measured if ours])
        setup.figures.add(f"{name}: bare call", "MP/s", [megapixels / bare for megapixels, _, bare in measured if bare])
        wanted = None if any(slow in name for slow in _SLOW) else at_most(_WANTED)
        found = ratios([ours for _, ours, _ in measured], [bare for _, _, bare in measured])
        setup.figures.add(f"{name}: time of imgserve / bare call", "ratio", found, wanted)


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _steps(photograph: Photograph, file: Path, widths: list[int]) -> Iterator[Step]:
    data = photograph.path.read_bytes()
    opened = recognize(data, Limits())
    shrink = jpeg_shrink(Size(photograph.width, photograph.height)) or 1
    yield Step(
        "decode a JPEG for its mezzanine",
        photograph.megapixels,
        lambda: opened.open(access="sequential", shrink=shrink).copy_memory(),
        lambda: pyvips.Image.jpegload_buffer(data, shrink=shrink, access="sequential").copy_memory(),
    )
    if not file.exists():
        with file.open("wb") as written:
            write_mezzanine(written.fileno(), Decoded(opened, read_header(opened, Limits())).mezzanine())
    for at, width in enumerate(widths):
        yield from _of_width(file, width, _SLOW if at % _SLOW_STEP == 1 else ())


def _of_width(file: Path, width: int, slow: tuple[str, ...]) -> Iterator[Step]:
    order = Order(Transform(width=width, format="jpg"))
    with file.open("rb") as mapped:
        drafted = draft_reduced(read_mezzanine(mapped.fileno()), order)
    if drafted is None:
        return
    [level], job = drafted.frames, drafted.job
    pixels = staged(level, job).copy_memory()
    across, down = pixels.width / level.width, pixels.height / level.height
    megapixels = pixels.width * pixels.height / 1e6

    def resample() -> pyvips.Image:
        return level.resize(across, vscale=down, kernel="lanczos3", gap=0.0)

    yield Step(
        "resample a level of a mezzanine",
        level.width * level.height / 1e6,
        lambda: staged(level, job).copy_memory(),
        lambda: resample().copy_memory(),
    )
    for name in ("jpg", *slow):
        encoding = Encoding(pixels, FORMATS[name], Transform(format=name), order.encoders, "none")
        yield Step(
            f"encode {name}",
            megapixels,
            lambda encoding=encoding: encode_to_targets(encoding),  # type: ignore[misc]  # inferred
            lambda name=name: save(pixels, name),  # type: ignore[misc]  # inferred
        )

    def whole() -> object:
        with file.open("rb") as mapped:
            drafted = draft_reduced(read_mezzanine(mapped.fileno()), order)
        assert drafted is not None
        return finished(drafted, order.encoders)

    yield Step("a further JPEG", megapixels, whole, lambda: save(resample(), "jpg"))
