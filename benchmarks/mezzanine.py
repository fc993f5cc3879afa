"""What a mezzanine saves, plain and compact, on real photographs.

    python -m benchmarks.mezzanine FOLDER

Prints a Markdown table: processor time of a picture (least of several runs), bytes, likeness to the direct picture.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyvips

from benchmarks.ssim import Likeness, flattened
from imgserve.model import Limits, Rendition
from imgserve.pipeline import load
from imgserve.pipeline.load import recognize
from imgserve.pipeline.mezzanine import Decoded, Mezzanine, draft_reduced, read_mezzanine, write_mezzanine
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
    open: Callable[[], Mezzanine]
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
    made = _reduced(form.open(), order)
    if made is None:
        return " - | | |"
    spent = _least(lambda: _reduced(form.open(), order))
    lossless = replace(order, transform=replace(order.transform, format="png"))
    direct = render(data, lossless.transform)
    reduced = _reduced(replace(form.open(), compact=False), lossless)
    assert reduced is not None
    first, second = (pyvips.Image.new_from_buffer(picture.data, "") for picture in (direct, reduced))
    error = float(((flattened(first).cast("float") - flattened(second)) ** 2).avg())
    psnr = 10 * math.log10(255**2 / max(error, 1e-9))
    return f" {spent:.1f} | {psnr:.1f} | {Likeness(first).ssim(second):.4f} |"


def _forms(decoded: Decoded, path: Path) -> Iterator[Form]:
    mezzanine = decoded.mezzanine()
    with path.open("wb") as file:
        spent = _once(lambda: write_mezzanine(file.fileno(), mezzanine))
    yield Form("plain pixels", path.stat().st_size, spent, lambda: _mapped(path))
    with path.open("wb") as file:
        spent = _once(lambda: write_mezzanine(file.fileno(), mezzanine, compact=True))
    yield Form("compact", path.stat().st_size, spent, lambda: _mapped(path))


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
