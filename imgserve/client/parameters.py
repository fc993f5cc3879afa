"""The parameters of a picture as keyword arguments, for editors and type checkers.

The field table of `imgserve.transform` decides what is taken; a test holds this to it.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, TypedDict

Side = int | float | str | None
"""Pixels as an integer, a fraction of the original as a number with a decimal point."""
Number = int | float | str | None
Integer = int | str | None
Switch = bool | Literal[0, 1, "0", "1", "true", "false"] | None
Text = str | None
ColorText = str | tuple[int, int, int, int] | None
"""A CSS name, or hexadecimal digits with alpha first, or red, green, blue, alpha."""
Ratio = str | tuple[int, int] | None
Rectangle = str | tuple[int | float, int | float, int | float, int | float] | None
GravityWord = Literal["top", "bottom", "left", "right", "center", "entropy", "edges", "faces", "focalpoint"]
AutoWord = Literal["format", "compress"]
FitWord = Literal[
    "clip", "max", "crop", "min", "fill", "fillmax", "scale", "clamp", "inside", "cover", "contain", "pad", "stretch"
]
FormatWord = Literal["auto", "pjpg", "png8", "jpg", "jpeg", "png", "webp", "avif", "gif", "tiff", "tif"]
FlipWord = Literal["h", "v", "hv", "vh"]
ChromaWord = Literal["420", "422", "444"]
FillWord = Literal["solid", "blur"]
ProfileWord = Literal["srgb", "strip", "origin"]
MetadataWord = Literal["strip", "copyright", "keep"]


class Parameters(TypedDict, total=False):
    """Every parameter by its long and its short names, `_` for `-`; None is the same as not given."""

    width: Side
    w: Side
    height: Side
    h: Side
    aspect: Ratio
    ar: Ratio
    fit: FitWord | None
    f: FitWord | FormatWord | None
    enlarge: Switch
    crop: str | Sequence[GravityWord] | None
    focus_x: Number
    fp_x: Number
    focus_y: Number
    fp_y: Number
    focus_zoom: Number
    fp_z: Number
    rect: Rectangle
    dpr: Number
    orient: Integer
    rotate: Number
    rot: Number
    flip: FlipWord | None
    format: FormatWord | None
    fm: FormatWord | None
    auto: str | Sequence[AutoWord] | AbstractSet[AutoWord] | None
    quality: Integer
    q: Integer
    lossless: Switch
    progressive: Switch
    jpg_progressive: Switch
    chroma: ChromaWord | None
    chromasub: ChromaWord | None
    colors: Integer
    colorquant: Integer
    background: ColorText
    bg: ColorText
    fill: FillWord | None
    fill_color: ColorText
    page: Integer
    frame: Integer
    animate: Switch
    profile: ProfileWord | None
    cs: ProfileWord | None
    metadata: MetadataWord | None
    preset: Text
    download: str | bool | None
    dl: str | bool | None
