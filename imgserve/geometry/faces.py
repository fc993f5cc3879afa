"""Crop to the faces that are known of an original."""

from collections.abc import Sequence
from dataclasses import replace

from imgserve.geometry.box import Size, Turn, inside
from imgserve.geometry.coordinates import coordinates_of
from imgserve.geometry.plan import plan
from imgserve.model import Face
from imgserve.transform.value import Transform

_DIGITS = 4
_MAX_ZOOM = 100.0


def with_faces(transform: Transform, faces: Sequence[Face], stored: Size, orientation: int) -> Transform:
    """Return a transform whose focal point is in the middle of the faces, if these are its first usable crop.

    Args:
        transform: as requested.
        faces: those of the original.
        stored: pixels in the file; 0 x 0 if they are not known.
        orientation: EXIF orientation, 1..8.

    May raise BadTransform.
    """
    shown = faces if transform.face_index is None else faces[transform.face_index - 1 : transform.face_index]
    first = next((word for word in transform.crop if word != "faces" or shown), None)
    if first not in {"faces", "auto"} or not shown:
        return transform
    left, top = min(face.x for face in shown), min(face.y for face in shown)
    width, height = max(face.x + face.width for face in shown) - left, max(face.y + face.height for face in shown) - top
    focused = replace(
        transform,
        crop=("focalpoint",),
        focus_x=round(left + width / 2, _DIGITS),
        focus_y=round(top + height / 2, _DIGITS),
        focus_zoom=1.0,
    )
    if transform.face_pad is None or not stored.pixels:
        return focused
    space = 1 + 2 * transform.face_pad
    upright = Turn.upright(orientation, transform.orient).size(stored.width, stored.height)
    turned = Turn(round(transform.rotate / 90) % 4).size(width * space * upright[0], height * space * upright[1])
    whole = coordinates_of(stored, focused, orientation, None, vector=False).size
    region = inside(plan(stored, focused, orientation=orientation).inner, whole)
    zoom = min(region.width / turned[0], region.height / turned[1])
    return replace(focused, focus_zoom=round(min(max(zoom, 1.0), _MAX_ZOOM), 2))
