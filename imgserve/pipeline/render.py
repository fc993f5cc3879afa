"""Render bytes and a transform to a rendition: probe, plan, stages, encode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyvips

from imgserve.errors import BadTransform, ImgserveError, MarkNotFound, UnreadableMark, quoted
from imgserve.formats import FORMATS, Format
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan
from imgserve.model import Limits, Rendition
from imgserve.pipeline import animation, effects, gain_map, load, metadata, svg
from imgserve.pipeline.encode import Indexed
from imgserve.pipeline.fields import with_fields
from imgserve.pipeline.load import Recognized, recognize
from imgserve.pipeline.order import VECTOR_SIDE, EncoderSettings, Order, between, planning_size
from imgserve.pipeline.overlays import Layer, mark_layer
from imgserve.pipeline.passthrough import smaller
from imgserve.pipeline.probe import Frames, Header, choose_frames, frames_of, read_header, upright_size
from imgserve.pipeline.stages import Job, staged
from imgserve.pipeline.targets import Encoding, encode_to_targets
from imgserve.pipeline.text import text_layer
from imgserve.pipeline.trim import trimmed
from imgserve.transform import Transform

REVISION = 10
"""Increased with every change of the resulting bytes; part of every cache key."""
_VECTOR_MAX = 16_384


def render(
    data: bytes,
    transform: Transform,
    *,
    earlier: Sequence[Transform] = (),
    limits: Limits | None = None,
    encoders: EncoderSettings | None = None,
    focal_point: tuple[float, float] | None = None,
    damaged: bool = False,
    marks: Mapping[str, bytes] | None = None,
) -> Rendition:
    """Return a rendition of the bytes of an original, after earlier steps; the other options are those of an `Order`.

    Raises:
        UnsupportedImage, UnreadableImage, LimitExceeded: the original is at fault.
        BadTransform: the original does not have the frame or page.
    """
    order = Order(transform, limits or Limits(), encoders or EncoderSettings(), focal_point, damaged, marks or {})
    opened = recognize(data, order.limits, damaged=damaged)
    header = read_header(opened, order.limits)
    if not earlier:
        return render_opened(opened, header, order)
    first, *then = *map(between, earlier), transform
    return render_chain(draft(opened, header, replace(order, transform=first)), then, order)


@dataclass(frozen=True, slots=True)
class Draft:
    """Opened frames and how they are processed; they may not be decoded yet."""

    frames: Sequence[pyvips.Image]
    job: Job
    original: str
    """Format of the original."""
    notes: tuple[str, ...] = ()
    indexed: Indexed | None = None
    """Of an original with a palette."""


def render_opened(opened: Recognized, header: Header, order: Order) -> Rendition:
    """Return a rendition of an original whose header was read."""
    _, output = order.normalized(FORMATS[opened.format])
    if output.name == "svg":
        return Rendition(svg.sanitize(opened.data), output.media_type, header.width, header.height)
    drafted = draft(opened, header, order)
    return smaller(finished(drafted, order.encoders), opened, header, drafted.job, len(drafted.frames))


def job_of(order: Order, made: Plan, transform: Transform, output: Format, stored: Size) -> Job:
    """Return the input of the stages.

    Raises MarkNotFound or UnreadableMark if the mark is not there, or cannot be read.
    """
    layers = [
        text_layer(made.size, transform) if transform.text else None,
        _mark(order, made.size, transform) if transform.mark else None,
    ]
    return Job(made, transform, output, stored, tuple(layer for layer in layers if layer))


def _mark(order: Order, canvas: Size, transform: Transform) -> Layer:
    name = transform.mark
    if name not in order.marks:
        raise MarkNotFound(members={"mark": name})
    try:
        opened = recognize(order.marks[name], order.limits, damaged=order.damaged)
        header = read_header(opened, order.limits)

        def draw(size: Size) -> pyvips.Image:
            own = Transform(size.width, size.height, fit="scale", enlarge=True, format="png", animate=False)
            drafted = draft(opened, header, Order(own, order.limits, damaged=order.damaged))
            return staged(drafted.frames[0], drafted.job)

        with load.translated(opened.format):
            return mark_layer(canvas, Size(*upright_size(header)), transform, draw)
    except ImgserveError as error:
        detail = f"The mark {quoted(name)} cannot be used: {error.detail}"
        raise UnreadableMark(detail, members={"mark": name}) from error


def draft(opened: Recognized, header: Header, order: Order, *, decoded: pyvips.Image | None = None) -> Draft:
    """Return the draft of a rendition of an original.

    `decoded` is its only frame if that is decoded already, at any reduction with enough detail.
    """
    transform, output = order.normalized(FORMATS[opened.format])
    frames = choose_frames(header, opened, transform, order.limits, animates=output.animation)
    if opened.paged and frames.first:
        header = read_header(opened, order.limits, page=frames.first)
    vector = opened.format == "svg"
    stored = planning_size(Size(header.width, header.height), transform, vector=vector)
    whole: list[pyvips.Image] = []
    if transform.trim is not None:
        whole = _whole(opened, header, frames, transform)
        with load.translated(opened.format):
            transform = trimmed(whole, transform, header.orientation)
    made = order.plan(stored, transform, orientation=header.orientation, frames=frames.count, vector=vector)
    job = job_of(order, made, transform, output, stored)
    if vector:  # drawn again in the size of the rendition
        whole = []
    loaded = whole or ([decoded] if decoded else _loaded(opened, header, frames, job))
    if _keeps_gain_map(job) and not decoded:
        loaded[0] = with_fields(loaded[0], gain_map.read_gain_map(opened))
    indexed = Indexed(header.bits, len(opened.data)) if header.bits else None
    return Draft(loaded, job, opened.format, frames.notes, indexed)


def finished(draft: Draft, encoders: EncoderSettings) -> Rendition:
    """Return the rendition of a draft; a damaged original raises UnreadableImage."""
    job = draft.job
    if len(draft.frames) > 1:  # each frame stretched by itself would flicker
        job = replace(job, transform=replace(job.transform, auto=job.transform.auto - {"enhance"}))
    with load.translated(draft.original):
        pictures = [staged(frame, job) for frame in draft.frames]
        image = animation.joined(pictures)
        fields = gain_map.fields_of(image)
        image = gain_map.without_gain_map(image)
        if fields and _keeps_gain_map(job):
            image = with_fields(image, gain_map.adapted(fields, _with_found_cut(job, image)))
        image, keep = metadata.select(image, job.transform)
        indexed = None if job.layers else draft.indexed
        made = encode_to_targets(Encoding(image, job.output, job.transform, encoders, keep, indexed))
    shown = made.encoding.image
    size = shown.width, animation.height_of(shown)
    notes = (*draft.notes, *job.notes, *made.notes)
    return Rendition(made.data, made.encoding.output.media_type, *size, notes)


def _keeps_gain_map(job: Job) -> bool:
    unchanged = not (effects.are_wanted(job.transform) or job.layers)
    return job.output.name == "jpg" and job.transform.hdr == "preserve" and unchanged


def _with_found_cut(job: Job, image: pyvips.Image) -> Job:
    """Return a job with the place of a crop that was searched in the pixels, which libvips leaves as an offset."""
    if not (job.plan.interest and job.plan.cut):
        return job
    cut = replace(job.plan.cut, left=-image.xoffset, top=-image.yoffset)
    return replace(job, plan=replace(job.plan, cut=cut, interest=""))


def _loaded(opened: Recognized, header: Header, frames: Frames, job: Job) -> list[pyvips.Image]:
    """Return the frames, opened with shrink-on-load; an animation is decoded once and split."""
    if frames.count == 1:
        return [opened.open(access="sequential", **_shrink(opened, header, frames, job))]
    return _split(opened, frames, job.transform)


def _whole(opened: Recognized, header: Header, frames: Frames, transform: Transform) -> list[pyvips.Image]:
    """Return all pixels of the frames, decoded; of an SVG in a size that shows where its edges are."""
    if frames.count > 1:
        return _split(opened, frames, transform)
    options: dict[str, object] = {"page": frames.first} if opened.animated or opened.paged else {}
    if opened.format == "svg":
        options = {"scale": max(1.0, VECTOR_SIDE / 4 / max(header.width, header.height))}
    image = opened.open(access="sequential", **options)
    with load.translated(opened.format):
        return [image.copy_memory()]


def _split(opened: Recognized, frames: Frames, transform: Transform) -> list[pyvips.Image]:
    roll = opened.open(n=frames.count, page=frames.first).copy_memory()
    return animation.arranged(animation.split(roll), transform, frames.first)


def _shrink(opened: Recognized, header: Header, frames: Frames, job: Job) -> dict[str, object]:
    """Return the loader's own reduction; a factor of at least two is left for the better resampling."""
    made, target = job.plan, job.plan.scaled_stored()
    factor = min(made.region.width / target.width, made.region.height / target.height)
    match opened.format:
        case "jpg":
            return {"shrink": next((shrink for shrink in (8, 4, 2) if factor >= 2 * shrink), 1)}
        case "webp":
            still = header.frames == 1 and factor > 2  # noqa: PLR2004  the remaining factor
            return {"scale": 2 / factor} if still else {"page": frames.first}
        case "svg":
            # The scale refers to the SVG's own units; above the cap, resampling does the rest.
            finer = job.stored.width / header.width
            most = _VECTOR_MAX / max(header.width, header.height)
            return {"scale": min(finer / factor, most)}
        case _:
            return {"page": frames.first} if opened.animated or opened.paged else {}


def render_chain(first: Draft, then: Sequence[Transform], order: Order) -> Rendition:
    """Return the rendition of the last of several transforms, each of the result of the one before.

    `first` is the draft of the first one. All except the last were returned by `between`.

    Raises:
        UnreadableImage: the original is damaged.
        BadTransform: a step needs a frame that the picture before it does not have.
    """
    draft = first
    for number, transform in enumerate(then, start=2):
        with load.translated(draft.original):
            pixels = [staged(frame, draft.job).copy_memory() for frame in draft.frames]
        frames = [metadata.for_next_step(frame, draft.job.transform) for frame in pixels]
        try:
            draft = _next(frames, replace(order, transform=transform, focal_point=None), draft)
        except BadTransform as error:
            raise BadTransform([f"step {number}: {mistake}" for mistake in error.mistakes]) from error
    return finished(draft, order.encoders)


def _next(frames: list[pyvips.Image], order: Order, before: Draft) -> Draft:
    transform, output = order.normalized(FORMATS["webp" if len(frames) > 1 else "png"])
    chosen = frames_of(transform, len(frames))
    frames = frames[chosen.start : chosen.stop if output.animation else chosen.start + 1]
    frames = [metadata.still(frames[0])] if len(frames) == 1 else animation.arranged(frames, transform, chosen.start)
    size = Size(frames[0].width, frames[0].height)
    if transform.trim is not None:
        transform = trimmed(frames, transform, 1)
    made = order.plan(size, transform, frames=len(frames))
    notes = (*before.notes, *before.job.notes)
    return Draft(frames, job_of(order, made, transform, output, size), before.original, notes)
