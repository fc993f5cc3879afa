"""The transform as a value: parsed once and never checked again."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

Fit = Literal["clip", "max", "crop", "min", "fill", "fillmax", "scale", "clamp"]
Gravity = Literal["top", "bottom", "left", "right", "center", "entropy", "edges", "auto", "faces", "focalpoint"]
Align = tuple[Literal["top", "middle", "bottom"], Literal["left", "center", "right"]]
Color = tuple[int, int, int, int]
"""Red, green, blue, alpha, each 0..255."""
Four = tuple[int, int, int, int]
"""Pixels at the top, right, bottom and left; or at the corners, clockwise from the upper left."""
NO_PAD: Four = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Transform:
    """What to make of an original; a field at its default has no effect.

    A length that is an `int` is pixels, one that is a `float` a fraction of the upright original.
    """

    width: int | float | None = None
    height: int | float | None = None
    aspect: tuple[int, int] | None = None
    """Width to height in lowest terms."""
    fit: Fit | None = None
    """None: `crop` where both sides are known, else `max`."""
    enlarge: bool = False
    min_width: int | None = None
    """This and the next three: bounds of the rendition in pixels."""
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    zoom: float = 1.0
    """Factor of the sides, 0 < x <= 10."""
    crop: tuple[Gravity, ...] = ()
    focus_x: float | None = None
    focus_y: float | None = None
    focus_zoom: float = 1.0
    face_pad: float | None = None
    """This and the next: only until the faces of an original are known, which make a focal point."""
    face_index: int | None = None
    rect: tuple[int | float, int | float, int | float, int | float] | None = None
    """Left, top, width, height in the upright image, before resizing."""
    trim: Literal["auto", "color", "alpha"] | Color | None = None
    """What is cut off around the picture, after `rect`; `color` is that of the upper left pixel."""
    trim_color: Color | None = None
    """Only until it is merged into `trim`."""
    trim_tol: float = 10.0
    """How far a pixel may differ from what is cut off, 0..255."""
    dpr: float = 1.0
    orient: int | None = None
    """None: as EXIF says; 0 or 1: as stored; 2..8: this EXIF orientation; 90, 180, 270: this clockwise turn."""
    rotate: float = 0.0
    """Degrees clockwise, after the upright turn."""
    flip: Literal["", "h", "v", "hv"] = ""
    format: str | None = None
    """A name in `formats.FORMATS`; None: the original's if web-safe."""
    auto: frozenset[str] = frozenset()
    """With `best`, normalized: the other formats of which the smallest picture is chosen."""
    quality: int | None = None
    """0: as high as the similarity that is set requires."""
    max_bytes: int | None = None
    lossless: bool = False
    progressive: bool = False
    chroma: Literal["420", "444"] = "420"
    colors: int | None = None
    """Palette size 2..256 of PNG and GIF."""
    background: Color | None = None
    fill: Literal["solid", "blur"] = "solid"
    fill_color: Color | None = None
    pad: Four = NO_PAD
    """Pixels outside the border, inside the requested size."""
    pad_top: int | None = None
    """This and the next three: only until they are merged into `pad`."""
    pad_right: int | None = None
    pad_bottom: int | None = None
    pad_left: int | None = None
    border: tuple[int, Color] | None = None
    """Pixels and color."""
    mask: Literal["ellipse", "corners"] | None = None
    corner_radius: Four | None = None
    """Pixels; None with `corners`: a fifth of the shorter side."""
    exposure: float = 0.0
    """This and the others up to vibrance: -100..100."""
    brightness: float = 0.0
    contrast: float = 0.0
    highlights: float = 0.0
    shadows: float = 0.0
    gamma: float = 0.0
    saturation: float = 0.0
    vibrance: float = 0.0
    hue: float = 0.0
    """Degrees, 0 or more and below 360."""
    invert: bool = False
    grayscale: bool = False
    sepia: float = 0.0
    """0..100."""
    monochrome: Color | None = None
    duotone: tuple[Color, Color] | None = None
    """The colors of black and white."""
    sharpen: float = 0.0
    """0..100."""
    blur: float = 0.0
    """0..2000: ten times the standard deviation in pixels at `dpr` 1."""
    pixelate: int = 0
    """Side of a block in pixels at `dpr` 1, 0..100."""
    text: str = ""
    """Drawn on the picture."""
    text_align: Align = ("bottom", "left")
    text_x: int | None = None
    """Pixels at `dpr` 1, as all lengths of text and mark that are an `int`; a `float` is a fraction of the picture."""
    text_y: int | None = None
    text_pad: int = 5
    text_color: Color = (0, 0, 0, 255)
    text_font: str = "sans-serif"
    """A family in lower case, then `,bold` and `,italic`."""
    text_size: int = 12
    text_width: int | float | None = None
    text_line: int = 0
    text_line_color: Color = (255, 255, 255, 255)
    text_shadow: float = 0.0
    """0..10."""
    text_background: Color | None = None
    mark: str = ""
    """The image id of an original that is laid over the picture."""
    mark_align: Align = ("bottom", "right")
    mark_x: int | None = None
    mark_y: int | None = None
    mark_pad: int = 5
    mark_w: int | float | None = None
    mark_h: int | float | None = None
    mark_scale: float | None = None
    """Width in percent of that of the picture; without any size the mark has its own."""
    mark_rot: float = 0.0
    """Degrees clockwise."""
    mark_tile: Literal["", "grid", "thin"] = ""
    mark_alpha: int = 100
    """Percent."""
    mark_blend: Literal["normal", "multiply", "screen", "overlay"] = "normal"
    page: int = 1
    frame: tuple[int, int] | None = None
    """First and last, counted from 1; a still if they are the same."""
    animate: bool = True
    loop: int | None = None
    """How often an animation is shown; 0: forever."""
    fps: int | None = None
    """Most frames a second."""
    reverse: bool = False
    profile: Literal["srgb", "strip", "origin"] = "srgb"
    metadata: Literal["copyright", "strip", "keep"] = "copyright"
    hdr: Literal["preserve", "tonemap"] = "preserve"

    def with_values(self, **values: Any) -> Self:
        """Return the transform with other values; itself, without the cost of a copy, if they are the same."""
        others = {name: value for name, value in values.items() if not _is_same(getattr(self, name), value)}
        return replace(self, **others) if others else self

    @property
    def negotiates(self) -> bool:
        """Whether the format depends on what the client accepts."""
        return not self.auto.isdisjoint(("format", "best"))


def _is_same(one: object, other: object) -> bool:
    """Return whether two values are of the same type and equal; tuples, in which 1 equals 1.0, only if identical."""
    return one is other or (type(one) is type(other) and not isinstance(one, tuple) and one == other)
