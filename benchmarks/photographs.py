"""The photographs of a folder, laid out so that any of them can be new to every server as often as needed."""

import itertools
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import imagesize

from benchmarks.programs import BenchmarkFailed

_JPEG = {".jpg", ".jpeg"}
_MOST = 5
_LEAST_SIDE = 400
_SRCSET = (320, 480, 640, 800, 1024, 1280, 1600, 1920)
_FULL_WIDTH = 2400
"""Photographs narrower than this are requested in proportionally smaller sizes."""
_NEW_WIDTHS = 16
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Photograph:
    """A JPEG of the folder or below it, upright as it is stored."""

    path: Path
    width: int
    height: int

    @property
    def megapixels(self) -> float:
        """Width x height."""
        return self.width * self.height / 1e6


@dataclass(frozen=True, slots=True)
class Gallery:
    """A folder of originals that is filled with new names."""

    folder: Path
    photographs: tuple[Photograph, ...]
    """At most five, the largest first."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, photograph: Photograph) -> str:
        """Link a photograph under a new name, as an original that no server has seen; return the name."""
        name = f"photograph-{next(self._numbers)}.jpg"
        os.link(photograph.path, self.folder / name)
        return name

    def all_fresh(self) -> list[str]:
        """Link every photograph under a new name; return the names."""
        return [self.fresh(photograph) for photograph in self.photographs]

    @property
    def largest(self) -> Photograph:
        """The one with most pixels."""
        return self.photographs[0]

    @property
    def smallest(self) -> Photograph:
        """The one with fewest."""
        return self.photographs[-1]

    def scaled(self, width: int) -> int:
        """Return this width, reduced if the photographs are small."""
        return round(width * min(1.0, min(item.width for item in self.photographs) / _FULL_WIDTH))

    def srcset(self) -> list[int]:
        """List the widths that a page offers."""
        return [self.scaled(width) for width in _SRCSET]

    def new_widths(self) -> list[int]:
        """List as many more widths as make eighty pictures of five photographs, none of them of the page."""
        taken = set(self.srcset())
        least, most = self.scaled(_SRCSET[0]), self.scaled(_SRCSET[-1])
        free = [width for width in range(least, most) if width not in taken]
        return free[:: len(free) // _NEW_WIDTHS][:_NEW_WIDTHS]


def gallery(photographs: Path, folder: Path) -> Gallery:
    """Copy the largest photographs of a folder next to a new, empty folder of originals."""
    copies, originals = folder / "photographs", folder / "originals"
    copies.mkdir()
    originals.mkdir()
    found = sorted(_found(photographs), key=lambda item: -item.megapixels)[:_MOST]
    if not found:
        raise BenchmarkFailed(f"there is no upright JPEG with sides of {_LEAST_SIDE} pixels or more in {photographs}")
    copied = [
        Photograph(_settled(item.path, copies / f"{at}.jpg"), item.width, item.height) for at, item in enumerate(found)
    ]
    return Gallery(originals, tuple(copied))


def _found(folder: Path) -> Iterator[Photograph]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _JPEG and path.is_file():
            shown, stored = imagesize.get(path), imagesize.get(path, exif_rotation=False)
            # Of one that EXIF turns, not every peer makes the same picture.
            if shown == stored and min(stored) >= _LEAST_SIDE:
                yield Photograph(path, *stored)


def _settled(path: Path, copy: Path) -> Path:
    """Copy a file and set its times to an hour ago: renditions of a file that may still be written are not cached."""
    shutil.copyfile(path, copy)
    hour_ago = time.time() - _HOUR
    os.utime(copy, (hour_ago, hour_ago))
    return copy
