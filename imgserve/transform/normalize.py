"""Normalize a transform for one original and one output format: parameters without effect are dropped."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from imgserve.errors import BadTransform
from imgserve.formats import Format
from imgserve.transform.kinds import RECT
from imgserve.transform.merge import contradictions
from imgserve.transform.parameters import MAX_COLORS, MAX_QUALITY
from imgserve.transform.parse import ParsedQuery
from imgserve.transform.value import Fit, Gravity, Transform

Shape = Literal["free", "side", "ratio", "box"]
_WHOLE = "0,0,1.0,1.0"  # as text: the tuple equals one pixel
_CENTER = 0.5
_ROWS = ("top", "bottom")
_COLUMNS = ("left", "right")
_SIDES = frozenset((*_ROWS, *_COLUMNS, "center"))
FILLS: tuple[Fit, ...] = ("fill", "fillmax")
"""Fits with a canvas that takes a color."""
_NEEDS_NO_SIZE = (None, "crop", "min")
_NEVER_ENLARGES = frozenset(("max", "min", "fillmax"))
_STILL: dict[Fit, Fit] = {"clip": "max", "min": "crop", "fillmax": "fill"}
"""What a fit is called once nothing is enlarged."""
_VECTOR_FITS: dict[Fit, Fit] = {"min": "crop"}
"""The same for a vector, which has any size without being enlarged."""


def normalize_frame(transform: Transform, *, vector: bool, focal_point: bool) -> Transform:
    """Drop what frames nothing, and say what is left in one way."""
    sized = _sides(transform)
    normalized = _vector_fit(sized) if vector else _fit(sized)
    cropped = effective_fit(normalized) == "crop"
    normalized = _focus(normalized, focal_point=focal_point) if cropped else _without_crop(normalized)
    return normalized if normalized.fit in FILLS else replace(normalized, fill="solid", fill_color=None)


def effective_fit(transform: Transform) -> Fit:
    """Tell the fit that holds where the caller named none."""
    if transform.fit is not None:
        return transform.fit
    return "crop" if _shape(transform) in ("box", "ratio") else "max"


def _shape(transform: Transform) -> Shape:
    """Tell how much of a box is asked for: nothing, one side, a ratio without size, or all of it."""
    sides = (transform.width is not None) + (transform.height is not None)
    if transform.aspect is None:
        return ("free", "side", "box")[sides]
    return "box" if sides else "ratio"


def _sides(transform: Transform) -> Transform:
    both = transform.width is not None and transform.height is not None
    sized = transform.width is not None or transform.height is not None
    # A ratio alone is a box without a size: something to crop to, nothing to fit inside or to fill.
    pointless = not sized and transform.fit not in _NEEDS_NO_SIZE
    return replace(
        transform,
        aspect=None if both or pointless else transform.aspect,
        dpr=transform.dpr if sized else 1.0,
        enlarge=transform.enlarge and sized,
        rect=None if transform.rect and RECT.write(transform.rect) == _WHOLE else transform.rect,
    )


def _fit(transform: Transform) -> Transform:
    """Name each way of fitting once; without a box, what remains is whether to enlarge."""
    shape, enlarge = _shape(transform), transform.enlarge and transform.fit not in _NEVER_ENLARGES
    if shape == "free":
        return replace(transform, fit=None)
    if shape == "side":
        return replace(transform, fit="clip" if enlarge else None, enlarge=enlarge)
    fit = transform.fit if enlarge or transform.fit is None else _STILL.get(transform.fit, transform.fit)
    return replace(transform, fit=None if fit == "crop" else fit, enlarge=enlarge)


def _vector_fit(transform: Transform) -> Transform:
    """Name each way of fitting a vector once; growing needs no leave, but `max` still forbids it."""
    shape, fit = _shape(transform), transform.fit
    if shape == "free" or (shape == "side" and fit != "max"):
        fit = None
    elif fit is not None:
        fit = _VECTOR_FITS.get(fit, fit)
    return replace(transform, fit=None if fit == "crop" else fit, enlarge=False)


def _without_crop(transform: Transform) -> Transform:
    return replace(transform, crop=(), focus_x=None, focus_y=None, focus_zoom=1.0)


def _focus(transform: Transform, *, focal_point: bool) -> Transform:
    """Keep the one gravity that decides, and the focal point only if it is that."""
    crop = _decisive(transform.crop)
    if crop == ("center",) and not focal_point:
        crop = ()
    elif crop in ((), ("focalpoint",)):
        return _focal_point(transform, focal_point=focal_point)
    return replace(_without_crop(transform), crop=crop)


def _focal_point(transform: Transform, *, focal_point: bool) -> Transform:
    """Drop coordinates that are the middle anyway; inside a rect, or over a stored point, they are not."""
    x, y = transform.focus_x, transform.focus_y
    if transform.rect is None and not focal_point:
        x, y = (None if place == _CENTER else place for place in (x, y))
    asked = (x, y, transform.focus_zoom) != (None, None, 1.0)
    return replace(transform, crop=("focalpoint",) if asked else (), focus_x=x, focus_y=y)


def _decisive(crop: tuple[Gravity, ...]) -> tuple[Gravity, ...]:
    """Reduce a list to its first usable word; sides combine, and opposite ones meet in the center."""
    usable = [word for word in crop if word != "faces"]  # which nothing detects yet
    if not usable or usable[0] not in _SIDES:
        return tuple(usable[:1])
    vertical = [word for word in usable if word in _ROWS]
    horizontal = [word for word in usable if word in _COLUMNS]
    return tuple(word for words in (vertical, horizontal) if len(words) == 1 for word in words) or ("center",)


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


def normalize(
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
    normalized = _output(_quality(named, output, qualities), output)
    normalized = _frames(normalized, original, output)
    normalized = normalize_frame(normalized, vector=original.name == _VECTOR, focal_point=focal_point)
    return _background(normalized, original, output)


def _quality(transform: Transform, output: Format, qualities: Mapping[str, int]) -> Transform:
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


def _output(transform: Transform, output: Format) -> Transform:
    name = output.name
    # A GIF has at most 256 colors anyway, and a lossless picture keeps its chroma.
    everything = name == "gif" and transform.colors == MAX_COLORS
    return replace(
        transform,
        progressive=transform.progressive or name not in _PROGRESSIVE,
        chroma=transform.chroma if name in _CHROMA and not transform.lossless else "420",
        colors=transform.colors if name in _PALETTE and not everything else None,
    )


def _frames(transform: Transform, original: Format, output: Format) -> Transform:
    page = transform.page if original.name in _PAGED else 1
    if original.name not in _FRAMED:
        return replace(transform, page=page, frame=None, animate=True)
    # The first frame as a still is what `animate=0` asks for; a still output takes it unasked.
    first = transform.frame == 1 or (transform.frame is None and not transform.animate)
    frame = None if first else transform.frame
    return replace(transform, page=page, frame=frame, animate=not (first and output.animation))


def _background(transform: Transform, original: Format, output: Format) -> Transform:
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


def snapped(asked: ParsedQuery, sizes: Sequence[int]) -> ParsedQuery:
    """Raise each side in pixels to the next of the ascending sizes (above the last: to it), and say so.

    A side given as a fraction or left open follows from the original, of which there is one.
    """
    transform, notes = asked.transform, list(asked.notes)

    def step(name: str, side: int | float | None) -> int | float | None:
        if not isinstance(side, int) or side in sizes:
            return side
        made = sizes[min(bisect_left(sizes, side), len(sizes) - 1)]
        notes.append(f"{name}: {side} is not a size of this server, made {made}")
        return made

    width, height = step("width", transform.width), step("height", transform.height)
    return replace(asked, transform=replace(transform, width=width, height=height), notes=tuple(notes))
