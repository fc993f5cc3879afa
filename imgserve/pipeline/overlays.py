"""Lay texts and marks over the finished picture."""

from collections.abc import Callable
from dataclasses import dataclass

import pyvips

from imgserve.geometry.box import Size
from imgserve.geometry.overlay import Anchor, is_tiled, mark_anchor, mark_size
from imgserve.pipeline import color
from imgserve.pipeline.fields import with_fields, without
from imgserve.transform.merge import at_density
from imgserve.transform.value import Transform

_PROFILE = "icc-profile-data"
OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Layer:
    """Pixels with alpha, and where they are on the picture."""

    image: pyvips.Image
    """In sRGB, or gray."""
    left: int
    top: int
    blend: str = "over"
    gap: int | None = None
    """Distance between the copies in a grid that covers the picture; None: there is one."""
    notes: tuple[str, ...] = ()


def lay_over(image: pyvips.Image, layer: Layer) -> pyvips.Image:
    """Return an image with a layer on it; it becomes one in color if the layer is."""
    top = layer.image
    if image.interpretation != top.interpretation:
        image, top = (one.colourspace("srgb") if one.interpretation == "b-w" else one for one in (image, top))
    if image.get_typeof(_PROFILE):
        top = _in_profile(top, image.get(_PROFILE))
    if layer.gap is not None:
        top = _tiled(top, Size(image.width, image.height), layer.gap)
        if layer.blend == "over":
            return image.composite2(top, "over")[: image.bands]
    image = image.copy_memory()  # the layer's place is read next to the whole; a streamed picture is read once
    below = image.crop(layer.left, layer.top, top.width, top.height)
    mixed = below.composite2(top if layer.blend == "over" else _blended(below, top, layer.blend), "over")
    return image.insert(mixed[: image.bands], layer.left, layer.top)


def _blended(below: pyvips.Image, top: pyvips.Image, mode: str) -> pyvips.Image:
    """Return a layer with the colors that it has on an image by a blend mode (Compositing and Blending 1, section 5.8).

    libvips multiplies what it blends by alpha twice, so that it only blends opaque colors here.
    """
    colors, alpha = top[: top.bands - 1], top[top.bands - 1]
    blended = below[: colors.bands].composite2(colors.bandjoin(OPAQUE), mode)[: colors.bands]
    if below.hasalpha():
        blended = below[below.bands - 1].ifthenelse(blended, colors, blend=True)
    return blended.bandjoin(alpha).copy(interpretation=top.interpretation)


def _in_profile(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """Return sRGB with alpha in the colors of a profile, or as it is if the profile is damaged."""
    colors = image[: image.bands - 1]
    try:
        lab = colors.icc_import(input_profile="srgb", intent="relative")
        exported = with_fields(lab, {_PROFILE: profile}).icc_export(depth=8, intent="relative").copy_memory()
    except pyvips.Error:
        return image
    if exported.bands != colors.bands:
        return image
    return without(exported.bandjoin(image[image.bands - 1]).copy(interpretation=image.interpretation), _PROFILE)


def mark_layer(canvas: Size, natural: Size, transform: Transform, draw: Callable[[Size], pyvips.Image]) -> Layer:
    """Return the mark of a transform on a picture of a size; `draw` returns its pixels at a size."""
    transform = at_density(transform, transform.dpr)
    quarters, degrees = divmod(transform.mark_rot, 90)
    image = color.with_alpha(draw(mark_size(canvas, natural, transform))).rot(f"d{90 * int(quarters)}")
    if degrees:
        bicubic = pyvips.Interpolate.new("bicubic")
        image = color.weighted(image, lambda flat: flat.similarity(angle=degrees, interpolate=bicubic))
    image = faded(image, transform.mark_alpha / 100).copy_memory()
    blend = "over" if transform.mark_blend == "normal" else transform.mark_blend
    if is_tiled(canvas, transform):
        gap = (
            transform.mark_pad if transform.mark_tile == "grid" else min(transform.mark_pad, image.width, image.height)
        )
        return Layer(image, 0, 0, blend, gap)
    return placed(image, canvas, mark_anchor(transform), blend)


def placed(image: pyvips.Image, canvas: Size, anchor: Anchor, blend: str = "over") -> Layer:
    """Return an image, or the part of it that a picture of a size has room for, at a place."""
    image = image.crop(0, 0, min(image.width, canvas.width), min(image.height, canvas.height))
    return Layer(image, *anchor.place(canvas, Size(image.width, image.height)), blend)


def _tiled(image: pyvips.Image, canvas: Size, gap: int) -> pyvips.Image:
    """Return a picture full of an image; as many as fit, and parts at the edges, are around the middle."""
    width, height = image.width + gap, image.height + gap
    across, down = (-(-side // step) + 2 for side, step in ((canvas.width, width), (canvas.height, height)))
    grid = image.embed(0, 0, width, height).replicate(across, down)
    left, top = (grid.width - gap - canvas.width) // 2, (grid.height - gap - canvas.height) // 2
    return grid.crop(left, top, canvas.width, canvas.height)


def faded(image: pyvips.Image, share: float) -> pyvips.Image:
    """Return an image with its alpha multiplied."""
    if share == 1:
        return image
    return image[: image.bands - 1].bandjoin((image[image.bands - 1] * share).rint().cast("uchar"))
