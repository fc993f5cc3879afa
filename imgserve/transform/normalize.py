"""The canonical text of a transform, in which parameters without effect for original and output are dropped."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote

from imgserve.errors import BadTransform
from imgserve.formats import FORMATS, MODERN, Format
from imgserve.transform.kinds import RECT
from imgserve.transform.merge import BOUNDS, contradictions
from imgserve.transform.parameters import AUTO_QUALITY, MARK, MAX_COLORS, PARAMETERS, TEXT
from imgserve.transform.value import Color, Fit, Gravity, Transform

_NO_FOCUS: Mapping[str, Any] = {"focus_x": None, "focus_y": None, "focus_zoom": 1.0}
_MOVING: Mapping[str, Any] = {"loop": None, "fps": None, "reverse": False}
"""Attributes of an animation, as they are without effect."""
_WHOLE = "0,0,1.0,1.0"  # as text: the tuple equals one pixel
_ROWS = ("top", "bottom")
_COLUMNS = ("left", "right")
_SIDES = frozenset((*_ROWS, *_COLUMNS, "center"))
FILLS: tuple[Fit, ...] = ("fill", "fillmax")
"""Fits with a colored canvas."""
_NEVER_ENLARGES = frozenset(("max", "min", "fillmax"))
_STILL: dict[Fit, Fit] = {"clip": "max", "min": "crop", "fillmax": "fill"}
"""The name of a fit when nothing is enlarged."""
_SAME_PICTURE: dict[Fit, Fit] = {"clip": "max", "min": "crop"}
"""Fits that show the same part in the same proportions and differ in size at most."""
COMPRESS_STEP = 15
"""How far `auto=compress` lowers the default quality."""
_COLORS_OF_MARKED = 32
"""The smallest palette of a picture with a watermark, whose colors a smaller one may not have."""
_QUARTER_TURN = 90
_WHITE: Color = (255, 255, 255, 255)
_NO_QUALITIES: Mapping[str, int] = MappingProxyType({})


def effective_fit(transform: Transform) -> Fit:
    """Return the fit, or the default if the caller named none."""
    if transform.fit is not None:
        return transform.fit
    return "crop" if _shape(transform) in ("box", "ratio") else "max"


def has_bounds(transform: Transform) -> bool:
    """Return whether a transform bounds the sides of a rendition."""
    return any((transform.min_width, transform.max_width, transform.min_height, transform.max_height))


def _shape(transform: Transform) -> Literal["free", "side", "ratio", "box"]:
    """Return which sides are requested: none, one, a ratio without size, or both."""
    if has_bounds(transform) or transform.zoom != 1:
        return "box"  # what it comes to depends on the original
    sides = (transform.width is not None) + (transform.height is not None)
    if transform.aspect is None:
        return ("free", "side", "box")[sides]
    return "box" if sides else "ratio"


def _fit(transform: Transform, *, vector: bool) -> tuple[Fit | None, bool]:
    """Return one name for each way of fitting, and whether enlarging makes a difference to it."""
    shape, fit = _shape(transform), transform.fit
    enlarge = transform.enlarge and not vector and fit not in _NEVER_ENLARGES
    if shape == "free":
        fit = None
    elif shape == "side":
        # A vector has any size without being enlarged; `max` still forbids it.
        fit = (fit if fit == "max" else None) if vector else ("clip" if enlarge else None)
    elif fit is not None and not enlarge:
        fit = ("crop" if fit == "min" else fit) if vector else _STILL.get(fit, fit)
    return None if fit == "crop" else fit, enlarge


def _crop(transform: Transform, *, focal_point: bool) -> Transform:
    """Return only the gravity that decides, and the focal point only if it does."""
    crop, x, y, zoom = _decisive(transform.crop), transform.focus_x, transform.focus_y, transform.focus_zoom
    if crop == ("center",) and not focal_point:
        crop = ()
    elif crop in ((), ("focalpoint",)):
        if transform.rect is None and transform.trim is None and not focal_point:
            # The center has no effect.
            x, y = (None if place == 0.5 else place for place in (x, y))  # noqa: PLR2004
        named = (x, y, zoom) != (None, None, 1.0)
        return transform.with_values(crop=("focalpoint",) if named else (), focus_x=x, focus_y=y)
    return transform.with_values(crop=crop, **_NO_FOCUS)


def _decisive(crop: tuple[Gravity, ...]) -> tuple[Gravity, ...]:
    """Return the first usable word; sides combine, and opposite ones mean the center."""
    # Faces that are known are a focal point already; without them, `auto` is what draws attention.
    usable = ["edges" if word == "auto" else word for word in crop if word != "faces"]
    if not usable or usable[0] not in _SIDES:
        return tuple(usable[:1])
    vertical = [word for word in usable if word in _ROWS]
    horizontal = [word for word in usable if word in _COLUMNS]
    return tuple(word for words in (vertical, horizontal) if len(words) == 1 for word in words) or ("center",)


def normalize(
    transform: Transform,
    original: Format,
    output: Format,
    qualities: Mapping[str, int] = _NO_QUALITIES,
    *,
    focal_point: bool = False,
) -> Transform:
    """Return a transform without the parameters that have no effect for these formats; idempotent.

    Args:
        transform: the requested transform.
        original: the format of the original.
        output: the format of the rendition.
        qualities: configured default qualities by format.
        focal_point: the image has a stored one, so that a crop to the center differs from the default.

    Raises:
        BadTransform: the quality is above 100 and the output is not GIF, or the codec of the output is not installed.
    """
    gain_map = original.name in {"jpg", "heic"} and output.name == "jpg"
    named = transform.with_values(format=output.name, hdr=transform.hdr if gain_map else "preserve")
    mistakes = contradictions({"quality": named.quality, "format": output.name})
    if mistakes := [*mistakes, *([f"format: {output.missing_extra}"] if output.missing_extra else [])]:
        raise BadTransform(mistakes)
    normalized = _frames(_output(_overlays(_tones(named)), output, qualities), original, output)
    if normalized.trim is None or (normalized.trim == "alpha" and not original.alpha):
        normalized = normalized.with_values(trim=None, trim_tol=_DEFAULTS["trim_tol"])
    normalized = normalized.with_values(face_pad=None, face_index=None)
    normalized = _size(_surrounded(normalized), vector=original.name == "svg", focal_point=focal_point)
    return _background(normalized, original, output)


def _size(transform: Transform, *, vector: bool, focal_point: bool) -> Transform:
    both = transform.width is not None and transform.height is not None
    sized = transform.width is not None or transform.height is not None or has_bounds(transform)
    resized = sized or transform.zoom != 1
    # A ratio alone is a box without a size: it can be cropped to, but not be fitted inside or filled.
    pointless = not resized and transform.fit not in (None, "crop", "min")
    sides = transform.with_values(
        aspect=None if both or pointless else transform.aspect,
        dpr=transform.dpr if sized else 1.0,
        enlarge=transform.enlarge and resized,
        rect=None if transform.rect and RECT.write(transform.rect) == _WHOLE else transform.rect,
    )
    fit, enlarge = _fit(sides, vector=vector)
    normalized = sides.with_values(fit=fit, enlarge=enlarge)
    if effective_fit(normalized) == "crop":
        normalized = _crop(normalized, focal_point=focal_point)
    else:
        normalized = normalized.with_values(crop=(), **_NO_FOCUS)
    return normalized if fit in FILLS else normalized.with_values(fill="solid", fill_color=None)


def _surrounded(transform: Transform) -> Transform:
    """Return one way to write each border and shape."""
    border = transform.border if transform.border and transform.border[0] else None
    radius, mask = transform.corner_radius, transform.mask
    if mask == "ellipse" or radius is None:
        return transform.with_values(border=border, corner_radius=None)
    # A radius says that corners are round.
    return transform.with_values(border=border, mask=None, corner_radius=radius if any(radius) else None)


def _output(transform: Transform, output: Format, qualities: Mapping[str, int]) -> Transform:
    name, quality, colors = output.name, transform.quality, transform.colors
    if quality and output.name == "gif":
        colors = colors or max(2, quality)
    if colors and transform.mark:
        colors = max(colors, _COLORS_OF_MARKED)
    lossless = transform.lossless and name in ("webp", "avif", "jxl")
    default = qualities.get(name, output.quality)
    auto = transform.auto & {"enhance"}
    if "best" in transform.auto:
        # Without other formats it is only a question of quality.
        others = transform.auto.intersection(MODERN)
        auto, quality = (auto.union(("best",), others), None) if others else (auto, AUTO_QUALITY)
    elif quality is None and default is not None and "compress" in transform.auto:
        quality = max(1, default - COMPRESS_STEP)
    if default is None or output.quality is None or lossless:
        quality = None
    # A GIF has at most 256 colors anyway, and a lossless picture has full chroma.
    everything = name == "gif" and colors == MAX_COLORS
    return transform.with_values(
        quality=None if quality == default else quality,
        colors=colors if name in ("png", "gif") and not everything else None,
        lossless=lossless,
        auto=auto,
        progressive=transform.progressive and name == "jpg",
        chroma=transform.chroma if name in ("jpg", "avif") and not lossless else "420",
    )


def _tones(transform: Transform) -> Transform:
    """Remove what a later change of colors replaces."""
    colorless: Mapping[str, Any] = {"saturation": 0.0, "vibrance": 0.0, "hue": 0.0}
    if transform.duotone is not None:
        return transform.with_values(monochrome=None, grayscale=False, sepia=0.0, **colorless)
    if transform.monochrome is not None:
        return transform.with_values(grayscale=False, sepia=0.0, **colorless)
    if transform.grayscale or transform.saturation == -100:  # noqa: PLR2004  gray
        return transform.with_values(grayscale=True, **colorless)
    return transform.with_values(pixelate=0) if transform.pixelate == 1 else transform


def _overlays(transform: Transform) -> Transform:
    """Remove what a missing or invisible text or mark leaves without effect."""
    removed = () if transform.text.strip() else TEXT
    if not transform.text_line:
        removed = (*removed, "text_line_color")
    if not (transform.mark and transform.mark_alpha):
        removed = (*removed, *MARK)
    elif transform.mark_tile == "grid":
        removed = (*removed, "mark_align", "mark_x", "mark_y")
    if transform.mark_w is not None or transform.mark_h is not None:
        removed = (*removed, "mark_scale")
    defaults: dict[str, Any] = {name: _DEFAULTS[name] for name in removed}
    return transform.with_values(**defaults)


def _frames(transform: Transform, original: Format, output: Format) -> Transform:
    page = transform.page if original.pages else 1
    if not original.animation:
        return transform.with_values(page=page, frame=None, animate=True, **_MOVING)
    frame = transform.frame
    if not (transform.animate and output.animation) or (frame and frame[0] == frame[1]):
        # `animate=0` means the first frame as a still, which is the default of a still output.
        first = frame is None or frame[0] == 1
        frame = None if first or frame is None else (frame[0], frame[0])
        return transform.with_values(page=page, frame=frame, animate=not (first and output.animation), **_MOVING)
    return transform.with_values(page=page)


def _background(transform: Transform, original: Format, output: Format) -> Transform:
    """Remove the colors that are not visible, and the white that is the default without alpha."""
    plain = None if output.alpha else _WHITE
    background, fill_color = transform.background, transform.fill_color
    if fill_color == background or transform.fill == "blur":
        fill_color = None
    transform = transform.with_values(fill_color=fill_color)
    if background == plain or not _shows_background(transform, original):
        background = None
    # Compared again, now with the remaining background.
    return transform.with_values(
        background=background, fill_color=None if fill_color == (background or plain) else fill_color
    )


def _shows_background(transform: Transform, original: Format) -> bool:
    """Return whether anything of a rendition may be transparent, or is drawn in the color of the background."""
    return (
        original.alpha
        or bool(transform.rotate % _QUARTER_TURN)
        or (transform.fit in FILLS and transform.fill == "solid" and transform.fill_color is None)
        or any(transform.pad)
        or (transform.mask or transform.corner_radius) is not None
        or (transform.border is not None and transform.border[1][3] < _WHITE[3])
    )


_DEFAULTS = {item.name: item.default for item in fields(Transform)}
_NO_SIZE_OR_ENCODING = {
    name: _DEFAULTS[name]
    for name in (
        *("width", "height", "aspect", "dpr", "enlarge", "zoom", *BOUNDS),
        *("format", "quality", "max_bytes", "lossless", "progressive", "chroma"),
    )
}
_TABLE = [
    (row.name, row.attribute, row.kind.write, _DEFAULTS[row.attribute])
    for row in sorted(PARAMETERS, key=lambda row: row.name)
    if row.attribute in _DEFAULTS
]
_SAFE = ",:"  # readable in a URL and allowed in a file name, unlike the slash


def canonical(transform: Transform) -> str:
    """Return a text that is the same for equal transforms; parsing it returns the transform."""
    pairs = []
    for name, attribute, write, default in _TABLE:
        value = getattr(transform, attribute)
        if value != default:
            pairs.append(f"{name}={quote(write(value), safe=_SAFE)}")
    return "&".join(pairs)


def canonical_steps(steps: Sequence[Transform]) -> str:
    """Return the canonical text of the transforms of a chain; only the last one has an encoding."""
    *earlier, last = steps
    plain = (step.with_values(format=None, lossless=False) for step in earlier)
    return "&then&".join([*map(canonical, plain), canonical(last)])


def likeness(transform: Transform, original: Format) -> Transform:
    """Return a normalized transform without scale and encoding, with the defaults of its formats written out.

    Two transforms of equal likeness show the same picture if their geometry agrees. A field that is not named here
    makes a difference.
    """
    output = FORMATS[transform.format] if transform.format else original
    fit = effective_fit(transform)
    solid = fit in FILLS and transform.fill == "solid"
    ground = transform.background
    # For a format without alpha it is white by default.
    if ground is None and not output.alpha and _shows_background(transform.with_values(fit=fit), original):
        ground = _WHITE
    frame = transform.frame
    still = frame is not None and frame[0] == frame[1]
    moves = original.animation and output.animation and transform.animate and not still
    return transform.with_values(
        fit=_SAME_PICTURE.get(fit, fit),
        auto=transform.auto & {"enhance"},
        background=ground,
        fill_color=(transform.fill_color or ground) if solid else None,
        animate=moves,
        **_NO_SIZE_OR_ENCODING,
    )
