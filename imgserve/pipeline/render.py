"""Render bytes and a transform to a rendition: probe, plan, stages, encode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyvips

from imgserve.errors import BadTransform
from imgserve.formats import FORMATS, Format, default_output
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan, plan
from imgserve.model import Limits, Rendition
from imgserve.pipeline import load, metadata, svg
from imgserve.pipeline.encode import EncoderSettings, encode
from imgserve.pipeline.load import Recognized, recognize
from imgserve.pipeline.probe import Frames, Header, choose_frames, numbered, read_header
from imgserve.pipeline.stages import Job, staged
from imgserve.transform import Transform, normalize

REVISION = 3
"""Raised with every change that makes other bytes of the same original and transform; part of every cache key."""
_VECTOR_SIDE = 4096
_VECTOR_MOST = 16_384


@dataclass(frozen=True, slots=True)
class Order:
    """What to make, whatever it is made from."""

    transform: Transform
    limits: Limits = field(default_factory=Limits)
    encoders: EncoderSettings = field(default_factory=EncoderSettings)
    focal_point: tuple[float, float] | None = None
    """Stored on the image, as fractions of the upright picture."""
    damaged: bool = False
    """Show what can be decoded of a broken file instead of refusing it."""

    def normalized(self, original: Format) -> tuple[Transform, Format]:
        """Say all that the caller left open, for an original of some format; and name the output format."""
        asked = self.transform
        output = FORMATS[asked.format] if asked.format else default_output(original)
        focal = self.focal_point is not None
        return normalize(asked, original, output, qualities=self.encoders.quality, focal_point=focal), output

    def plan(
        self, stored: Size, transform: Transform, *, orientation: int = 1, frames: int = 1, vector: bool = False
    ) -> Plan:
        """Return the plan of a rendition within the limits; frames of an animation share its pixels."""
        max_pixels = self.limits.output_pixels
        if frames > 1:
            max_pixels = min(max_pixels, max(1, self.limits.animation_pixels // frames))
        uncapped = plan(stored, transform, orientation=orientation, focal_point=self.focal_point, vector=vector)
        return uncapped.capped(self.limits.output_side, max_pixels)


def render(
    data: bytes,
    transform: Transform,
    *,
    limits: Limits | None = None,
    encoders: EncoderSettings | None = None,
    focal_point: tuple[float, float] | None = None,
    damaged: bool = False,
) -> Rendition:
    """Make a rendition of an original's bytes.

    Args:
        data: the whole file.
        transform: what to make; its format, where not named, is the original's if web-safe.
        limits: what the picture may cost.
        encoders: qualities and efforts where the transform names none.
        focal_point: stored on the image, as fractions of the upright picture.
        damaged: show what can be decoded of a broken file instead of refusing it.

    Raises:
        UnsupportedImage, UnreadableImage, LimitExceeded: the original is at fault.
        BadTransform: a frame or page that the original does not have.
    """
    order = Order(transform, limits or Limits(), encoders or EncoderSettings(), focal_point, damaged)
    opened = recognize(data, order.limits, damaged=damaged)
    return render_opened(opened, read_header(opened, order.limits), order)


@dataclass(frozen=True, slots=True)
class Draft:
    """Frames that are opened for a picture, and what is to become of them; nothing need be decoded yet."""

    frames: Sequence[pyvips.Image]
    job: Job
    original: str
    """Format of what they were opened from."""
    notes: tuple[str, ...] = ()


def render_opened(opened: Recognized, header: Header, order: Order) -> Rendition:
    """Make a rendition of an original whose header was read."""
    _, output = order.normalized(FORMATS[opened.format])
    if output.name == "svg":
        return Rendition(svg.sanitize(opened.data), output.media_type, header.width, header.height)
    return finished(draft(opened, header, order), order.encoders)


def draft(opened: Recognized, header: Header, order: Order, *, decoded: pyvips.Image | None = None) -> Draft:
    """Choose what to load of an original, and plan what becomes of it.

    Args:
        opened: the original.
        header: what its header tells.
        order: what to make.
        decoded: its one frame, where that is decoded already; at any reduction that still has the detail.
    """
    transform, output = order.normalized(FORMATS[opened.format])
    frames = choose_frames(header, opened, transform, order.limits, animates=output.animation)
    stored = _planning_size(header, opened, transform)
    made = order.plan(
        stored, transform, orientation=header.orientation, frames=frames.count, vector=opened.format == "svg"
    )
    job = Job(made, transform, output, stored)
    loaded = [decoded] if decoded else _loaded(opened, header, frames, job)
    return Draft(loaded, job, opened.format, frames.notes)


def finished(draft: Draft, encoders: EncoderSettings) -> Rendition:
    """Take the frames through the stages and encode them.

    Raises:
        UnreadableImage: pixels that were to be decoded on the way cannot be.
    """
    job = draft.job
    with load.translated(draft.original):
        image, keep = metadata.select(_joined([staged(frame, job) for frame in draft.frames]), job.transform)
        encoded = encode(image, job.output, job.transform, encoders, keep=keep)
    size = job.plan.size
    return Rendition(encoded, job.output.media_type, size.width, size.height, (*draft.notes, *job.plan.notes))


def _planning_size(header: Header, opened: Recognized, transform: Transform) -> Size:
    """Plan an SVG on a finer grid than its own few units, where only a size in pixels is asked for."""
    size = Size(header.width, header.height)
    relative = isinstance(transform.width, float) or isinstance(transform.height, float)
    sized = transform.width is not None or transform.height is not None
    if opened.format != "svg" or transform.rect or relative or not sized or transform.fit in {"max", "fillmax"}:
        return size
    finer = max(1, math.ceil(_VECTOR_SIDE / max(size.width, size.height)))
    return Size(size.width * finer, size.height * finer)


def _joined(pictures: list[pyvips.Image]) -> pyvips.Image:
    if len(pictures) == 1:
        return pictures[0]
    height = pictures[0].height
    roll = pyvips.Image.arrayjoin(pictures, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", height)
    return roll


def _loaded(opened: Recognized, header: Header, frames: Frames, job: Job) -> list[pyvips.Image]:
    """Open with shrink-on-load; an animation comes as a roll of frames, decoded once and taken apart."""
    if frames.count == 1:
        return [opened.open(access="sequential", **_shrink(opened, header, frames, job))]
    roll = opened.open(n=frames.count, page=frames.first).copy_memory()
    height = roll.get("page-height")
    return [roll.crop(0, top, roll.width, height) for top in range(0, frames.count * height, height)]


def _shrink(opened: Recognized, header: Header, frames: Frames, job: Job) -> dict[str, object]:
    """Choose the loader's own reduction; a factor of two or more is left for the one good resample."""
    made, target = job.plan, job.plan.scaled_stored()
    factor = min(made.region.width / target.width, made.region.height / target.height)
    match opened.format:
        case "jpg":
            return {"shrink": next((shrink for shrink in (8, 4, 2) if factor >= 2 * shrink), 1)}
        case "webp":
            still = header.frames == 1 and factor > 2  # noqa: PLR2004  the factor that is left
            return {"scale": 2 / factor} if still else {"page": frames.first}
        case "svg":
            # The scale is from the SVG's own units, whatever grid the plan used; past the cap, resample does the rest.
            finer = job.stored.width / header.width
            most = _VECTOR_MOST / max(header.width, header.height)
            return {"scale": min(finer / factor, most)}
        case "gif" | "tiff":
            return {"page": frames.first}
        case _:
            return {}


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
    with load.translated(draft.original):
        return [metadata.carried(staged(frame, draft.job).copy_memory(), draft.job.transform) for frame in draft.frames]


def _next(frames: list[pyvips.Image], order: Order, before: Draft) -> Draft:
    transform, output = order.normalized(_ANIMATED if len(frames) > 1 else _STILL)
    if transform.frame is not None:
        frames = [frames[numbered("frame", transform.frame, len(frames))]]
    elif not (output.animation and transform.animate):
        frames = frames[:1]
    if len(frames) == 1:
        frames = [metadata.still(frames[0])]
    size = Size(frames[0].width, frames[0].height)
    made = order.plan(size, transform, frames=len(frames))
    notes = (*before.notes, *before.job.plan.notes)
    return Draft(frames, Job(made, transform, output, size), before.original, notes)
