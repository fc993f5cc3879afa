"""The table of URL parameters. Parsing, canonical text, messages, client and documentation derive from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from imgserve.formats import FORMATS
from imgserve.transform.colors import BORDER, COLOR, COLORS, TRIM
from imgserve.transform.kinds import (
    ALIGN,
    ASPECT,
    BOUND,
    FONT,
    FOUR,
    LEVEL,
    MAX_LENGTH,
    PART,
    PIXELS,
    RECT,
    SIDE,
    AnyKind,
    Kind,
    choice,
    integer,
    listing,
    merging,
    number,
    span,
    switch,
    text_kind,
)
from imgserve.transform.quantities import BYTES
from imgserve.transform.value import Fit, Gravity

MAX_DPR = 5
MAX_QUALITY = 100
"""A greater quality, up to 256, is the palette size of a GIF."""
AUTO_QUALITY = 0
"""Stands for the quality that a similarity requires."""
MAX_COLORS = 256
MAX_BLUR, MAX_PIXELATE, MAX_ZOOM = 2000, 100, 10
MAX_LOOPS = 65_535
"""A GIF counts to this."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the URL language."""

    name: str
    kind: AnyKind
    default: str
    """In words, for the documentation."""
    meaning: str
    example: str
    """A value."""
    aliases: tuple[str, ...] = ()
    attribute: str = field(init=False)
    """In `Transform`, or in `ParsedQuery` if it changes no pixel."""

    def __post_init__(self) -> None:
        """Derive the attribute from the name."""
        object.__setattr__(self, "attribute", self.name.replace("-", "_"))


def _quality(text: str) -> int:
    return AUTO_QUALITY if text.lower() == "auto" else integer(1, MAX_COLORS).read(text)


_FIT = choice(
    get_args(Fit), synonyms={"inside": "max", "cover": "crop", "contain": "fill", "pad": "fill", "stretch": "scale"}
)
DOCUMENTS = ("json", "blurhash", "thumbhash", "srcset", "img", "picture")
"""Formats that are no pictures, but documents about one."""
_FORMAT = choice(
    ("auto", "pjpg", "png8", *(item.name for item in FORMATS.values() if item.writable), *DOCUMENTS),
    synonyms={"jpeg": "jpg", "tif": "tiff"},
)
_QUALITY = Kind(
    f"an integer 1..{MAX_QUALITY}, or auto, or for gif a number of colors up to {MAX_COLORS}",
    _quality,
    lambda quality: "auto" if quality == AUTO_QUALITY else str(quality),
    range=(1, MAX_QUALITY),
)
_TURNS = choice(("0", *"12345678", "90", "180", "270"), synonyms={"0": "1"})
_ORIENT = Kind(_TURNS.expects, lambda text: int(_TURNS.read(text)), str, words=_TURNS.words)
_PLACE = number(0, 1)
_ZOOM = number(1, 100)
# A greater dpr is lowered later, with a note.
_DPR = number(0, MAX_DPR, f"a number 0 < x <= {MAX_DPR}", lambda x: x > 0)
_FACTOR = number(0, MAX_ZOOM, f"a number 0 < x <= {MAX_ZOOM}", lambda x: 0 < x <= MAX_ZOOM)
_FULL_TURN = 360
_ANGLE = number(0, _FULL_TURN - 1, "a number of degrees, 0 or more and below 360", lambda x: x < _FULL_TURN)
_CIRCLE = number(0, _FULL_TURN)
_HUE = replace(_CIRCLE, read=lambda text: _CIRCLE.read(text) % _FULL_TURN)
_LENGTH = integer(0, MAX_LENGTH)
_IMAGE_ID = text_kind("an image id of at most 1000 characters", r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,1000}")
_TEXT = text_kind(
    "at most 500 characters without control characters other than line breaks",
    r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]{1,500}",
)
_PRESET = text_kind("the name of a preset", r".+")
_FILE_NAME = text_kind(
    "a file name of at most 200 characters without slashes", r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]{0,200}", bare=""
)
_CLASS_NAME = text_kind(
    "a name of at most 40 letters, digits, - and _, without a digit first", r"[A-Za-z_][A-Za-z0-9_-]{0,39}"
)
# fmt: off
GROUPS: Mapping[str, tuple[Parameter, ...]] = {
    "Size": (
        Parameter("width", SIDE, "proportional", "Width of the picture.", "400", ("w",)),
        Parameter("height", SIDE, "proportional", "Height of the picture.", "0.5", ("h",)),
        Parameter("aspect", ASPECT, "-", "Ratio that decides the other side.", "16:9", ("ar",)),
        Parameter("fit", _FIT, "crop if both sides are given, else max",
            "How the picture meets its size; inside=max, cover=crop, contain=pad=fill, stretch=scale.", "fill", ("f",)),
        Parameter("enlarge", switch(), "0", "Allow a picture larger than its original.", "1"),
        Parameter("min-width", BOUND, "-", "Least width, where other parameters decide it.", "300", ("min-w",)),
        Parameter("max-width", BOUND, "-", "Greatest width.", "800", ("max-w",)),
        Parameter("min-height", BOUND, "-", "Least height.", "200", ("min-h",)),
        Parameter("max-height", BOUND, "-", "Greatest height.", "600", ("max-h",)),
        Parameter("zoom", _FACTOR, "1", "Factor of width and height, and not of pad and border.", "1.5"),
        Parameter("dpr", _DPR, "1", "Device pixels for each requested pixel.", "2"),
    ),
    "Crop": (
        Parameter("crop", listing(get_args(Gravity)), "stored focal point, else center",
            "What a crop keeps; the first usable wins, sides combine.", "top,left"),
        Parameter("focus-x", _PLACE, "stored, else 0.5", "Focal point from the left.", "0.3", ("fp-x",)),
        Parameter("focus-y", _PLACE, "stored, else 0.5", "Focal point from the top.", "0.3", ("fp-y",)),
        Parameter("focus-zoom", _ZOOM, "1", "How closely a crop frames the focal point.", "2", ("fp-z",)),
        Parameter("face-pad", number(0, 10), "as much as possible",
            "Space on each side of the faces, as a multiple of their size.", "0.5", ("facepad",)),
        Parameter("face-index", integer(1, 100), "all",
            "Which face crop=faces shows; 1 is the largest.", "1", ("faceindex",)),
        Parameter("rect", RECT, "-", "Part of the upright image that is cut out before resizing.", "0.1,0.1,0.5,0.5"),
        Parameter("trim", TRIM, "-",
            "Cut off what surrounds the picture: the color of the corners, a color, or transparent pixels.", "auto"),
        Parameter("trim-color", COLOR, "the upper left pixel", "What trim=color cuts off.", "white", ("trimcolor",)),
        Parameter("trim-tol", number(0, 255), "10",
            "How far a pixel may differ from what is cut off.", "40", ("trimtol",)),
    ),
    "Rotation": (
        Parameter("orient", _ORIENT, "EXIF", "Upright turn instead of what EXIF says.", "90"),
        Parameter("rotate", _ANGLE, "0", "Turn clockwise by degrees.", "90", ("rot",)),
        Parameter("flip", choice(("h", "v", "hv"), synonyms={"vh": "hv"}), "-",
            "Mirror horizontally, vertically.", "h"),
    ),
    "Format": (
        Parameter("format", _FORMAT, "the original's if web-safe",
            "Format of the picture: pjpg is a progressive jpg, png8 a png with a palette. Or a document about it.",
            "webp", ("fm", "f")),
        Parameter("auto", merging(("format", "best", "compress", "enhance")), "-",
            "Choose the format by what the browser accepts, or the smallest of those; lower the quality by 15; stretch "
            "the contrast of a still.", "format"),
        Parameter("quality", _QUALITY, "per format",
            "Quality of a lossy format, or auto: as low as a similarity allows. Or colors of a gif.", "70", ("q",)),
        Parameter("max-bytes", BYTES, "-",
            "Limit on the file, for which quality and size are reduced.", "20KB", ("maxsize", "s")),
        Parameter("lossless", switch(), "0", "Keep every pixel in webp and avif.", "1"),
        Parameter("progressive", switch(), "0",
            "Make a jpg appear coarse first, then fine.", "1", ("jpg-progressive",)),
        Parameter("chroma", choice(("420", "422", "444"), synonyms={"422": "444"}), "420",
            "Color resolution of jpg and avif; 422 is written as 444.", "444", ("chromasub",)),
        Parameter("colors", integer(2, MAX_COLORS), "-", "Palette size of png and gif.", "64", ("colorquant",)),
    ),
    "Background": (
        Parameter("background", COLOR, "white where alpha must go", "Color behind transparency.", "ff8800", ("bg",)),
        Parameter("fill", choice(("solid", "blur")), "solid", "What surrounds the picture with fit=fill.", "blur"),
        Parameter("fill-color", COLOR, "background", "Color around the picture with fit=fill.", "navy"),
    ),
    "Pad, border, mask": (
        Parameter("pad", FOUR, "0", "Margins in pixels, in the background color, inside the size.", "20,40"),
        Parameter("pad-top", PIXELS, "pad", "Upper margin.", "30"),
        Parameter("pad-right", PIXELS, "pad", "Right margin.", "30"),
        Parameter("pad-bottom", PIXELS, "pad", "Lower margin.", "60"),
        Parameter("pad-left", PIXELS, "pad", "Left margin.", "30"),
        Parameter("border", BORDER, "-", "Width and color of a border, inside the size and the pad.", "8,gold"),
        Parameter("mask", choice(("ellipse", "corners")), "-",
            "Cut the picture to an ellipse, or round it.", "ellipse"),
        Parameter("corner-radius", FOUR, "0, with mask=corners a fifth of the shorter side",
            "Radius of the corners in pixels, clockwise from the upper left.", "40"),
    ),
    "Tone": (
        Parameter("exposure", LEVEL, "0", "Light, in steps of a fiftieth of a stop.", "30", ("exp",)),
        Parameter("brightness", LEVEL, "0", "Towards white, or below 0 towards black.", "20", ("bri",)),
        Parameter("contrast", LEVEL, "0", "Distance of all tones from the middle.", "30", ("con",)),
        Parameter("highlights", LEVEL, "0", "Brightness of the bright tones.", "-60", ("high",)),
        Parameter("shadows", LEVEL, "0", "Brightness of the dark tones.", "60", ("shad",)),
        Parameter("gamma", LEVEL, "0", "Brightness of the middle tones.", "25", ("gam",)),
        Parameter("saturation", LEVEL, "0", "Strength of all colors; -100 is gray.", "50", ("sat",)),
        Parameter("vibrance", LEVEL, "0", "Strength of the pale colors.", "60", ("vib",)),
        Parameter("hue", _HUE, "0", "Turn of all colors around the color circle.", "120"),
        Parameter("invert", switch(), "0", "The negative.", "1", ("inv",)),
    ),
    "Effects": (
        Parameter("grayscale", switch(), "0", "Shades of gray.", "1"),
        Parameter("sepia", number(0, 100), "0", "Brown tones of old photographs.", "80"),
        Parameter("monochrome", COLOR, "-", "Shades of one color, from black to white.", "0a5f96", ("mono",)),
        Parameter("duotone", COLORS, "-", "Shades between two colors: of black and of white.", "1d2b53,ffd166"),
        Parameter("sharpen", number(0, 100), "0", "Contrast of edges, by an unsharp mask.", "40", ("sharp",)),
        Parameter("pixelate", integer(0, MAX_PIXELATE), "0", "Blocks with this side in pixels.", "12", ("px",)),
        Parameter("blur", number(0, MAX_BLUR), "0",
            "Gaussian blur; a tenth is the standard deviation in pixels.", "80"),
    ),
    "Text": (
        Parameter("text", _TEXT, "-", "Text drawn on the picture; %0A starts a new line.", "Hello", ("txt",)),
        Parameter("text-align", ALIGN, "bottom,left",
            "Where the text is; a direction that is not named is centered.", "top,center", ("txt-align",)),
        Parameter("text-x", _LENGTH, "-", "Pixels from the left edge, instead of text-align.", "40", ("txt-x",)),
        Parameter("text-y", _LENGTH, "-", "Pixels from the top edge, instead of text-align.", "40", ("txt-y",)),
        Parameter("text-pad", _LENGTH, "5", "Distance to the edges in pixels.", "20", ("txt-pad",)),
        Parameter("text-color", COLOR, "black", "Color of the text.", "ffffff", ("txt-color", "txt-clr")),
        Parameter("text-font", FONT, "sans-serif",
            "Family of an installed font; of another one, the default font is used.", "sans-serif,bold", ("txt-font",)),
        Parameter("text-size", integer(1, 1000), "12", "Size of the font in pixels.", "36", ("txt-size",)),
        Parameter("text-width", PART, "that of the picture", "Width at which lines end.", "0.5", ("txt-width",)),
        Parameter("text-line", integer(0, 50), "0", "Width of an outline in pixels.", "2", ("txt-line",)),
        Parameter("text-line-color", COLOR, "white",
            "Color of the outline.", "navy", ("txt-line-color", "txt-line-clr")),
        Parameter("text-shadow", number(0, 10), "0", "Strength of a soft shadow.", "5", ("txt-shad",)),
        Parameter("text-background", COLOR, "-", "Color of a box behind the text.", "80000000"),
    ),
    "Watermark": (
        Parameter("mark", _IMAGE_ID, "-", "Image id of an original that is laid over the picture.", "logo.png"),
        Parameter("mark-align", ALIGN, "bottom,right",
            "Where the mark is; a direction that is not named is centered.", "top,left"),
        Parameter("mark-x", _LENGTH, "-", "Pixels from the left edge, instead of mark-align.", "40"),
        Parameter("mark-y", _LENGTH, "-", "Pixels from the top edge, instead of mark-align.", "40"),
        Parameter("mark-pad", _LENGTH, "5", "Distance to the edges in pixels, or between the marks of a grid.", "20"),
        Parameter("mark-w", PART, "its own", "Width of the mark, in pixels or as a fraction of the picture.", "0.25"),
        Parameter("mark-h", PART, "its own", "Height of the mark, in pixels or as a fraction of the picture.", "40"),
        Parameter("mark-scale", number(1, 100), "-",
            "Width of the mark in percent of the picture, if it has no size.", "30"),
        Parameter("mark-rot", _ANGLE, "0", "Turn of the mark clockwise by degrees.", "330"),
        Parameter("mark-tile", choice(("grid", "thin")), "-",
            "Repeat the mark over the whole picture, or only if one side is at least 8 times the other one.", "grid"),
        Parameter("mark-alpha", integer(0, 100), "100", "Opacity of the mark in percent.", "50"),
        Parameter("mark-blend", choice(("normal", "multiply", "screen", "overlay")), "normal",
            "How the colors of the mark and of the picture mix.", "multiply"),
    ),
    "Pages and frames": (
        Parameter("page", integer(1, 100_000), "1", "Page of a many-page original.", "2"),
        Parameter("frame", span(1, 100_000), "all", "One frame of an animation, as a still, or some of them.", "3"),
        Parameter("animate", switch(), "1", "Keep an animation moving.", "0"),
        Parameter("loop", integer(0, MAX_LOOPS), "as it is", "How often an animation is shown; 0 is forever.", "1"),
        Parameter("fps", integer(1, 60), "as it is",
            "Most frames a second; others are left out, the speed remains.", "10"),
        Parameter("reverse", switch(), "0", "Show the frames of an animation from last to first.", "1"),
    ),
    "Colors and metadata": (
        Parameter("profile", choice(("srgb", "strip", "origin")), "srgb",
            "Colors converted to sRGB, or taken for it and the profile dropped, or kept with their profile.", "origin",
            ("cs",)),
        Parameter("metadata", choice(("strip", "copyright", "keep")), "copyright",
            "Metadata that stays in the picture.", "strip"),
        Parameter("hdr", choice(("preserve", "tonemap")), "preserve",
            "The gain map of an Ultra HDR JPEG or an iPhone's HEIC, kept in a jpg, or dropped.", "tonemap"),
    ),
    "Facts": (
        Parameter("palette", choice(("css", "json")), "-",
            "The colors of the picture as a document instead of it.", "css"),
        Parameter("prefix", _CLASS_NAME, "image",
            "Start of the class names with palette=css.", "brand"),
        Parameter("explain", switch(), "0",
            "How the server reads the URL and makes the picture, as a document instead of it.", "1"),
    ),
    "Delivery": (
        Parameter("preset", _PRESET, "-", "Parameters that the server stores under a name.", "card"),
        Parameter("download", _FILE_NAME, "-",
            "Save as a file of this name instead of showing it.", "shoe.jpg", ("dl",)),
    ),
}
# fmt: on
"""Every parameter by its group, in the order of the documentation."""
PICTURE_GROUPS = {name: rows for name, rows in GROUPS.items() if name != "Facts"}
"""The groups whose parameters are about a picture, and not about a document instead of it."""
PARAMETERS = tuple(row for group in GROUPS.values() for row in group)
EFFECTS = tuple(row.attribute for name in ("Tone", "Effects") for row in GROUPS[name])
"""The attributes that change pixels in place, in a picture of any size."""
TEXT, MARK = (tuple(row.attribute for row in GROUPS[name]) for name in ("Text", "Watermark"))
"""The attributes of a text on the picture, and of a mark; the first one decides whether there is one."""
_LENGTHS = ("text-size", "text-width", "text-line", "mark-w", "mark-h")
LENGTHS = tuple(row for row in PARAMETERS if row.kind is _LENGTH or row.name in _LENGTHS)
"""Their lengths, of which `dpr` multiplies those in pixels."""
BY_NAME: dict[str, tuple[Parameter, ...]] = {}
"""The parameters of each name; more than one if the value decides."""
for _row in PARAMETERS:
    for _name in (_row.name, *_row.aliases):
        BY_NAME[_name] = (*BY_NAME.get(_name, ()), _row)


ACCESS_NAMES = frozenset({"signature", "expires", "key"})
"""Parameters that say who may see a picture, and nothing about it; `s` is a signature too if its value is one."""
