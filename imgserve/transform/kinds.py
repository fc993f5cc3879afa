"""Kinds of parameter values: numbers, words, lists, sides, ratios, rectangles and colors, read and written as text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Generic, TypeVar

from imgserve.errors import suggestion
from imgserve.transform.value import Align, Color, Four

V = TypeVar("V")
DECIMALS = 6
"""Digits after the point: 0.03 pixels on the largest original, and bounded canonical text."""
_INTEGER = re.compile(r"[0-9]{1,30}")
_DECIMAL = re.compile(r"[0-9]{0,30}\.[0-9]{1,60}")
_NUMBER = re.compile(f"(?:{_INTEGER.pattern}|{_DECIMAL.pattern})")
_LEVELS = 100


class ReadError(Exception):
    """A text is not a value of the expected kind; its argument is a hint that ends the sentence."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[V]):
    """One kind of value: its description, and how it is read and written."""

    expects: str
    """Completes "expected ..."; `{max_side}` stands for the server's cap."""
    read: Callable[[str], V]
    """Raises ReadError."""
    write: Callable[[V], str]
    known: frozenset[str] = field(default_factory=frozenset)
    """Every word it recognizes, in lower case; decides between two parameters that share a name."""
    bare: str | None = None
    """The meaning of an empty value; None: an empty value is a mistake."""
    words: tuple[str, ...] = ()
    """The words to choose from, without synonyms."""
    many: bool = False
    """Whether a value is a comma list of words."""
    range: tuple[float, float] | None = None
    """The least and the greatest number, if it is bounded."""


def read_integer(text: str) -> int:
    """Return the integer of at most 30 decimal digits."""
    if not _INTEGER.fullmatch(text):
        raise ReadError
    return int(text)


def read_number(text: str) -> float:
    """Return the number of digits with or without a decimal point, rounded to six places."""
    if not _NUMBER.fullmatch(text):
        raise ReadError
    return round(float(text), DECIMALS)


def read_length(text: str) -> int | float:
    """Return an integer as pixels, or a number with a decimal point as a fraction."""
    return read_integer(text) if "." not in text else read_number(text)


def write_length(value: float) -> str:
    """Return the text of a length; a fraction always has a decimal point."""
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


def integer(low: int, high: int) -> Kind[int]:
    """Return the kind of an integer between two bounds."""

    def read(text: str) -> int:
        value = read_integer(text)
        if not low <= value <= high:
            raise ReadError
        return value

    return Kind(f"an integer {low}..{high}", read, str, range=(low, high))


def number(low: float, high: float, expects: str = "", fits: Callable[[float], bool] | None = None) -> Kind[float]:
    """Return the kind of a number between two bounds, or that fits a condition, which `expects` then describes."""

    def read(text: str) -> float:
        value = read_number(text)
        if not (low <= value <= high if fits is None else fits(value)):
            raise ReadError
        return value

    def write(value: float) -> str:
        return write_length(value).removesuffix(".0")

    return Kind(expects or f"a number {low}..{high}", read, write, range=(low, high))


def _level(text: str) -> float:
    size = read_number(text.removeprefix("-"))
    if size > _LEVELS:
        raise ReadError
    return -size if text.startswith("-") and size else size


LEVEL: Kind[float] = Kind(
    f"a number {-_LEVELS}..{_LEVELS}",
    _level,
    lambda value: "-" * (value < 0) + write_length(abs(value)).removesuffix(".0"),
    range=(-_LEVELS, _LEVELS),
)


def choice(words: tuple[str, ...], synonyms: Mapping[str, str] | None = None) -> Kind[str]:
    """Return the kind of one word out of several, in any case."""
    meanings = {**{word: word for word in words}, **(synonyms or {})}

    def read(text: str) -> str:
        word = text.lower()
        if word in meanings:
            return meanings[word]
        raise ReadError(suggestion(word, sorted(meanings)))

    return Kind(f"one of {', '.join(words)}", read, str, frozenset(meanings), words=words)


def span(low: int, high: int) -> Kind[tuple[int, int]]:
    """Return the kind of one number or of a range of them, first and last included."""
    bound = integer(low, high)

    def read(text: str) -> tuple[int, int]:
        first, _, last = text.partition("-")
        value = bound.read(first), bound.read(last or first)
        if text.endswith("-") or value[0] > value[1]:
            raise ReadError
        return value

    def write(value: tuple[int, int]) -> str:
        return "-".join(map(str, dict.fromkeys(value)))

    return Kind(f"{bound.expects} or a range such as 2-8", read, write)


def switch() -> Kind[bool]:
    """Return the kind of 0 or 1, where the bare name means 1."""
    words = choice(("0", "1"), synonyms={"false": "0", "true": "1"})
    return Kind(
        "0 or 1", lambda text: words.read(text) == "1", lambda value: str(int(value)), bare="1", words=("0", "1")
    )


def listing(words: tuple[str, ...]) -> Kind[tuple[str, ...]]:
    """Return the kind of a comma list of words, without repetitions."""
    word = choice(words)

    def read(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word.read(item) for item in text.split(",")))

    return Kind(f"a comma list of {', '.join(words)}", read, ",".join, words=words, many=True)


def merging(words: tuple[str, ...]) -> Kind[frozenset[str]]:
    """Return the kind of a comma list whose order has no meaning."""
    items = listing(words)

    def write(value: frozenset[str]) -> str:
        return ",".join(sorted(value))

    return Kind(items.expects, lambda text: frozenset(items.read(text)), write, words=words, many=True)


def text_kind(expects: str, pattern: str, bare: str | None = None) -> Kind[str]:
    """Return the kind of free text that matches a pattern as a whole."""
    allowed = re.compile(pattern, re.DOTALL)

    def read(text: str) -> str:
        if not allowed.fullmatch(text):
            raise ReadError
        return text

    return Kind(expects, read, str, bare=bare)


AnyKind = Kind[Any]
Rect = tuple[int | float, int | float, int | float, int | float]
MAX_RATIO = 1000
MAX_TERM = 10_000
MAX_RECT_PIXELS = 1_000_000
_RECT_PARTS = 4
_ASPECT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?):([0-9]{1,9}(?:\.[0-9]{1,6})?)")


def _side(text: str) -> int | float:
    value = read_length(text)
    # Pixels above the cap are clamped later, with a note; a fraction above 1 has no meaning.
    if value <= 0 or (isinstance(value, float) and value > 1):
        raise ReadError
    return value


SIDE: Kind[int | float] = Kind("an integer 1..{max_side} or a fraction 0 < x <= 1", _side, write_length)
MAX_LENGTH = 8192


def _part(text: str) -> int | float:
    value = _side(text)
    if value > MAX_LENGTH:
        raise ReadError
    return value


PART: Kind[int | float] = Kind(
    f"an integer 1..{MAX_LENGTH} or a fraction 0 < x <= 1", _part, write_length, range=(1, MAX_LENGTH)
)
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")
_PLACES = listing((*_ROWS, *_COLUMNS))


def _align(text: str) -> Align:
    words = _PLACES.read(text)
    rows, columns = ([word for word in words if word in known] for known in (_ROWS, _COLUMNS))
    if len(rows) > 1 or len(columns) > 1:
        raise ReadError
    return (*(rows or ["middle"]), *(columns or ["center"]))  # type: ignore[return-value]  # one of each


ALIGN: Kind[Align] = Kind(
    f"one of {', '.join(_ROWS)} and one of {', '.join(_COLUMNS)}, or one of both",
    _align,
    ",".join,
    words=_PLACES.words,
    many=True,
)
_STYLES = ("bold", "italic")
_FAMILY = re.compile(r"[^\W_](?:[\w .+-]{0,58}[\w.+-])?")


def _font(text: str) -> str:
    family, *styles = (" ".join(part.split()) for part in text.lower().split(","))
    if family in _STYLES:
        family, styles = "sans-serif", [family, *styles]
    if not _FAMILY.fullmatch(family) or not set(styles) <= set(_STYLES):
        raise ReadError
    return ",".join((family, *sorted(set(styles))))


FONT: Kind[str] = Kind("a font family, and after commas bold, italic or both", _font, str)


def _aspect(text: str) -> tuple[int, int]:
    """Return the nearest ratio with both terms below the bound, in lowest terms."""
    match = _ASPECT.fullmatch(text)
    width, height = (Fraction(match[1]), Fraction(match[2])) if match else (Fraction(0), Fraction(0))
    if not (width and height) or not Fraction(1, MAX_RATIO) <= width / height <= MAX_RATIO:
        raise ReadError
    small, large = sorted((width, height))
    near = (small / large).limit_denominator(MAX_TERM)
    terms = near.numerator, near.denominator
    return terms if width <= height else terms[::-1]


ASPECT: Kind[tuple[int, int]] = Kind(
    f"a ratio W:H between 1:{MAX_RATIO} and {MAX_RATIO}:1", _aspect, lambda value: ":".join(map(str, value))
)


def _rect(text: str) -> Rect:
    parts = [read_length(item) for item in text.split(",", _RECT_PARTS)]
    if len(parts) != _RECT_PARTS or not (parts[2] and parts[3]):
        raise ReadError
    if any(part > (1 if isinstance(part, float) else MAX_RECT_PIXELS) for part in parts):
        raise ReadError
    if any(isinstance(part, float) and part >= 1 for part in parts[:2]):
        raise ReadError
    left, top = (part or 0 for part in parts[:2])  # 0.0 is 0: one way to write it
    return left, top, parts[2], parts[3]


RECT: Kind[Rect] = Kind(
    "x,y,w,h in pixels or fractions 0..1 (with a decimal point) of the upright image, w and h above 0",
    _rect,
    lambda value: ",".join(write_length(part) for part in value),
)
# CSS Color Module Level 4, 6.1.
_CSS = """
    aliceblue=f0f8ff antiquewhite=faebd7 aqua=00ffff aquamarine=7fffd4 azure=f0ffff beige=f5f5dc bisque=ffe4c4
    black=000000 blanchedalmond=ffebcd blue=0000ff blueviolet=8a2be2 brown=a52a2a burlywood=deb887 cadetblue=5f9ea0
    chartreuse=7fff00 chocolate=d2691e coral=ff7f50 cornflowerblue=6495ed cornsilk=fff8dc crimson=dc143c cyan=00ffff
    darkblue=00008b darkcyan=008b8b darkgoldenrod=b8860b darkgray=a9a9a9 darkgreen=006400 darkgrey=a9a9a9
    darkkhaki=bdb76b darkmagenta=8b008b darkolivegreen=556b2f darkorange=ff8c00 darkorchid=9932cc darkred=8b0000
    darksalmon=e9967a darkseagreen=8fbc8f darkslateblue=483d8b darkslategray=2f4f4f darkslategrey=2f4f4f
    darkturquoise=00ced1 darkviolet=9400d3 deeppink=ff1493 deepskyblue=00bfff dimgray=696969 dimgrey=696969
    dodgerblue=1e90ff firebrick=b22222 floralwhite=fffaf0 forestgreen=228b22 fuchsia=ff00ff gainsboro=dcdcdc
    ghostwhite=f8f8ff gold=ffd700 goldenrod=daa520 gray=808080 green=008000 greenyellow=adff2f grey=808080
    honeydew=f0fff0 hotpink=ff69b4 indianred=cd5c5c indigo=4b0082 ivory=fffff0 khaki=f0e68c lavender=e6e6fa
    lavenderblush=fff0f5 lawngreen=7cfc00 lemonchiffon=fffacd lightblue=add8e6 lightcoral=f08080 lightcyan=e0ffff
    lightgoldenrodyellow=fafad2 lightgray=d3d3d3 lightgreen=90ee90 lightgrey=d3d3d3 lightpink=ffb6c1
    lightsalmon=ffa07a lightseagreen=20b2aa lightskyblue=87cefa lightslategray=778899 lightslategrey=778899
    lightsteelblue=b0c4de lightyellow=ffffe0 lime=00ff00 limegreen=32cd32 linen=faf0e6 magenta=ff00ff maroon=800000
    mediumaquamarine=66cdaa mediumblue=0000cd mediumorchid=ba55d3 mediumpurple=9370db mediumseagreen=3cb371
    mediumslateblue=7b68ee mediumspringgreen=00fa9a mediumturquoise=48d1cc mediumvioletred=c71585
    midnightblue=191970 mintcream=f5fffa mistyrose=ffe4e1 moccasin=ffe4b5 navajowhite=ffdead navy=000080
    oldlace=fdf5e6 olive=808000 olivedrab=6b8e23 orange=ffa500 orangered=ff4500 orchid=da70d6 palegoldenrod=eee8aa
    palegreen=98fb98 paleturquoise=afeeee palevioletred=db7093 papayawhip=ffefd5 peachpuff=ffdab9 peru=cd853f
    pink=ffc0cb plum=dda0dd powderblue=b0e0e6 purple=800080 rebeccapurple=663399 red=ff0000 rosybrown=bc8f8f
    royalblue=4169e1 saddlebrown=8b4513 salmon=fa8072 sandybrown=f4a460 seagreen=2e8b57 seashell=fff5ee
    sienna=a0522d silver=c0c0c0 skyblue=87ceeb slateblue=6a5acd slategray=708090 slategrey=708090 snow=fffafa
    springgreen=00ff7f steelblue=4682b4 tan=d2b48c teal=008080 thistle=d8bfd8 tomato=ff6347 turquoise=40e0d0
    violet=ee82ee wheat=f5deb3 white=ffffff whitesmoke=f5f5f5 yellow=ffff00 yellowgreen=9acd32
"""
_HEX = re.compile(r"#?((?:[0-9a-f]{3,4})|(?:[0-9a-f]{6})|(?:[0-9a-f]{8}))")


def _unpack(digits: str) -> Color:
    """Return the color of RGB, ARGB, RRGGBB or AARRGGBB."""
    full = digits if len(digits) >= len("rrggbb") else "".join(2 * digit for digit in digits)
    alpha, red, green, blue = bytes.fromhex(full.rjust(len("aarrggbb"), "f"))
    return red, green, blue, alpha


NAMES: dict[str, Color] = {name: _unpack(digits) for name, _, digits in (item.partition("=") for item in _CSS.split())}
"""The 148 names of CSS and `transparent`."""
NAMES["transparent"] = (0, 0, 0, 0)


def _read(text: str) -> Color:
    word = text.lower()
    if word in NAMES:
        return NAMES[word]
    if match := _HEX.fullmatch(word):
        return _unpack(match[1])
    raise ReadError(suggestion(word, NAMES))


def _write(color: Color) -> str:
    red, green, blue, alpha = color
    digits = bytes((red, green, blue)).hex()
    return digits if alpha == 255 else f"{alpha:02x}{digits}"  # noqa: PLR2004  opaque


COLOR: Kind[Color] = Kind("a CSS color name, RGB, RRGGBB, ARGB or AARRGGBB", _read, _write)


def _two(text: str) -> tuple[Color, Color]:
    first, mark, second = text.partition(",")
    if not mark:
        raise ReadError
    return COLOR.read(first), COLOR.read(second)


COLORS: Kind[tuple[Color, Color]] = Kind(
    "two colors with a comma between them", _two, lambda colors: ",".join(map(COLOR.write, colors))
)


def _border(text: str) -> tuple[int, Color]:
    width, mark, color = text.partition(",")
    if not mark:
        raise ReadError
    return read_integer(width), COLOR.read(color)


BORDER: Kind[tuple[int, Color]] = Kind(
    "pixels and a color with a comma between them", _border, lambda border: f"{border[0]},{COLOR.write(border[1])}"
)


_SIDES_BY_CSS = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 3: (0, 1, 2, 1), 4: (0, 1, 2, 3)}
"""Which of so many values each of four is."""


def _four(text: str) -> Four:
    values = [read_integer(item) for item in text.split(",", len(_SIDES_BY_CSS))]
    if len(values) not in _SIDES_BY_CSS:
        raise ReadError
    first, second, third, fourth = (values[index] for index in _SIDES_BY_CSS[len(values)])
    return first, second, third, fourth


def _write_four(value: Four) -> str:
    return str(value[0]) if len(set(value)) == 1 else ",".join(map(str, value))


# Pixels above the cap are clamped later, with a note.
FOUR: Kind[Four] = Kind("1 to 4 integers 0..{max_side}, in the order of CSS", _four, _write_four)
PIXELS: Kind[int] = Kind("an integer 0..{max_side}", read_integer, str)


def _bound(text: str) -> int:
    value = read_integer(text)
    if not value:
        raise ReadError
    return value


BOUND: Kind[int] = Kind("an integer 1..{max_side}", _bound, str)
_TRIM = choice(("auto", "color", "alpha"), synonyms={"colorunlessalpha": "auto"})


def _trim(text: str) -> str | Color:
    try:
        return _TRIM.read(text)
    except ReadError:
        return COLOR.read(text)


TRIM: Kind[str | Color] = Kind(
    f"{_TRIM.expects} or a color",
    _trim,
    lambda value: value if isinstance(value, str) else COLOR.write(value),
    words=_TRIM.words,
)
