"""Kinds of parameter values: numbers, words, lists, sides, ratios and rectangles, read and written as text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Generic, TypeVar

from imgserve.errors import suggestion
from imgserve.transform.value import Align, Four

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
