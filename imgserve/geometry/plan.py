"""Compute an immutable `Plan` from an original's size and a transform."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from imgserve.errors import BadTransform
from imgserve.geometry.box import Box, Size, Turn, cover, inside, slide, whole
from imgserve.geometry.coordinates import Coordinates, coordinates_of
from imgserve.geometry.requested import CROPS, OPEN, UNSCALED, requested_sides
from imgserve.geometry.surround import PLAIN, Surround
from imgserve.transform.value import NO_PAD, Transform

Extend = Literal["none", "solid", "blur", "copy"]
Interest = Literal["", "entropy", "attention"]
_INTERESTS: dict[str, Interest] = {"entropy": "entropy", "edges": "attention"}

NOT_ENLARGED = "size: made "
"""Start of the note on a size for which the original is too small."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every size and box that the stages need, in their order: region, resample, turn, angle, cut, canvas, surround."""

    region: Box
    """Part of the stored pixels."""
    scaled: Size
    """Size after resampling, in the shown frame."""
    turn: Turn
    """From the stored to the shown frame."""
    angle: float = 0.0
    """Degrees clockwise that remain after the quarter turns, -90 < angle < 90."""
    cut: Box | None = None
    """Part of the scaled (and rotated) picture. For an interest crop only its size counts."""
    interest: Interest = ""
    canvas: Size | None = None
    """Size of the larger canvas on which the picture is placed."""
    extend: Extend = "none"
    surround: Surround = PLAIN
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """Return the final size of the rendition."""
        return self.surround.around(self.inner)

    @property
    def inner(self) -> Size:
        """Return the size of the picture with its canvas, without pad and border."""
        if self.canvas:
            return self.canvas
        return Size(self.cut.width, self.cut.height) if self.cut else self.scaled

    def scaled_stored(self) -> Size:
        """Return the resampled size in the stored frame, before the turn."""
        width, height = self.turn.inverse().size(self.scaled.width, self.scaled.height)
        return Size(int(width), int(height))

    def capped(self, max_side: int, max_pixels: int) -> "Plan":
        """Scale the plan down to an output of at most these sides and pixels, ratio kept, with a note."""
        size = self.size
        # A slanted or searched crop scales more than it shows. A thin crop of an original must not make that unbounded.
        factor = min(
            1.0,
            max_side / max(size.width, size.height),
            math.sqrt(max_pixels / size.pixels),
            math.sqrt(4 * max_pixels / self.scaled.pixels),
            16 * max_side / max(self.scaled.width, self.scaled.height),
        )
        if factor == 1.0:
            return self
        capped = self.scaled_by(factor)
        note = f"size: {size.width}x{size.height} is over the cap, made {capped.size.width}x{capped.size.height}"
        return replace(capped, notes=(*self.notes, note))

    def scaled_by(self, factor: float) -> "Plan":
        """Return the plan of the same picture at a factor of its size, at most 1."""

        def shrink(length: int) -> int:
            return max(1, math.floor(length * factor))

        def smaller(size: Size) -> Size:
            return Size(shrink(size.width), shrink(size.height))

        cut = self.cut and Box(
            int(self.cut.left * factor), int(self.cut.top * factor), shrink(self.cut.width), shrink(self.cut.height)
        )
        canvas = self.canvas and smaller(self.canvas)
        return replace(self, scaled=smaller(self.scaled), cut=cut, canvas=canvas, surround=self.surround.scaled(factor))


def plan(
    stored: Size,
    transform: Transform,
    *,
    orientation: int = 1,
    focal_point: tuple[float, float] | None = None,
    vector: bool = False,
) -> Plan:
    """Return every size and box of a rendition; no cap is applied.

    Args:
        stored: pixels in the file.
        transform: a normalized transform. Its `trim` is ignored: what is cut off is a `rect` once it was found.
        orientation: EXIF orientation, 1..8.
        focal_point: the image's stored focal point, as fractions of the upright picture.
        vector: the original is an SVG, which has any size without being enlarged.

    Raises BadTransform if the rect is outside this original.
    """
    coordinates = coordinates_of(stored, transform, orientation, focal_point, vector=vector)
    surround = Surround.of(transform)
    made = _surrounded(coordinates, transform, surround)
    if vector or transform.enlarge:
        return made
    wide, high = (
        wanted is not None and wanted > got
        for wanted, got in zip(
            requested_sides(transform, coordinates.size, surround), (made.size.width, made.size.height), strict=True
        )
    )
    inside_box = transform.fit in {"max", "clip"}  # which the picture fills in one direction only
    both = transform.aspect is not None or None not in (transform.width, transform.height)
    if (wide and high) or ((wide or high) and not (inside_box and both)):
        note = f"{NOT_ENLARGED}{made.size.width}x{made.size.height}, because the original is not enlarged"
        return replace(made, notes=(*made.notes, note))
    return made


def rendition_size(width: int | None, height: int | None, transform: Transform) -> tuple[int | None, int | None]:
    """Return the size of a rendition of an upright original; None for a side that depends on an unknown side.

    An unknown side of the original is assumed to be large enough for the transform. The server's caps are not applied.
    """
    if transform.orient is not None or transform.trim is not None:
        # How the stored pixels are turned, or how many are cut off, is not known.
        width, height, transform = None, None, replace(transform, orient=None, trim=None)
    enough = _enough_pixels(width, height, transform)
    guesses = {(width or enough * across, height or enough * down) for across, down in ((1, 1), (1, 3), (3, 1))}
    try:
        sizes = [plan(Size(*guess), transform).size for guess in guesses]
    except BadTransform:
        return None, None
    # A side that is the same for every proportion of the original does not depend on what is unknown.
    widths, heights = {size.width for size in sizes}, {size.height for size in sizes}
    return widths.pop() if len(widths) == 1 else None, heights.pop() if len(heights) == 1 else None


def _enough_pixels(width: int | None, height: int | None, transform: Transform) -> int:
    """Return a side of an original that a transform does not exceed."""
    bounds = (transform.min_width, transform.max_width, transform.min_height, transform.max_height)
    requested = (width, height, transform.width, transform.height, *bounds, *(transform.rect or ()))
    ratio = max(transform.aspect) / min(transform.aspect) if transform.aspect else 1
    longest = max((side for side in requested if isinstance(side, int)), default=1)
    return math.ceil(2 * longest * max(1.0, transform.dpr) * max(1.0, transform.zoom) * ratio)


def shown_size(width: int | None, height: int | None, transform: Transform) -> tuple[int | None, int | None]:
    """Return the size of the part that a transform shows, before any resizing."""
    unframed = replace(transform, pad=NO_PAD, border=None)
    return rendition_size(width, height, replace(unframed, width=None, height=None, aspect=None, **UNSCALED))


def _surrounded(coordinates: Coordinates, transform: Transform, surround: Surround) -> Plan:
    """Return a plan in which pad and border are inside the requested size."""
    size = coordinates.size
    enlarge = transform.enlarge or coordinates.vector
    width, height = requested_sides(transform, size, surround, enlarge=enlarge)
    if width is not None or height is not None:
        outer = Size(width or OPEN, height or OPEN)
    elif transform.aspect and transform.fit in CROPS:
        outer = inside(Size(*transform.aspect), surround.around(size))
    else:
        return replace(_whole_picture(coordinates, size), surround=surround)
    fitting = surround.fitting(outer)
    notes = (f"pad and border lowered to fit {outer.width}x{outer.height}",) if fitting != surround else ()
    box = fitting.inside(outer)
    if OPEN in {outer.width, outer.height}:
        made = _whole_picture(coordinates, _inside(size, box, enlarge=enlarge and transform.fit != "max"))
    else:
        made = _fit(coordinates, transform, box, enlarge=enlarge and width is not None)
        if transform.fit in CROPS:
            # Around a smaller picture they are smaller, so that the requested ratio remains.
            fitting = fitting.scaled(min(1, made.inner.width / box.width, made.inner.height / box.height))
    return replace(made, surround=fitting, notes=notes)


def _fit(coordinates: Coordinates, transform: Transform, box: Size, *, enlarge: bool) -> Plan:
    size = coordinates.size
    match transform.fit:
        case None | "crop":
            return _crop(coordinates, transform, box, enlarge=enlarge)
        case "min":
            return _crop(coordinates, transform, box, enlarge=coordinates.vector)
        case "clip" | "max":
            return _whole_picture(coordinates, _inside(size, box, enlarge=enlarge and transform.fit == "clip"))
        case "scale":
            capped = box if enlarge else Size(min(box.width, size.width), min(box.height, size.height))
            return _whole_picture(coordinates, capped)
        case "fill" | "fillmax" | "clamp":
            picture = _inside(size, box, enlarge=enlarge and transform.fit != "fillmax")
            extend: Extend = "copy" if transform.fit == "clamp" else transform.fill
            placed = _whole_picture(coordinates, picture)
            return placed if picture == box else replace(placed, canvas=box, extend=extend)


def _inside(size: Size, box: Size, *, enlarge: bool) -> Size:
    return size if size.within(box) and not enlarge else inside(size, box)


def _whole_picture(coordinates: Coordinates, out: Size) -> Plan:
    if not coordinates.angle:
        return Plan(coordinates.part, out, coordinates.turn)
    return _angled(coordinates, out, Box(0, 0, out.width, out.height))


def _crop(coordinates: Coordinates, transform: Transform, box: Size, *, enlarge: bool) -> Plan:
    region = inside(box, coordinates.size)
    out = box if enlarge or box.within(region) else region
    gravity = transform.crop[0] if transform.crop else ""
    if interest := _INTERESTS.get(gravity):
        covering = cover(coordinates.size, out)
        placed = _whole_picture(coordinates, covering)
        return placed if covering == out else replace(placed, cut=Box(0, 0, out.width, out.height), interest=interest)
    center = _center(coordinates, transform)
    if gravity == "focalpoint":
        room = math.inf if enlarge else max(1.0, min(region.width / out.width, region.height / out.height))
        zoom = min(transform.focus_zoom, room)
        # The visible part has the requested ratio to within one pixel and is never smaller than the output.
        least = Size(1, 1) if enlarge else out
        region = Size(max(least.width, whole(region.width / zoom)), max(least.height, whole(region.height / zoom)))
    left = slide(center[0] * coordinates.size.width, region.width, coordinates.size.width)
    top = slide(center[1] * coordinates.size.height, region.height, coordinates.size.height)
    if coordinates.angle:
        across, down = out.width / region.width, out.height / region.height
        scaled = Size(whole(coordinates.size.width * across), whole(coordinates.size.height * down))
        return _angled(coordinates, scaled, Box(int(left * across + 0.5), int(top * down + 0.5), out.width, out.height))
    full = coordinates.turn.inverse().box(
        Box(left, top, region.width, region.height), coordinates.shown.width, coordinates.shown.height
    )
    return Plan(
        Box(coordinates.part.left + full.left, coordinates.part.top + full.top, full.width, full.height),
        out,
        coordinates.turn,
    )


def _angled(coordinates: Coordinates, outer: Size, cut: Box) -> Plan:
    """Plan to scale, rotate and cut in this order, so that the slow rotation handles few pixels."""
    scaled = Size(
        whole(coordinates.shown.width * outer.width / coordinates.size.width),
        whole(coordinates.shown.height * outer.height / coordinates.size.height),
    )
    return Plan(coordinates.part, scaled, coordinates.turn, angle=coordinates.angle, cut=cut)


def _center(coordinates: Coordinates, transform: Transform) -> tuple[float, float]:
    """Return the center of the crop as fractions of the shown picture; 0 and 1 are the sides."""
    sides = set(transform.crop)
    if sides <= {"focalpoint"}:
        return coordinates.focus or (0.5, 0.5)
    x = 0.0 if "left" in sides else 1.0 if "right" in sides else 0.5
    y = 0.0 if "top" in sides else 1.0 if "bottom" in sides else 0.5
    return x, y


_EDGES = 2
"""Pixels: both the frame and the picture in it are rounded."""


def shows_same_part(large: Plan, small: Plan) -> bool:
    """Return whether two plans show the same part, to within one pixel of the smaller picture."""
    if (large.turn, large.angle, large.interest) != (small.turn, small.angle, small.interest):
        return False
    if len({large.extend, small.extend} - {"none"}) > 1:
        return False
    if large.surround != small.surround or (large.surround != PLAIN and large.size != small.size):
        return False  # pad and border do not scale with the picture
    if large.interest:
        # The position is found in the pixels, which differ with the scale.
        return large.size == small.size
    stored, base = small.scaled_stored(), small.canvas or small.scaled
    pixel = max(small.region.width / stored.width, small.region.height / stored.height)
    return (
        _near(_corners(large.region), _corners(small.region), 1 + pixel)
        and abs(large.size.width * small.size.height - large.size.height * small.size.width)
        <= max(large.size.width, large.size.height)
        and _near(_across(large), _across(small), _EDGES / base.width)
        and _near(_down(large), _down(small), _EDGES / base.height)
    )


def _corners(box: Box) -> tuple[float, ...]:
    return box.left, box.top, box.right, box.bottom


def _across(plan: Plan) -> tuple[float, ...]:
    """Return where the picture begins and ends on its canvas, or the cut in the rotated picture, as fractions."""
    if plan.canvas:
        return 0.0, plan.scaled.width / plan.canvas.width
    return (plan.cut.left / plan.scaled.width, plan.cut.right / plan.scaled.width) if plan.cut else (0.0, 1.0)


def _down(plan: Plan) -> tuple[float, ...]:
    if plan.canvas:
        return 0.0, plan.scaled.height / plan.canvas.height
    return (plan.cut.top / plan.scaled.height, plan.cut.bottom / plan.scaled.height) if plan.cut else (0.0, 1.0)


def _near(one: tuple[float, ...], other: tuple[float, ...], tolerance: float) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))
