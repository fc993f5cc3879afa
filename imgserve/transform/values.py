"""Kinds of values: how a number, a word or a list is read from text and written back.

No parameter is named here; which parameter takes which kind stands in `fields`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar

from imgserve.transform.wording import suggestion

V = TypeVar("V")

DECIMALS = 6
"""Digits kept after the point: 0.03 pixels on the largest original, and bounded canonical text."""

_INTEGER = re.compile(r"[0-9]{1,30}")
_DECIMAL = re.compile(r"[0-9]{0,30}\.[0-9]{1,60}")
_NUMBER = re.compile(f"(?:{_INTEGER.pattern}|{_DECIMAL.pattern})")


class ReadError(Exception):
    """A text is not a value of the expected kind; its argument is a hint that ends the sentence."""


class NotBuiltError(ReadError):
    """A text is a word of the language that this server does not offer."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[V]):
    """One kind of value: what it expects in words, and how it is read and written."""

    expects: str
    """Completes "expected ..."; `{max_side}` stands for the server's cap."""
    read: Callable[[str], V]
    """Raises ReadError."""
    write: Callable[[V], str]
    known: frozenset[str] = field(default_factory=frozenset)
    """Every word it recognizes, in lower case; decides whose value it is where two parameters share a name."""
    bare: str | None = None
    """What an empty value stands for; None: an empty value is a mistake."""


def read_integer(text: str) -> int:
    """Read decimal digits, at most 30 of them."""
    if not _INTEGER.fullmatch(text):
        raise ReadError
    return int(text)


def read_number(text: str) -> float:
    """Read digits with or without a decimal point, rounded to six places."""
    if not _NUMBER.fullmatch(text):
        raise ReadError
    return round(float(text), DECIMALS)


def write_number(value: float) -> str:
    """Write a number the shortest way, without an exponent and without a needless `.0`."""
    return write_length(value).removesuffix(".0")


def read_length(text: str) -> int | float:
    """Read an integer as pixels and a number with a decimal point as a fraction."""
    return read_integer(text) if "." not in text else read_number(text)


def write_length(value: float) -> str:
    """Write pixels as an integer and a fraction always with its decimal point."""
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


def integer(low: int, high: int | None = None, expects: str = "") -> Kind[int]:
    """Make the kind of an integer between two bounds."""

    def read(text: str) -> int:
        value = read_integer(text)
        if value < low or (high is not None and value > high):
            raise ReadError
        return value

    span = f"an integer {low}..{high}" if high is not None else f"an integer of {low} or more"
    return Kind(expects or span, read, str)


def number(expects: str, fits: Callable[[float], bool]) -> Kind[float]:
    """Make the kind of a number that fits a condition."""

    def read(text: str) -> float:
        value = read_number(text)
        if not fits(value):
            raise ReadError
        return value

    return Kind(expects, read, write_number)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def choice(words: tuple[str, ...], synonyms: Mapping[str, str] | None = None, unbuilt: Iterable[str] = ()) -> Kind[str]:
    """Make the kind of one word out of several, in any case."""
    meanings = {**{word: word for word in words}, **(synonyms or {})}
    known = frozenset((*meanings, *unbuilt))

    def read(text: str) -> str:
        word = text.lower()
        if word in meanings:
            return meanings[word]
        if word in known:
            raise NotBuiltError
        raise ReadError(suggestion(word, sorted(known)))

    return Kind(f"one of {_listed(words)}", read, str, known)


def converted(kind: Kind[str], read: Callable[[str], V], write: Callable[[V], str] = str) -> Kind[V]:
    """Make a kind of words whose values are something else than text."""
    return Kind(kind.expects, lambda text: read(kind.read(text)), write, kind.known, kind.bare)


def switch() -> Kind[bool]:
    """Make the kind of 0 or 1, where the bare name stands for 1."""
    words = choice(("0", "1"), synonyms={"false": "0", "true": "1"})
    return Kind("0 or 1", lambda text: words.read(text) == "1", lambda value: str(int(value)), bare="1")


def listing(words: tuple[str, ...]) -> Kind[tuple[str, ...]]:
    """Make the kind of a comma list of words, each counted once."""
    word = choice(words)

    def read(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word.read(item) for item in text.split(",")))

    return Kind(f"a comma list of {_listed(words)}", read, ",".join)


def merging(words: tuple[str, ...]) -> Kind[frozenset[str]]:
    """Make the kind of a comma list whose order says nothing."""
    items = listing(words)
    return Kind(items.expects, lambda text: frozenset(items.read(text)), lambda value: ",".join(sorted(value)))


def text_kind(expects: str, pattern: str, bare: str | None = None) -> Kind[str]:
    """Make the kind of free text that matches a pattern as a whole."""
    allowed = re.compile(pattern, re.DOTALL)

    def read(text: str) -> str:
        if not allowed.fullmatch(text):
            raise ReadError
        return text

    return Kind(expects, read, str, bare=bare)


AnyKind = Kind[Any]
"""A kind among others in a table."""
