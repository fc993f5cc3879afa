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
_TABLE = [(row.name, row.attribute, row.kind.write, getattr(_DEFAULTS, row.attribute)) for row in _ROWS]
_SAFE = ",:"  # readable in a URL and allowed in a file name, unlike the slash
_WHITE: Color = (255, 255, 255, 255)
_QUARTER_TURN = 90
_SAME_PICTURE: dict[Fit, Fit] = {"clip": "max", "min": "crop"}
"""Fits that show the same part in the same proportions and differ in size at most."""


def canonical(transform: Transform) -> str:
    """Return a text that is the same for equal transforms; parsing it returns the transform."""
    pairs = []
    for name, attribute, write, default in _TABLE:
        value = getattr(transform, attribute)
        if value != default:
            pairs.append(f"{name}={quote(write(value), safe=_SAFE)}")
    return "&".join(pairs)


def likeness(transform: Transform, original: Format) -> Transform:
    """Return a normalized transform without scale and encoding, with the defaults of its formats written out.

    Two transforms of equal likeness show the same picture if their geometry agrees. A field that is not named here
    makes a difference.
    """
    output = FORMATS[transform.format] if transform.format else original
    fit = effective_fit(transform)
    solid = fit in FILLS and transform.fill == "solid"
    ground = _ground(transform, original, output, filled=solid and transform.fill_color is None)
    moves = original.animation and output.animation and transform.animate and transform.frame is None
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
        fill_color=(transform.fill_color or ground) if solid else None,
        animate=moves,
    )


def _ground(transform: Transform, original: Format, output: Format, *, filled: bool) -> Color | None:
    """Return the color behind the picture; for a format without alpha it is white by default."""
    visible = original.alpha or transform.rotate % _QUARTER_TURN or filled
    if not visible or transform.background is not None:
        return transform.background
    return None if output.alpha else _WHITE
