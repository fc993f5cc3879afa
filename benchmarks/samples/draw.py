"""The sample pictures as files: names, formats, sizes, camera metadata."""

from collections.abc import Callable
from pathlib import Path

import pyvips

from benchmarks.samples.aurora import aurora
from benchmarks.samples.balloon import balloon
from benchmarks.samples.dunes import dunes
from benchmarks.samples.graphics import compass, glass, tide
from benchmarks.samples.mountains import mountains

_ORIENTATION_ON_ITS_SIDE = 6
_PRIVATE = {
    "exif-ifd0-Artist": "imgserve",
    "exif-ifd0-Copyright": "Drawn by imgserve, MIT license",
    "exif-ifd0-Make": "imgserve",
    "exif-ifd2-BodySerialNumber": "0123456789",
    "exif-ifd3-GPSLatitudeRef": "N",
    "exif-ifd3-GPSLatitude": "47/1 3/1 0/1",
    "exif-ifd3-GPSLongitudeRef": "E",
    "exif-ifd3-GPSLongitude": "8/1 18/1 0/1",
}
"""What a camera would have written; a rendition keeps the first two and none of the others."""
_SIGNIFICANT_BITS = 10
"""Of the 16 bits a channel of the aurora; grain in the rest would take three times the bytes."""


def draw_samples(folder: Path, *, scale: float | None = None) -> list[Path]:
    """Draw every sample picture below a folder, and return the paths.

    Without a scale, the pictures have the sizes that are committed in `static/samples`. Scale 1 draws them as large as
    a camera does.
    """
    return [_draw(folder / name, write, scale or committed) for name, write, committed in _SAMPLES]


def _draw(path: Path, write: Callable[[str, float], None], scale: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(str(path), scale)
    return path


def _mountains(path: str, scale: float) -> None:
    mountains(int(6000 * scale), int(4000 * scale)).jpegsave(path, Q=84, interlace=True)


def _balloon(path: str, scale: float) -> None:
    """Store the upright scene as a camera held upright does: turned on its side, with a note in EXIF."""
    stored = balloon(int(4000 * scale), int(6000 * scale)).copy_memory().rot270()
    stored.set_type(pyvips.GValue.gint_type, "orientation", _ORIENTATION_ON_ITS_SIDE)
    for field, value in _PRIVATE.items():
        stored.set_type(pyvips.GValue.gstr_type, field, value)
    stored.jpegsave(path, Q=88)


def _dunes(path: str, scale: float) -> None:
    dunes(int(3000 * scale), int(2000 * scale)).jpegsave(path, Q=88, interlace=True)


def _aurora(path: str, scale: float) -> None:
    step = 2 ** (16 - _SIGNIFICANT_BITS)
    night = aurora(int(1500 * scale), int(1000 * scale))
    rounded = ((night / step).floor() * step).cast("ushort").copy(interpretation="rgb16")
    rounded.pngsave(path, compression=9, filter="all")


def _glass(path: str, scale: float) -> None:
    glass(int(1200 * scale)).pngsave(path)


def _tide(path: str, scale: float) -> None:
    tide(int(640 * scale), int(480 * scale)).gifsave(path)


def _compass(path: str, _scale: float) -> None:
    Path(path).write_text(compass(), encoding="utf-8")


_SAMPLES: tuple[tuple[str, Callable[[str, float], None], float], ...] = (
    ("mountains.jpg", _mountains, 0.4),
    ("balloon.jpg", _balloon, 0.4),
    ("glass.png", _glass, 1),
    ("tide.gif", _tide, 1),
    ("compass.svg", _compass, 1),
    ("travel/aurora.png", _aurora, 1),
    ("travel/Dünen im Wind.jpg", _dunes, 0.8),
)
"""Name below the folder, what draws it, and the scale of the committed picture."""
