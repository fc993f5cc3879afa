"""The stages in one ordered list; a stage returns the image unchanged if its part of the plan is empty."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pyvips

from imgserve.formats import Format
from imgserve.geometry.box import Size, cover, rescaled
from imgserve.geometry.plan import Plan
from imgserve.pipeline import color, effects, shapes
from imgserve.pipeline.overlays import Layer, lay_over
from imgserve.transform.value import Color, Transform

CLEAR: Color = (255, 255, 255, 0)
_NO_BOX_FILTER = 1 / 16
"""Scale above which a picture is faster resampled in one step."""


@dataclass(frozen=True, slots=True)
class Job:
    """The input of every stage besides the image."""

    plan: Plan
    transform: Transform
    output: Format
    stored: Size
    """The size that the plan's region refers to; the loaded picture may be smaller by shrink-on-load."""
    layers: tuple[Layer, ...] = ()
    """What is laid over the picture in the end."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Deviations from the request."""
        return (*self.plan.notes, *(note for layer in self.layers for note in layer.notes))


def region(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Crop to the planned region, at the scale of shrink-on-load."""
    box = rescaled(job.plan.region, job.stored, Size(image.width, image.height))
    if (box.width, box.height) == (image.width, image.height):
        return image
    return image.crop(box.left, box.top, box.width, box.height)


def resample(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Scale to the planned size in one step, colors weighted by alpha."""
    size = job.plan.scaled_stored()
    if (image.width, image.height) == (size.width, size.height):
        return image
    return color.weighted(image, lambda flat: resized(flat, size))


def resized(image: pyvips.Image, size: Size) -> pyvips.Image:
    """Return an image resampled to exactly this size."""
    # A gap would put a box filter in front; benchmarks/MEZZANINE.md has the measurement.
    across, down = size.width / image.width, size.height / image.height
    # Beyond a factor of about 300, libvips refuses to reduce without it.
    gap = 0.0 if min(across, down) > _NO_BOX_FILTER else 2.0
    scaled = image.resize(across, vscale=down, kernel="lanczos3", gap=gap)
    if (scaled.width, scaled.height) != (size.width, size.height):
        # libvips rounds each side on its own: a missing pixel repeats the edge, an additional one is cut off.
        scaled = scaled.embed(0, 0, size.width, size.height, extend="copy")
    return scaled


def to_color(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Convert to 8-bit sRGB, after the resample, when there are few pixels."""
    return color.to_output(image, job.transform)


def turn(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Turn and mirror from the stored to the shown frame."""
    planned = job.plan.turn
    if planned.mirrored or planned.quarters:
        # Turning reads from the bottom or the side; a streamed picture can only be read from the top.
        image = image.copy_memory()
    if planned.mirrored:
        image = image.fliphor()
    return image.rot(f"d{90 * planned.quarters}") if planned.quarters else image


def angle(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Rotate by the angle that remains after quarter turns; the corners have the background."""
    if not job.plan.angle:
        return image
    paint = _ground(job)
    if not _opaque(paint):
        image, paint = color.with_alpha(image), CLEAR  # the background follows
    image = color.colorful(image, paint).copy_memory()
    background = [0.0] * image.bands if paint == CLEAR else color.ink(image, paint)
    cos, sin = math.cos(math.radians(job.plan.angle)), math.sin(math.radians(job.plan.angle))
    bicubic = pyvips.Interpolate.new("bicubic")

    def rotate(flat: pyvips.Image) -> pyvips.Image:
        matrix = [cos, -sin, sin, cos]
        return flat.affine(matrix, background=background, interpolate=bicubic, premultiplied=True)

    return color.weighted(image, rotate).cast("uchar")


def cut(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Cut the shown part out of the scaled picture: as planned, or where libvips finds most detail."""
    box = job.plan.cut
    if box is None:
        return image
    if job.plan.interest:
        image = image.copy_memory()
        if image.width >= box.width and image.height >= box.height:
            return image.smartcrop(box.width, box.height, interesting=job.plan.interest)
    # Rounding may have moved the box a pixel over the edge.
    left = max(0, min(box.left, image.width - box.width))
    top = max(0, min(box.top, image.height - box.height))
    return image.embed(-left, -top, box.width, box.height, extend="copy")


def effected(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Change tones, colors and sharpness of the picture itself, not of what surrounds it."""
    return effects.apply(image, job.transform)


def canvas(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Center the picture on the planned canvas: one color, its own edges, or itself blurred."""
    size = job.plan.canvas
    if size is None:
        return image
    left, top = (size.width - image.width) // 2, (size.height - image.height) // 2
    if job.plan.extend == "copy":
        return image.embed(left, top, size.width, size.height, extend="copy")
    if job.plan.extend == "blur":
        # Read twice, for the backdrop and for itself; a streamed picture can only be read once.
        image = image.copy_memory()
        backdrop = _blurred(color.flatten(image, job.transform.background or color.WHITE), size)
        if not image.hasalpha():
            return backdrop.insert(image, left, top)
        return backdrop.composite2(image, "over", x=left, y=top)[: backdrop.bands].cast("uchar")
    default = CLEAR if image.hasalpha() and job.output.alpha else color.WHITE
    paint = job.transform.fill_color or job.transform.background or default
    if not _opaque(paint):
        image = color.with_alpha(image)
        paint = job.transform.fill_color or CLEAR  # the background follows
    image = color.colorful(image, paint)
    return image.embed(left, top, size.width, size.height, extend="background", background=color.ink(image, paint))


def _blurred(image: pyvips.Image, size: Size) -> pyvips.Image:
    """Return the backdrop: the picture, covering, blurred; at an eighth of its size, since finer detail is lost."""
    small = Size(max(1, size.width // 8), max(1, size.height // 8))
    covering = cover(Size(image.width, image.height), small)
    backdrop = resized(image, covering).crop(
        (covering.width - small.width) // 2, (covering.height - small.height) // 2, small.width, small.height
    )
    return resized(backdrop.gaussblur(max(small.width, small.height) / 24).copy_memory(), size)


def outline(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Surround the picture with the border, and cut both to the planned shape."""
    planned, width = job.plan.surround, job.plan.surround.border
    size = Size(image.width + 2 * width, image.height + 2 * width)
    if job.transform.border and width:
        paint = job.transform.border[1]
        image = color.colorful(image if _opaque(paint) else color.with_alpha(image), paint)
        sheet = color.ink(image, paint)
        image = image.embed(width, width, size.width, size.height, extend="background", background=sheet)
        if planned.mask:  # the inner edge of the border runs along the outer one
            image = shapes.mask(size, planned, width).ifthenelse(image, sheet, blend=True)
    if planned.mask is None:
        return image
    inside, ground = shapes.mask(size, planned), _ground(job)
    if image.hasalpha():
        return image[: image.bands - 1].bandjoin(inside.ifthenelse(image[image.bands - 1], 0, blend=True))
    if not _opaque(ground):
        return image.bandjoin(inside)
    image = color.colorful(image, ground)
    return inside.ifthenelse(image, color.ink(image, ground), blend=True)


def pad(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Surround everything with the background, or with nothing if it is transparent."""
    top, right, bottom, left = job.plan.surround.pad
    if not (top or right or bottom or left):
        return image
    ground = _ground(job)
    if image.hasalpha() or not _opaque(ground):
        image, ground = color.with_alpha(image), CLEAR  # the background follows
    image = color.colorful(image, ground)
    width, height, ink = image.width + left + right, image.height + top + bottom, color.ink(image, ground)
    return image.embed(left, top, width, height, extend="background", background=ink)


def _ground(job: Job) -> Color:
    """Return the color outside of the picture."""
    return job.transform.background or (CLEAR if job.output.alpha else color.WHITE)


def _opaque(paint: Color) -> bool:
    return paint[3] == 255  # noqa: PLR2004  all of it


def background(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Flatten onto the background if one is requested or the format has no alpha."""
    if not image.hasalpha():
        return image
    paint = job.transform.background
    if not job.output.alpha:
        return color.flatten(image, paint or color.WHITE)
    if paint is None:
        return image
    if _opaque(paint):
        return color.flatten(image, paint)
    image = color.colorful(image, paint)
    sheet = image.new_from_image(color.ink(image, paint)).copy(interpretation=image.interpretation)
    return sheet.composite2(image, "over").cast("uchar")


def overlaid(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Lay text and mark over the picture, last of all, so that nothing cuts or covers a watermark."""
    for layer in job.layers:
        image = lay_over(image, layer)
    return image


STAGES: tuple[Callable[[pyvips.Image, Job], pyvips.Image], ...] = (
    region,
    resample,
    to_color,
    turn,
    angle,
    cut,
    effected,
    canvas,
    outline,
    pad,
    background,
    overlaid,
)


def staged(image: pyvips.Image, job: Job) -> pyvips.Image:
    """Return one frame after every stage."""
    for stage in STAGES:
        image = stage(image, job)
    return image
