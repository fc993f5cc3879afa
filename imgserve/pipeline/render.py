"""Bytes and a transform in, a rendition out: probe, plan, stages, encode."""

import math
from dataclasses import replace

import pyvips

from imgserve.formats import FORMATS, default_output
from imgserve.model import Limits, Rendition
from imgserve.pipeline import metadata, svg, vips
from imgserve.pipeline.box import Size
from imgserve.pipeline.encode import EncoderSettings, encode
from imgserve.pipeline.geometry import plan
from imgserve.pipeline.load import Recognized, recognize
from imgserve.pipeline.probe import Frames, Header, choose_frames, read_header
from imgserve.pipeline.stages import STAGES, Job
from imgserve.transform import Transform, settle

REVISION = 1
"""Raised with every change that makes other bytes of the same original and transform; part of every cache key."""

_VECTOR_SIDE = 4096
_VECTOR_MOST = 16_384


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
    limits, encoders = limits or Limits(), encoders or EncoderSettings()
    opened = recognize(data, limits, damaged=damaged)
    original = FORMATS[opened.format]
    output = FORMATS[transform.format] if transform.format else default_output(original)
    transform = settle(transform, original, output, qualities=encoders.quality, focal_point=focal_point is not None)
    header = read_header(opened, limits)
    if output.name == "svg":
        return Rendition(svg.sanitize(opened.data), output.media_type, header.width, header.height)
    frames = choose_frames(header, opened, transform, limits, animates=output.animation)
    stored = _planning_size(header, opened, transform)
    budget = replace(limits, output_pixels=min(limits.output_pixels, max(1, limits.animation_pixels // frames.count)))
    made = plan(
        stored, transform, budget if frames.count > 1 else limits,
        orientation=header.orientation, focal_point=focal_point, vector=opened.format == "svg",
    )  # fmt: skip
    job = Job(made, transform, output, stored)
    try:
        image, keep = metadata.select(_processed(opened, header, frames, job), transform)
        encoded = encode(image, output, transform, encoders, keep=keep)
    except pyvips.Error as error:
        raise vips.as_error(error, opened.format) from error
    size = made.size
    return Rendition(encoded, output.media_type, size.width, size.height, (*frames.notes, *made.notes))


def _planning_size(header: Header, opened: Recognized, transform: Transform) -> Size:
    """Plan an SVG on a finer grid than its own few units, where only a size in pixels is asked for."""
    size = Size(header.width, header.height)
    relative = isinstance(transform.width, float) or isinstance(transform.height, float)
    sized = transform.width is not None or transform.height is not None
    if opened.format != "svg" or transform.rect or relative or not sized or transform.fit in {"max", "fillmax"}:
        return size
    finer = max(1, math.ceil(_VECTOR_SIDE / max(size.width, size.height)))
    return Size(size.width * finer, size.height * finer)


def _processed(opened: Recognized, header: Header, frames: Frames, job: Job) -> pyvips.Image:
    pictures = [_staged(frame, job) for frame in _loaded(opened, header, frames, job)]
    if len(pictures) == 1:
        return pictures[0]
    height = pictures[0].height
    roll = pyvips.Image.arrayjoin(pictures, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", height)
    return roll


def _staged(image: pyvips.Image, job: Job) -> pyvips.Image:
    for stage in STAGES:
        image = stage(image, job)
    return image


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
