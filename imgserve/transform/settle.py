"""A transform made concrete for one original and one output: what has no effect is dropped.

So equal canonical text covers as many URLs as possible. Nothing here decides the output format.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from imgserve.errors import BadTransform
from imgserve.formats import Format
from imgserve.transform.fields import MAX_COLORS, MAX_QUALITY
from imgserve.transform.fold import contradictions
from imgserve.transform.framing import FILLS, settle_frame
from imgserve.transform.value import Transform

COMPRESS_STEP = 15
"""How far `auto=compress` lowers the default quality."""

_LOSSLESS = frozenset({"webp", "avif"})
_PROGRESSIVE = frozenset({"jpg"})
_CHROMA = frozenset({"jpg", "avif"})
_PALETTE = frozenset({"png", "gif"})
_PAGED = frozenset({"tiff"})
_VECTOR = "svg"
_FRAMED = frozenset({"gif", "webp"})
_QUARTER_TURN = 90
_WHITE = (255, 255, 255, 255)
_NO_QUALITIES: Mapping[str, int] = MappingProxyType({})


def settle(
    transform: Transform,
    original: Format,
    output: Format,
    qualities: Mapping[str, int] = _NO_QUALITIES,
    *,
    focal_point: bool = False,
) -> Transform:
    """Write a transform as this pair of formats understands it; settling twice changes nothing.

    Args:
        transform: what is asked for.
        original: the format by the first bytes.
        output: the format decided on; a quality above 100 is a BadTransform where it is not GIF.
        qualities: configured default qualities by format.
        focal_point: one is stored on the image, so that asking for the center is not the same as not asking.
    """
    named = replace(transform, format=output.name)
    if mistakes := contradictions({"quality": named.quality, "format": output.name}):
        raise BadTransform(mistakes)
    settled = _settle_output(_settle_quality(named, output, qualities), output)
    settled = _settle_frames(settled, original, output)
    settled = settle_frame(settled, vector=original.name == _VECTOR, focal_point=focal_point)
    return _settle_background(settled, original, output)


def _settle_quality(transform: Transform, output: Format, qualities: Mapping[str, int]) -> Transform:
    quality, colors = transform.quality, transform.colors
    if quality is not None and quality > MAX_QUALITY:
        colors = colors or quality
    lossless = transform.lossless and output.name in _LOSSLESS
    default = qualities.get(output.name, output.quality)
    if default is None or output.quality is None or lossless:
        quality = None
    elif quality is None and "compress" in transform.auto:
        quality = max(1, default - COMPRESS_STEP)
    return replace(
        transform,
        quality=None if quality == default else quality,
        colors=colors,
        lossless=lossless,
        auto=frozenset(),
    )


def _settle_output(transform: Transform, output: Format) -> Transform:
    name = output.name
    # A GIF has at most 256 colors anyway, and a lossless picture keeps its chroma.
    everything = name == "gif" and transform.colors == MAX_COLORS
    return replace(
        transform,
        progressive=transform.progressive or name not in _PROGRESSIVE,
        chroma=transform.chroma if name in _CHROMA and not transform.lossless else "420",
        colors=transform.colors if name in _PALETTE and not everything else None,
    )


def _settle_frames(transform: Transform, original: Format, output: Format) -> Transform:
    page = transform.page if original.name in _PAGED else 1
    if original.name not in _FRAMED:
        return replace(transform, page=page, frame=None, animate=True)
    # The first frame as a still is what `animate=0` asks for; a still output takes it unasked.
    first = transform.frame == 1 or (transform.frame is None and not transform.animate)
    frame = None if first else transform.frame
    return replace(transform, page=page, frame=frame, animate=not (first and output.animation))


def _settle_background(transform: Transform, original: Format, output: Format) -> Transform:
    """Drop the colors that nothing shows, and the white that an output without alpha has anyway."""
    plain = None if output.alpha else _WHITE
    background, fill_color = transform.background, transform.fill_color
    if fill_color == background or transform.fill == "blur":
        fill_color = None
    filled = transform.fit in FILLS and transform.fill == "solid" and fill_color is None
    if not (original.alpha or transform.rotate % _QUARTER_TURN or filled) or background == plain:
        background = None
    # Compared again with what is left behind it.
    return replace(
        transform, background=background, fill_color=None if fill_color == (background or plain) else fill_color
    )
