"""Compute an immutable `Plan` from an original's size and a transform."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from imgserve.geometry.box import Box, Size, Turn, cover, largest, slide, whole
from imgserve.geometry.coordinates import Scene, scene_of
from imgserve.geometry.size import Extent, contained, is_crop, output_extent, requested_sides
from imgserve.model import Limits
from imgserve.transform.value import Transform

Extend = Literal["none", "solid", "blur", "copy"]
Interest = Literal["", "entropy", "attention"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the stages carry out, in order: region, resample, turn, angle, cut, canvas."""

    region: Box
    """Of the stored pixels."""
    scaled: Size
    """What the region is resampled to, in the shown frame."""
    turn: Turn
    """From stored to shown."""
    angle: float = 0.0
    """Degrees clockwise left after the quarter turns, -90 < angle < 90."""
    cut: Box | None = None
    """Of the scaled (and rotated) picture; for an interest crop only its size counts."""
    interest: Interest = ""
    canvas: Size | None = None
    """Final size where the picture is placed on a larger canvas."""
    extend: Extend = "none"
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Size:
        """Final size of the rendition."""
        if self.canvas:
            return self.canvas
        return Size(self.cut.width, self.cut.height) if self.cut else self.scaled

    def scaled_stored(self) -> Size:
        """The resampled size in the stored frame, before the turn."""
        width, height = self.turn.inverse().size(self.scaled.width, self.scaled.height)
        return Size(int(width), int(height))


def plan(
    stored: Size,
    transform: Transform,
    limits: Limits,
    *,
    orientation: int = 1,
    focal_point: tuple[float, float] | None = None,
    vector: bool = False,
) -> Plan:
    """Decide every size and box of a rendition.

    Args:
        stored: pixels in the file.
        transform: what is asked for, settled.
        limits: caps on the output.
        orientation: EXIF orientation, 1..8.
        focal_point: stored on the image, as fractions of the upright picture.
        vector: an SVG, which has any size without being enlarged.
    """
    scene = scene_of(stored, transform, orientation, focal_point, vector=vector)
    return _capped(_fit(scene, transform), limits)


def _fit(scene: Scene, transform: Transform) -> Plan:
    size, shown = scene.size, Extent(scene.size.width, scene.size.height)
    width, height = requested_sides(transform, shown)
    out = output_extent(transform, shown, vector=scene.vector).known or size
    enlarge = transform.enlarge or scene.vector
    if is_crop(transform, width, height):
        may_grow = width is not None and (scene.vector if transform.fit == "min" else enlarge)
        return _crop(scene, transform, out, enlarge=may_grow)
    if transform.fit in {"fill", "fillmax", "clamp"} and None not in {width, height}:
        picture = contained(size, out, enlarge=enlarge and transform.fit != "fillmax")
        extend: Extend = "copy" if transform.fit == "clamp" else transform.fill
        placed = _whole_picture(scene, picture)
        return placed if picture == out else replace(placed, canvas=out, extend=extend)
    return _whole_picture(scene, out)


def _whole_picture(scene: Scene, out: Size) -> Plan:
    if not scene.angle:
        return Plan(scene.part, out, scene.turn)
    return _angled(scene, out, Box(0, 0, out.width, out.height))


def _crop(scene: Scene, transform: Transform, out: Size, *, enlarge: bool) -> Plan:
    region = largest(scene.size, out)
    interest = _interest(transform)
    if interest:
        return _interesting(scene, out, interest)
    center = _center(scene, transform)
    if _gravity(transform) == "focalpoint":
        room = math.inf if enlarge else max(1.0, min(region.width / out.width, region.height / out.height))
        zoom = min(transform.focus_zoom, room)
        # The part that is seen keeps the asked ratio to within one pixel, and is never smaller than the output.
        least = Size(1, 1) if enlarge else out
        region = Size(max(least.width, whole(region.width / zoom)), max(least.height, whole(region.height / zoom)))
    left = slide(center[0] * scene.size.width, region.width, scene.size.width)
    top = slide(center[1] * scene.size.height, region.height, scene.size.height)
    if scene.angle:
        across, down = out.width / region.width, out.height / region.height
        scaled = Size(whole(scene.size.width * across), whole(scene.size.height * down))
        return _angled(scene, scaled, Box(int(left * across + 0.5), int(top * down + 0.5), out.width, out.height))
    full = scene.turn.inverse().box(Box(left, top, region.width, region.height), scene.shown.width, scene.shown.height)
    return Plan(Box(scene.part.left + full.left, scene.part.top + full.top, full.width, full.height), out, scene.turn)


def _interesting(scene: Scene, out: Size, interest: Interest) -> Plan:
    covering = cover(scene.size, out)
    placed = _whole_picture(scene, covering)
    return placed if covering == out else replace(placed, cut=Box(0, 0, out.width, out.height), interest=interest)


def _angled(scene: Scene, outer: Size, cut: Box) -> Plan:
    """Scale first, so that the costly rotation sees few pixels, then rotate and cut."""
    scaled = Size(
        whole(scene.shown.width * outer.width / scene.size.width),
        whole(scene.shown.height * outer.height / scene.size.height),
    )
    return Plan(scene.part, scaled, scene.turn, angle=scene.angle, cut=cut)


def _gravity(transform: Transform) -> str:
    return transform.crop[0] if transform.crop else ""


def _interest(transform: Transform) -> Interest:
    interests: dict[str, Interest] = {"entropy": "entropy", "edges": "attention"}
    return interests.get(_gravity(transform), "")


def _center(scene: Scene, transform: Transform) -> tuple[float, float]:
    """Where the crop is centered, as fractions of the shown picture; 0 and 1 are the sides."""
    sides = set(transform.crop)
    if sides <= {"focalpoint"}:
        return scene.focus or (0.5, 0.5)
    x = 0.0 if "left" in sides else 1.0 if "right" in sides else 0.5
    y = 0.0 if "top" in sides else 1.0 if "bottom" in sides else 0.5
    return x, y


def _capped(made: Plan, limits: Limits) -> Plan:
    """Scale a plan whose output is over the caps, ratio kept, and say so."""
    size = made.size
    # A slanted or searched crop scales more than it shows; a sliver of an original must not make that a flood.
    factor = min(
        1.0,
        limits.output_side / max(size.width, size.height),
        math.sqrt(limits.output_pixels / size.pixels),
        math.sqrt(4 * limits.output_pixels / made.scaled.pixels),
        16 * limits.output_side / max(made.scaled.width, made.scaled.height),
    )
    if factor == 1.0:
        return made

    def shrink(length: int) -> int:
        return max(1, math.floor(length * factor))

    def smaller(size: Size) -> Size:
        return Size(shrink(size.width), shrink(size.height))

    cut = made.cut and Box(
        int(made.cut.left * factor), int(made.cut.top * factor), shrink(made.cut.width), shrink(made.cut.height)
    )
    capped = replace(made, scaled=smaller(made.scaled), cut=cut, canvas=made.canvas and smaller(made.canvas))
    note = f"size: {size.width}x{size.height} is over the cap, made {capped.size.width}x{capped.size.height}"
    return replace(capped, notes=(*made.notes, note))


_EDGES = 2
"""Both the frame and the picture in it are rounded to whole pixels."""


def frames_alike(large: Plan, small: Plan) -> bool:
    """Tell whether a plan shows what another shows, to within one pixel of the smaller picture."""
    if (large.turn, large.angle, large.interest) != (small.turn, small.angle, small.interest):
        return False
    if len({large.extend, small.extend} - {"none"}) > 1:
        return False
    if large.interest:
        # Where the interesting part lies is found in the pixels, and they differ with the scale.
        return large.size == small.size
    stored, base = small.scaled_stored(), small.canvas or small.scaled
    pixel = max(small.region.width / stored.width, small.region.height / stored.height)
    return (
        _near(_corners(large.region), _corners(small.region), 1 + pixel)
        and _same_proportions(large.size, small.size)
        and _near(_across(large), _across(small), _EDGES / base.width)
        and _near(_down(large), _down(small), _EDGES / base.height)
    )


def _corners(box: Box) -> tuple[float, ...]:
    return box.left, box.top, box.right, box.bottom


def _across(plan: Plan) -> tuple[float, ...]:
    """Tell which share of its canvas a picture fills, or from where to where a slanted one is cut."""
    if plan.canvas:
        return 0.0, plan.scaled.width / plan.canvas.width
    return (plan.cut.left / plan.scaled.width, plan.cut.right / plan.scaled.width) if plan.cut else (0.0, 1.0)


def _down(plan: Plan) -> tuple[float, ...]:
    if plan.canvas:
        return 0.0, plan.scaled.height / plan.canvas.height
    return (plan.cut.top / plan.scaled.height, plan.cut.bottom / plan.scaled.height) if plan.cut else (0.0, 1.0)


def _same_proportions(one: Size, other: Size) -> bool:
    return abs(one.width * other.height - one.height * other.width) <= max(one.width, one.height)


def _near(one: tuple[float, ...], other: tuple[float, ...], most: float) -> bool:
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))
