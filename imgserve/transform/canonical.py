"""The canonical text of a transform (cache key and file name) and the comparison of two transforms."""

from dataclasses import fields, replace
from urllib.parse import quote

from imgserve.formats import FORMATS, Format
from imgserve.transform.normalize import FILLS, effective_fit
from imgserve.transform.parameters import PARAMETERS
from imgserve.transform.value import Color, Fit, Transform

_DEFAULTS = Transform()
_ATTRIBUTES = frozenset(item.name for item in fields(Transform))
_ROWS = sorted((row for row in PARAMETERS if row.attribute in _ATTRIBUTES), key=lambda row: row.name)
_SAFE = ",:"  # readable in a URL and allowed in a file name, as the slash is not


def canonical(transform: Transform) -> str:
    """Write a transform so that equal transforms give equal text and parsing the text gives it back."""
    pairs = []
    for row in _ROWS:
        value = getattr(transform, row.attribute)
        if value != getattr(_DEFAULTS, row.attribute):
            pairs.append(f"{row.name}={quote(row.kind.write(value), safe=_SAFE)}")
    return "&".join(pairs)


_WHITE: Color = (255, 255, 255, 255)
_QUARTER_TURN = 90
_SAME_PICTURE: dict[Fit, Fit] = {"clip": "max", "min": "crop"}
"""Fits that show the same part in the same proportions, and differ in size at most."""


def likeness(transform: Transform, original: Format) -> Transform:
    """Drop from a settled transform what only changes its scale or its encoding, and spell out what formats imply.

    Two transforms of equal likeness show the same picture where their geometry agrees. A field that is not named here
    makes a difference.
    """
    fit = effective_fit(transform)
    ground = _ground(transform, original)
    fills = fit in FILLS and transform.fill == "solid"
    return replace(
        transform,
        width=None,
        height=None,
        aspect=None,
        dpr=1.0,
        fit=_SAME_PICTURE.get(fit, fit),
        enlarge=False,
        format=None,
        auto=frozenset(),
        quality=None,
        lossless=False,
        progressive=True,
        chroma="420",
        background=ground,
        fill_color=(transform.fill_color or ground) if fills else None,
        animate=_moves(transform, original),
    )


def _ground(transform: Transform, original: Format) -> Color | None:
    """Tell what is seen behind the picture: where the format has no alpha it is white, named or not."""
    output = FORMATS[transform.format] if transform.format else original
    filled = effective_fit(transform) in FILLS and transform.fill == "solid" and transform.fill_color is None
    seen = original.alpha or transform.rotate % _QUARTER_TURN or filled
    if not seen or transform.background is not None:
        return transform.background
    return None if output.alpha else _WHITE


def _moves(transform: Transform, original: Format) -> bool:
    output = FORMATS[transform.format] if transform.format else original
    return original.animation and output.animation and transform.animate and transform.frame is None
