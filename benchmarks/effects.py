"""Processor time of each effect, border and overlay per megapixel, next to the same libvips calls by hand.

python -m benchmarks.effects [PHOTO]

The picture is in memory and is written to memory: neither decoder nor encoder is measured, nor is planning, which takes
about a millisecond a picture. Overlays are drawn anew each time.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyvips

from imgserve.model import Limits
from imgserve.pipeline import load
from imgserve.pipeline.load import recognize
from imgserve.pipeline.order import Order
from imgserve.pipeline.probe import read_header
from imgserve.pipeline.render import draft
from imgserve.pipeline.stages import staged
from imgserve.transform import parse_query

_SAMPLE, _MARK = Path("static/samples/mountains.jpg"), Path("static/samples/compass.svg")
_WIDTH, _HEIGHT = 2000, 1300
_ROUNDS = 9
"""Ours and the bare calls alternate; the least time of each counts."""
_GRAY = [[0.2126, 0.7152, 0.0722]]
_WHITE, _LINE = [255, 255, 255], 40
Call = Callable[[pyvips.Image], pyvips.Image]


def _curve(image: pyvips.Image) -> pyvips.Image:
    return image.maplut((pyvips.Image.identity() * 0.9 + 10).cast("uchar"))


def _mix(image: pyvips.Image) -> pyvips.Image:
    return image.recomb([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]).rint().cast("uchar")


def _vibrance(image: pyvips.Image) -> pyvips.Image:
    red, green, blue = image.bandsplit()
    strongest, weakest = red.bandrank([green, blue], index=2), red.bandrank([green, blue], index=0)
    gray = image.recomb(_GRAY)
    return ((image - gray) * ((strongest - weakest) * -0.002 + 1.6) + gray).rint().cast("uchar")


def _tinted(image: pyvips.Image) -> pyvips.Image:
    table = pyvips.Image.identity().bandjoin([pyvips.Image.identity()] * 2)
    return image.recomb(_GRAY).rint().cast("uchar").maplut(table)


def _sharpened(image: pyvips.Image) -> pyvips.Image:
    soft = pyvips.Image.new_from_list([[1, 2, 1], [2, 4, 2], [1, 2, 1]], scale=16)
    return (image * 1.8 - image.conv(soft, precision="integer") * 0.8).rint().cast("uchar")


def _pixelated(image: pyvips.Image) -> pyvips.Image:
    return image.shrink(12, 12).copy_memory().zoom(12, 12).crop(0, 0, image.width - 12, image.height - 12)


def _framed(image: pyvips.Image) -> pyvips.Image:
    width, height = image.width + 2 * _LINE, image.height + 2 * _LINE
    return image.embed(_LINE, _LINE, width, height, extend="background", background=_WHITE)


def _masked(shape: str) -> Call:
    def call(image: pyvips.Image) -> pyvips.Image:
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{image.width}" height="{image.height}">{shape}</svg>'
        return pyvips.Image.svgload_buffer(svg.encode())[3].ifthenelse(image, _WHITE, blend=True)

    return call


def _marked(image: pyvips.Image) -> pyvips.Image:
    mark = pyvips.Image.svgload_buffer(_MARK.read_bytes(), scale=0.6)
    return image.composite2(mark, "over", x=100, y=100)[:3]


def _written(image: pyvips.Image) -> pyvips.Image:
    ink = pyvips.Image.text("High up", font="sans 48", rgba=True)
    return image.composite2(ink, "over", x=100, y=100)[:3]


_CALLS: Mapping[str, Call] = {
    **dict.fromkeys(
        [f"{name}=30" for name in ("brightness", "contrast", "exposure", "gamma", "highlights", "shadows")], _curve
    ),
    "invert=1": _curve,
    **dict.fromkeys(["saturation=50", "hue=120", "sepia=80"], _mix),
    "vibrance=60": _vibrance,
    "grayscale=1": lambda image: image.recomb(_GRAY).rint().cast("uchar"),
    **dict.fromkeys(["monochrome=0a5f96", "duotone=1d2b53,ffd166"], _tinted),
    "sharpen=40": _sharpened,
    "pixelate=12": _pixelated,
    "blur=40": lambda image: image.gaussblur(4, min_ampl=0.05, precision="integer"),
    "blur=400": lambda image: image.gaussblur(40, min_ampl=0.05, precision="integer"),
    "pad=40&background=fff": _framed,
    "border=40,fff": _framed,
    "mask=ellipse": _masked(f'<ellipse cx="{_WIDTH / 2}" cy="{_HEIGHT / 2}" rx="{_WIDTH / 2}" ry="{_HEIGHT / 2}"/>'),
    "corner-radius=80": _masked(f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="80"/>'),
    f"mark={_MARK.name}&mark-w=300": _marked,
    "text=High+up&text-size=64&text-color=fff": _written,
}


def compared(image: pyvips.Image, data: bytes, query: str, call: Call) -> tuple[float, float]:
    """Return the seconds of our stages, and of the bare calls, on the same pixels."""
    opened = recognize(data, Limits())
    transform = parse_query(f"format=jpg&{query}", strict=True).transform
    order = Order(transform, marks={_MARK.name: _MARK.read_bytes()})
    header = read_header(opened, Limits())

    planned = draft(opened, header, order, decoded=image)

    def ours() -> pyvips.Image:
        drafted = draft(opened, header, order, decoded=image) if planned.job.layers else planned
        return staged(drafted.frames[0], drafted.job)

    works: tuple[Callable[[], pyvips.Image], ...] = (ours, partial(call, image))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for work, seconds in zip(works, times, strict=True):
            started = time.process_time()
            work().copy_memory()
            seconds.append(time.process_time() - started)
    return min(times[0]), min(times[1])


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("photo", type=Path, nargs="?", default=_SAMPLE)
    chosen = options.parse_args()
    load.prepare()
    picture = pyvips.Image.thumbnail(str(chosen.photo), _WIDTH, height=_HEIGHT, crop="centre").colourspace("srgb")
    data = picture.jpegsave_buffer(Q=95, keep="none")
    image = pyvips.Image.new_from_buffer(data, "").copy_memory()
    megapixels = _WIDTH * _HEIGHT / 1e6
    sys.stdout.write("| query | ms/MP | libvips calls, ms/MP | ratio |\n|---|--:|--:|--:|\n")
    for query, call in _CALLS.items():
        ours, bare = (1000 * seconds / megapixels for seconds in compared(image, data, query, call))
        sys.stdout.write(f"| `{query}` | {ours:.1f} | {bare:.1f} | {ours / bare:.2f} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
