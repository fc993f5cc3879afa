"""Several transforms one after the other: each is made of the pixels of the one before; only the last is encoded."""

from collections.abc import Sequence
from dataclasses import replace

import pyvips

from imgserve.errors import BadTransform
from imgserve.formats import FORMATS
from imgserve.model import Rendition
from imgserve.pipeline import metadata, vips
from imgserve.pipeline.box import Size
from imgserve.pipeline.geometry import plan
from imgserve.pipeline.probe import numbered
from imgserve.pipeline.render import Draft, Order, budget, finished
from imgserve.pipeline.stages import Job, staged
from imgserve.transform import Transform

BETWEEN = "webp"
"""What all steps but the last are settled for: the format that can have transparency and frames. None is written."""

_STILL, _ANIMATED = FORMATS["png"], FORMATS["webp"]


def between(transform: Transform) -> Transform:
    """Ask for the same without a loss, for a step that another follows."""
    return replace(transform, format=BETWEEN, lossless=True, quality=None, colors=None, auto=frozenset())


def render_chain(first: Draft, then: Sequence[Transform], order: Order) -> Rendition:
    """Finish the first picture, make the next of it, and so on, and encode the last.

    Args:
        first: of a transform that `between` gave, where others follow.
        then: what follows; all but the last went through `between` too.
        order: limits and encoders.

    Raises:
        UnreadableImage: pixels that were to be decoded on the way cannot be.
        BadTransform: a step asks for what the picture before it does not have.
    """
    draft = first
    for number, transform in enumerate(then, start=2):
        frames = _pixels(draft)
        try:
            draft = _next(frames, replace(order, transform=transform, focal_point=None), draft)
        except BadTransform as error:
            raise BadTransform([f"step {number}: {mistake}" for mistake in error.mistakes]) from error
    return finished(draft, order.encoders)


def _pixels(draft: Draft) -> list[pyvips.Image]:
    """Make the frames of a picture, each on its own, upright, with the metadata that may go on."""
    with vips.translated(draft.original):
        return [metadata.carried(staged(frame, draft.job).copy_memory(), draft.job.transform) for frame in draft.frames]


def _next(frames: list[pyvips.Image], order: Order, before: Draft) -> Draft:
    transform, output = order.settled(_ANIMATED if len(frames) > 1 else _STILL)
    if transform.frame is not None:
        frames = [frames[numbered("frame", transform.frame, len(frames))]]
    elif not (output.animation and transform.animate):
        frames = frames[:1]
    if len(frames) == 1:
        frames = [metadata.still(frames[0])]
    size = Size(frames[0].width, frames[0].height)
    made = plan(size, transform, budget(order.limits, len(frames)))
    notes = (*before.notes, *before.job.plan.notes)
    return Draft(frames, Job(made, transform, output, size), before.original, notes)
