"""Find faces in a picture with the detector of the optional extra `faces`."""

import functools
import importlib
import logging
import os
from typing import Any

import pyvips

from imgserve.geometry.box import Size, whole
from imgserve.model import Face
from imgserve.pipeline import color
from imgserve.transform.value import Transform

_logger = logging.getLogger(__name__)
LEAST = 80
"""Side of the smallest face that the detector finds, in pixels."""
SIDE = 1024
"""Longest side of the picture that is searched."""
_LEAST_SCORE = 0.2
"""The detector reports 0 and more; what it finds in things other than faces is mostly below this."""
_MAX_FACES = 50
_DIGITS = 4


_searched = False


def search(wanted: bool) -> None:
    """Set whether this process searches faces."""
    global _searched  # noqa: PLW0603  set once, when the process starts
    _searched = wanted


def are_searched() -> bool:
    """Return whether this process searches faces."""
    return _searched


@functools.cache
def _modules() -> tuple[Any, Any]:
    """Return the detector and numpy, or raise ImportError."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that are of no use here
    numpy = importlib.import_module("numpy")
    return importlib.import_module("dlib").get_frontal_face_detector(), numpy


def find_faces(image: pyvips.Image, orientation: int) -> tuple[Face, ...]:
    """Return the faces of an original, the largest first; none if the detector fails.

    Args:
        image: as stored, at any reduction that leaves the longest side at `SIDE`.
        orientation: EXIF orientation, 1..8.
    """
    factor = max(1.0, image.width / SIDE, image.height / SIDE)
    size = Size(whole(image.width / factor), whole(image.height / factor))
    small = image.shrink(image.width / size.width, image.height / size.height) if factor > 1 else image
    small = color.flatten(color.to_output(small, Transform()), color.WHITE).colourspace("b-w")
    if orientation > 1:
        small = small.autorot()
    pixels = small.write_to_memory()
    try:
        detector, numpy = _modules()
        gray = numpy.frombuffer(pixels, numpy.uint8).reshape(small.height, small.width)
        found, _, _ = detector.run(gray, 0, _LEAST_SCORE)
    except (ImportError, OSError, RuntimeError) as error:
        _logger.warning("faces could not be searched: %s: %s", type(error).__name__, error)
        return ()
    faces = [_face(box, small.width, small.height) for box in found]
    return tuple(sorted(faces, key=lambda face: -face.width * face.height)[:_MAX_FACES])


def _face(box: Any, width: int, height: int) -> Face:
    """Return a box of the detector, which may reach over the edges, as the part that is inside."""
    left, top = max(0, box.left()), max(0, box.top())
    right, bottom = min(width, box.right() + 1), min(height, box.bottom() + 1)
    sides = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    # Rounded down, so that the box stays inside.
    return Face(*(int(side * 10**_DIGITS) / 10**_DIGITS for side in sides))
