"""The table of URL parameters. Parsing, canonical text, messages, client and documentation derive from it."""

from dataclasses import dataclass

from imgserve.formats import FORMATS
from imgserve.transform.kinds import (
    ASPECT,
    COLOR,
    RECT,
    SIDE,
    AnyKind,
    Kind,
    NotBuiltError,
    choice,
    converted,
    integer,
    listing,
    merging,
    number,
    switch,
    text_kind,
)

MAX_DPR = 5
MAX_QUALITY = 100
"""Above it, up to 256, a quality is the palette size of a GIF."""
MAX_COLORS = 256


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the URL language."""

    name: str
    attribute: str
    """Of `Transform`, or of `ParsedQuery` for what does not change a pixel."""
    aliases: tuple[str, ...]
    kind: AnyKind
    default: str
    meaning: str
    example: str


def _quality(text: str) -> int:
    if text.lower() == "auto":
        raise NotBuiltError
    return integer(1, MAX_COLORS).read(text)


_FIT = choice(
    ("clip", "max", "crop", "min", "fill", "fillmax", "scale", "clamp"),
    synonyms={"inside": "max", "cover": "crop", "contain": "fill", "pad": "fill", "stretch": "scale"},
)
_FORMAT = choice(
    ("auto", "pjpg", "png8", *(item.name for item in FORMATS.values() if item.writable)),
    synonyms={"jpeg": "jpg", "tif": "tiff"},
    unbuilt=("jxl", "json", "blurhash", "thumbhash"),
)
_QUALITY = Kind(f"an integer 1..{MAX_QUALITY}, or for gif a number of colors up to {MAX_COLORS}", _quality, str)
_ORIENT = converted(choice(("0", *"12345678", "90", "180", "270"), synonyms={"0": "1"}), int)
_GRAVITY = ("top", "bottom", "left", "right", "center", "entropy", "edges", "faces", "focalpoint")
_PLACE = number("a number 0..1", lambda x: x <= 1)
_ZOOM = number("a number 1..100", lambda x: 1 <= x <= 100)  # noqa: PLR2004  the range is the rule itself
_DPR = number(f"a number 0 < x <= {MAX_DPR}", lambda x: x > 0)
_DEGREES = number("a number of degrees, 0 or more and below 360", lambda x: x < 360)  # noqa: PLR2004  a full turn
_PRESET = text_kind("the name of a preset", r".+")
_FILE_NAME = text_kind(
    "a file name of at most 200 characters without slashes", r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]{0,200}", bare=""
)
PARAMETERS: tuple[Parameter, ...] = (
    Parameter("width", "width", ("w",), SIDE, "proportional", "Width of the picture.", "width=400"),
    Parameter("height", "height", ("h",), SIDE, "proportional", "Height of the picture.", "height=0.5"),
    Parameter("aspect", "aspect", ("ar",), ASPECT, "-", "Ratio that gives the side not asked for.", "aspect=16:9"),
    Parameter(
        "fit",
        "fit",
        ("f",),
        _FIT,
        "crop if both sides are given, else max",
        "How the picture meets its size; inside=max, cover=crop, contain=pad=fill, stretch=scale.",
        "fit=fill",
    ),
    Parameter("enlarge", "enlarge", (), switch(), "0", "Let a picture grow beyond its original.", "enlarge=1"),
    Parameter(
        "crop",
        "crop",
        (),
        listing(_GRAVITY),
        "stored focal point, else center",
        "What a crop keeps; the first usable wins, sides combine.",
        "crop=top,left",
    ),
    Parameter("focus-x", "focus_x", ("fp-x",), _PLACE, "stored, else 0.5", "Focal point from the left.", "focus-x=0.3"),
    Parameter("focus-y", "focus_y", ("fp-y",), _PLACE, "stored, else 0.5", "Focal point from the top.", "focus-y=0.3"),
    Parameter(
        "focus-zoom", "focus_zoom", ("fp-z",), _ZOOM, "1", "How closely a crop frames the focal point.", "focus-zoom=2"
    ),
    Parameter(
        "rect",
        "rect",
        (),
        RECT,
        "-",
        "Part of the upright image that is taken before resizing.",
        "rect=0.1,0.1,0.5,0.5",
    ),
    Parameter("dpr", "dpr", (), _DPR, "1", "Device pixels for each pixel asked for.", "dpr=2"),
    Parameter("orient", "orient", (), _ORIENT, "EXIF", "Upright turn instead of what EXIF says.", "orient=90"),
    Parameter("rotate", "rotate", ("rot",), _DEGREES, "0", "Turn clockwise by degrees.", "rotate=90"),
    Parameter(
        "flip",
        "flip",
        (),
        choice(("h", "v", "hv"), synonyms={"vh": "hv"}),
        "-",
        "Mirror horizontally, vertically.",
        "flip=h",
    ),
    Parameter(
        "format",
        "format",
        ("fm", "f"),
        _FORMAT,
        "the original's if web-safe",
        "Format of the picture; pjpg is a progressive jpg, png8 a png with a palette.",
        "format=webp",
    ),
    Parameter(
        "auto",
        "auto",
        (),
        merging(("format", "compress")),
        "-",
        "Choose the format by what the browser accepts; lower the quality by 15.",
        "auto=format",
    ),
    Parameter("quality", "quality", ("q",), _QUALITY, "per format", "Quality of a lossy format.", "quality=70"),
    Parameter("lossless", "lossless", (), switch(), "0", "Keep every pixel in webp and avif.", "lossless=1"),
    Parameter(
        "progressive",
        "progressive",
        ("jpg-progressive",),
        switch(),
        "1",
        "Let a jpg appear coarse, then fine.",
        "progressive=0",
    ),
    Parameter(
        "chroma",
        "chroma",
        ("chromasub",),
        choice(("420", "422", "444"), synonyms={"422": "444"}),
        "420",
        "Color resolution of jpg and avif; 422 is written as 444.",
        "chroma=444",
    ),
    Parameter(
        "colors", "colors", ("colorquant",), integer(2, MAX_COLORS), "-", "Palette size of png and gif.", "colors=64"
    ),
    Parameter(
        "background",
        "background",
        ("bg",),
        COLOR,
        "white where alpha must go",
        "Color behind transparency.",
        "background=ff8800",
    ),
    Parameter(
        "fill", "fill", (), choice(("solid", "blur")), "solid", "What surrounds the picture with fit=fill.", "fill=blur"
    ),
    Parameter(
        "fill-color",
        "fill_color",
        (),
        COLOR,
        "background",
        "Color around the picture with fit=fill.",
        "fill-color=navy",
    ),
    Parameter("page", "page", (), integer(1, 100_000), "1", "Page of a many-page original.", "page=2"),
    Parameter("frame", "frame", (), integer(1, 100_000), "all", "One frame of an animation, as a still.", "frame=3"),
    Parameter("animate", "animate", (), switch(), "1", "Keep an animation moving.", "animate=0"),
    Parameter(
        "profile",
        "profile",
        ("cs",),
        choice(("srgb", "strip", "origin")),
        "srgb",
        "Colors converted to sRGB, or taken for it and the profile dropped, or kept with their profile.",
        "profile=origin",
    ),
    Parameter(
        "metadata",
        "metadata",
        (),
        choice(("strip", "copyright", "keep")),
        "copyright",
        "Metadata that stays in the picture.",
        "metadata=strip",
    ),
    Parameter("preset", "preset", (), _PRESET, "-", "Parameters that the server keeps under a name.", "preset=card"),
    Parameter(
        "download",
        "download",
        ("dl",),
        _FILE_NAME,
        "-",
        "Save as a file of this name instead of showing it.",
        "download=shoe.jpg",
    ),
)
"""Every parameter, in the order of the documentation."""


def _by_name() -> dict[str, tuple[Parameter, ...]]:
    names: dict[str, tuple[Parameter, ...]] = {}
    for row in PARAMETERS:
        for name in (row.name, *row.aliases):
            names[name] = (*names.get(name, ()), row)
    return names


BY_NAME = _by_name()
"""The rows behind each name; more than one where a value decides."""


def markdown_table() -> str:
    """Write the field table as Markdown for the documentation."""
    lines = ["| name | short | value | default | meaning |", "|---|---|---|---|---|"]
    for row in PARAMETERS:
        short = ", ".join(f"`{alias}`" for alias in row.aliases) or "-"
        expects = row.kind.expects.replace("{max_side}", "8192")
        lines.append(f"| `{row.name}` | {short} | {expects} | {row.default} | {row.meaning} E.g. `{row.example}` |")
    return "\n".join(lines) + "\n"
