"""What a mezzanine saves, plain and in more compact forms, on real photographs.

    python -m benchmarks.mezzanine FOLDER

Prints a Markdown table: processor time of a picture (least of several runs), bytes, likeness to the direct picture.
Pixels under Zstandard are measured where the package `zstandard` is installed.
"""

import argparse
import importlib
import importlib.util
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyvips

from benchmarks.ssim import Likeness, flattened
from imgserve.geometry.box import Size
from imgserve.model import Limits, Rendition
from imgserve.pipeline import load
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, Level, Mezzanine, draft_reduced, read_mezzanine, write_mezzanine
from imgserve.pipeline.order import Order
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import finished, render
from imgserve.transform import Transform

_RUNS = 5
_WIDTHS = (320, 800, 1600)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to store a mezzanine."""

    name: str
    size: int
    write_ms: float
    open: Callable[[Transform], Mezzanine]
    """Returns a mezzanine that a transform can be rendered from."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("folder", type=Path, help="photographs, large ones")
    load.prepare()
    print(
        "| photograph | made from | MB | written ms |"
        + "".join(f" {width} wide ms | PSNR dB | SSIM |" for width in _WIDTHS)
    )
    print("|---|---|--:|--:|" + "--:|--:|--:|" * len(_WIDTHS))
    for path in sorted(parser.parse_args().folder.iterdir()):
        if path.suffix in {".jpg", ".png"}:
            _measure(path)


def _measure(path: Path) -> None:
    data = path.read_bytes()
    opened = recognize(data, Limits())
    header = read_header(opened, Limits())
    name = f"{path.name} {header.width}x{header.height}"
    orders = [Order(Transform(width=width, format="jpg")) for width in _WIDTHS]
    cells = [f" {_least(lambda order=order: render(data, order.transform)):.1f} | | |" for order in orders]  # type: ignore[misc]  # inferred
    print(f"| {name} | original | {len(data) / 1e6:.2f} | |" + "".join(cells), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for form in _forms(Decoded(opened, header), Path(folder) / "mezzanine"):
            cells = [_cell(data, form, order) for order in orders]
            print(
                f"| {name} | {form.name} | {form.size / 1e6:.2f} | {form.write_ms:.0f} |" + "".join(cells), flush=True
            )


def _reduced(mezzanine: Mezzanine, order: Order) -> Rendition | None:
    drafted = draft_reduced(mezzanine, order)
    return None if drafted is None else finished(drafted, order.encoders)


def _cell(data: bytes, form: Form, order: Order) -> str:
    made = _reduced(form.open(order.transform), order)
    if made is None:
        return " - | | |"
    spent = _least(lambda: _reduced(form.open(order.transform), order))
    lossless = replace(order, transform=replace(order.transform, format="png"))
    direct = render(data, lossless.transform)
    reduced = _reduced(form.open(order.transform), lossless)
    assert reduced is not None
    first, second = (pyvips.Image.new_from_buffer(picture.data, "") for picture in (direct, reduced))
    error = float(((flattened(first).cast("float") - flattened(second)) ** 2).avg())
    psnr = 10 * math.log10(255**2 / max(error, 1e-9))
    return f" {spent:.1f} | {psnr:.1f} | {Likeness(first).ssim(second):.4f} |"


def _forms(decoded: Decoded, path: Path) -> Iterator[Form]:
    mezzanine = decoded.mezzanine()
    full = mezzanine.levels[0].open()
    with path.open("wb") as file:
        spent = _once(lambda: write_mezzanine(file.fileno(), mezzanine))
    yield Form("plain pixels", path.stat().st_size, spent, lambda _: _mapped(path))
    for quality in (95, 90):
        options: dict[str, Any] = {"Q": quality, "subsample_mode": "off"}
        packed = full.jpegsave_buffer(**options)
        spent = _least(lambda options=options: full.jpegsave_buffer(**options))  # type: ignore[misc]  # inferred

        def from_jpeg(transform: Transform, packed: bytes = packed) -> Mezzanine:
            width = transform.width if isinstance(transform.width, int) else full.width
            shrink = next((shrink for shrink in (4, 2) if full.width >= 2 * shrink * width), 1)
            level = pyvips.Image.jpegload_buffer(packed, shrink=shrink, access="sequential")
            return replace(mezzanine, levels=[Level(Size(level.width, level.height), level.copy)])

        yield Form(f"JPEG {quality}, 4:4:4", len(packed), spent, from_jpeg)
    if importlib.util.find_spec("zstandard"):
        zstandard = importlib.import_module("zstandard")
        pixels = full.write_to_memory()
        packed = zstandard.ZstdCompressor(level=1).compress(pixels)
        spent = _least(lambda: zstandard.ZstdCompressor(level=1).compress(pixels))

        def from_zstandard(_: Transform) -> Mezzanine:
            unpacked = zstandard.ZstdDecompressor().decompress(packed)
            level = pyvips.Image.new_from_memory(unpacked, full.width, full.height, full.bands, "uchar")
            level = level.copy(interpretation=full.interpretation)
            return replace(mezzanine, levels=[replace(mezzanine.levels[0], open=level.copy)])

        yield Form("Zstandard 1", len(packed), spent, from_zstandard)


def _mapped(path: Path) -> Mezzanine:
    with path.open("rb") as file:
        return read_mezzanine(file.fileno())


def _once(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def _least(work: Callable[[], object]) -> float:
    return min(_once(work) for _ in range(_RUNS))


if __name__ == "__main__":
    main()
