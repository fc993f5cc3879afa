"""Kinds of values that measure a picture: a side, a ratio, a rectangle."""

import re
from fractions import Fraction

from imgserve.transform.values import Kind, ReadError, read_length, write_length

Rect = tuple[int | float, int | float, int | float, int | float]

MAX_RATIO = 1000
MAX_TERM = 10_000
MAX_RECT_PIXELS = 1_000_000
_RECT_PARTS = 4
_ASPECT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?):([0-9]{1,9}(?:\.[0-9]{1,6})?)")


def _side(text: str) -> int | float:
    value = read_length(text)
    # Pixels beyond the cap are clamped later, with a note; a fraction above 1 cannot mean anything.
    if value <= 0 or (isinstance(value, float) and value > 1):
        raise ReadError
    return value


SIDE: Kind[int | float] = Kind("an integer 1..{max_side} or a fraction 0 < x <= 1", _side, write_length)


def _lowest_terms(ratio: Fraction) -> tuple[int, int]:
    """Keep both terms small: the nearest ratio whose terms stay below the bound."""
    if ratio <= 1:
        near = ratio.limit_denominator(MAX_TERM)
        return near.numerator, near.denominator
    near = (1 / ratio).limit_denominator(MAX_TERM)
    return near.denominator, near.numerator


def _aspect(text: str) -> tuple[int, int]:
    match = _ASPECT.fullmatch(text)
    width, height = (Fraction(match[1]), Fraction(match[2])) if match else (Fraction(0), Fraction(0))
    if not (width and height) or not Fraction(1, MAX_RATIO) <= width / height <= MAX_RATIO:
        raise ReadError
    return _lowest_terms(width / height)


ASPECT: Kind[tuple[int, int]] = Kind(
    f"a ratio W:H between 1:{MAX_RATIO} and {MAX_RATIO}:1", _aspect, lambda value: ":".join(map(str, value))
)


def _part(text: str) -> int | float:
    value = read_length(text)
    if value > (1 if isinstance(value, float) else MAX_RECT_PIXELS):
        raise ReadError
    return value


def _rect(text: str) -> Rect:
    parts = [_part(item) for item in text.split(",", _RECT_PARTS)]
    if len(parts) != _RECT_PARTS or not (parts[2] and parts[3]):
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
