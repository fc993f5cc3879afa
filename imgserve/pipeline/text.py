"""Draw a text in any script: Pango finds a font for each character, and boxes with digits stand for the rest."""

import functools
import html
import math
import unicodedata
from dataclasses import replace

import pyvips

from imgserve.errors import BadTransform
from imgserve.geometry.box import Size
from imgserve.geometry.overlay import Anchor, part_of
from imgserve.pipeline.overlays import OPAQUE, Layer, faded, placed
from imgserve.transform.merge import at_density
from imgserve.transform.value import Color, Transform

_BLACK: Color = (0, 0, 0, OPAQUE)
_ALWAYS = frozenset({"sans-serif", "sans", "serif", "monospace", "dejavu sans"})
"""Families that every installation has."""
_SAMPLE, _NO_FAMILY = "Hamburgefonstiv 0369", "no such family"
_WIDEST, _HIGHEST, _MOST_HEIGHTS = 1.4, 1.6, 4
"""Of a character and of a line, in parts of the font's size; of the first try, in parts of the room."""
_STEP, _MOST_TRIES = 0.97, 6
"""Factor by which a next try is smaller than the height of the last one suggests, since lines end elsewhere."""
_POINT, _FINE = 12, 6
"""Size of all fonts, and the density in dots per inch at which they have one pixel: steps are a sixth of a pixel."""
_BOX_PAD, _SHADE = 0.35, 0.015
"""Distance of a box, and standard deviation of a shadow for each step of its strength, in parts of the font's size."""
_GAIN = 44
"""Reciprocal of the part of a blurred edge at a distance of two standard deviations."""
_COLUMNS, _ALIGNS = ("left", "center", "right"), ("low", "centre", "high")


def text_layer(canvas: Size, transform: Transform) -> Layer | None:
    """Return the text of a transform on a picture of a size, or None if it has no ink.

    A text that does not fit is made smaller, with all that surrounds it.
    """
    transform = at_density(transform, transform.dpr)
    anchor = Anchor(transform.text_align, transform.text_x, transform.text_y, transform.text_pad)
    room, around = anchor.within(canvas), _around(transform)
    wide, high = (max(1, side - 2 * min(around, side // 4)) for side in (room.width, room.height))
    drawn = _fitting(transform, Size(min(wide, part_of(canvas.width, transform.text_width) or wide), high))
    if drawn is None:
        return None
    glyphs, size = drawn
    line = math.ceil(transform.text_line * size / transform.text_size)
    image = _surrounded(glyphs, replace(transform, text_size=max(1, round(size)), text_line=line))
    family = transform.text_font.partition(",")[0]
    notes = () if _is_installed(family) else (f"text-font: {family} is not installed, the default font is used",)
    return replace(placed(image.copy_memory(), canvas, anchor), notes=notes)


def _around(transform: Transform) -> int:
    """Return how far outline, shadow and box reach beyond the ink."""
    shadow = 3 * transform.text_shadow * transform.text_size * _SHADE
    box = transform.text_size * _BOX_PAD if transform.text_background else 0
    return transform.text_line + round(shadow) + round(box)


def _surrounded(glyphs: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Return ink over its outline, its shadow and its box."""
    around = _around(transform)
    glyphs = glyphs.embed(around, around, glyphs.width + 2 * around, glyphs.height + 2 * around)
    layers = [faded(glyphs, transform.text_color[3] / OPAQUE)]
    if transform.text_line:
        layers.insert(0, _solid(transform.text_line_color, _grown(glyphs[3], transform.text_line)))
    if transform.text_shadow:
        layers.insert(0, _solid(_BLACK, _shade(layers[0][3], transform)))
    if transform.text_background:
        layers.insert(0, _solid(transform.text_background, glyphs[3].new_from_image(OPAQUE)))
    return layers[0].composite(layers[1:], "over").cast("uchar") if len(layers) > 1 else layers[0]


def _fitting(transform: Transform, room: Size) -> tuple[pyvips.Image, float] | None:
    """Return the ink of a text and the size of its font: as requested, or smaller so that it fits; None for no ink."""
    density = max(1, int(min(transform.text_size, _drawable_size(transform.text, room)) * _FINE))
    glyphs = None
    for _ in range(_MOST_TRIES):
        try:
            glyphs = _drawn(transform, room.width, density)
        except pyvips.Error as error:
            if "no text" in error.detail:
                return None
            if density == 1:
                raise BadTransform([f"text: it cannot be drawn ({error.detail.strip()})"]) from error
            shrink = 0.25  # some characters are many times as wide as others
        else:
            across, down = room.width / glyphs.width, room.height / glyphs.height
            shrink = _STEP * min(1.0, across, math.sqrt(down))
            if density == 1 or min(across, down) >= 1:
                break
        density = max(1, min(density - 1, int(density * shrink)))
    if glyphs is None:
        raise BadTransform(["text: it cannot be drawn"])
    return glyphs, density / _FINE


def _drawable_size(text: str, room: Size) -> float:
    """Return the size of a font at which even wide characters take at most a few times the room."""
    square, linear = len(text) * _WIDEST / room.width, text.count("\n") + 1
    height = _MOST_HEIGHTS * room.height / _HIGHEST  # (square * size + linear) * size
    return (math.sqrt(linear**2 + 4 * square * height) - linear) / (2 * square)


def _drawn(transform: Transform, width: int, density: int) -> pyvips.Image:
    """Return the ink of a text, whose lines end at a width."""
    family, *styles = transform.text_font.split(",")
    digits = bytes(transform.text_color[:3]).hex()
    # Pango counts lines of scripts from right to left from the other side.
    aligned = _ALIGNS[:: -1 if _is_right_to_left(transform.text) else 1][_COLUMNS.index(transform.text_align[1])]
    return pyvips.Image.text(
        f'<span foreground="#{digits}">{html.escape(transform.text)}</span>',
        font=f"{family}, {' '.join(styles)} {_POINT}",
        dpi=density,
        align=aligned,
        width=width,
        rgba=True,
        wrap="word-char",
    )


def _is_right_to_left(text: str) -> bool:
    """Return whether the first letter of a text belongs to a script from right to left."""
    classes = (unicodedata.bidirectional(character) for character in text)
    return next((known in {"R", "AL"} for known in classes if known in {"L", "R", "AL"}), False)


def _shade(mask: pyvips.Image, transform: Transform) -> pyvips.Image:
    sigma = transform.text_shadow * transform.text_size * _SHADE
    moved = mask.embed(round(sigma), round(sigma), mask.width, mask.height)
    return (moved.gaussblur(max(0.5, sigma)) * 1.5).cast("uchar")


def _grown(mask: pyvips.Image, radius: int) -> pyvips.Image:
    """Return a mask that reaches farther in all directions: a blur, of which little is enough."""
    return (mask.gaussblur(radius / 2, min_ampl=0.01, precision="float") * _GAIN).cast("uchar")


def _solid(paint: Color, mask: pyvips.Image) -> pyvips.Image:
    """Return a color behind a mask."""
    alpha = (mask * (paint[3] / OPAQUE)).rint().cast("uchar")
    return alpha.new_from_image(list(paint[:3])).cast("uchar").copy(interpretation="srgb").bandjoin(alpha)


@functools.lru_cache(1024)
def _is_installed(family: str) -> bool:
    """Return whether there is a font of a family, for which another font would stand in."""
    drawn = (pyvips.Image.text(_SAMPLE, font=f"{one}, {_POINT}") for one in (family, _NO_FAMILY))
    return family in _ALWAYS or len({bytes(image.write_to_memory()) for image in drawn}) > 1
