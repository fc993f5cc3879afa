"""Whether two plans of one original show the same part of it in the same place, at whatever scale. No pixels."""

from imgserve.pipeline.box import Box, Size
from imgserve.pipeline.geometry import Plan

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
