"""BlurHash of a small picture: the low frequencies of its linear light as text (github.com/woltapp/blurhash)."""

import functools
import math
from collections.abc import Iterable, Sequence
from operator import mul

from PIL import Image

from imgserve.pipeline.color import WHITE
from imgserve.pipeline.perceptual import on_color, reduced

_SIDE = 32
_LONG, _SHORT = 4, 3
"""Frequencies along the longer side and the shorter one."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"


def _to_linear(value: int) -> float:
    part = value / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004  sRGB


_LINEAR = [_to_linear(value) for value in range(256)]


def blurhash(picture: Image.Image) -> str:
    """Return the BlurHash of a small picture, on white where it is transparent."""
    small = reduced(on_color(picture, WHITE), _SIDE, Image.Resampling.BILINEAR)
    return blurhash_of(small.width, small.height, small.tobytes())


def blurhash_of(width: int, height: int, pixels: bytes) -> str:
    """Return the BlurHash of RGB pixels."""
    across, down = (_LONG, _SHORT) if width >= height else (_SHORT, _LONG)
    planes = [[_LINEAR[value] for value in pixels[band::3]] for band in range(3)]
    rows = [[plane[at : at + width] for at in range(0, len(plane), width)] for plane in planes]
    columns = [[[sum(map(mul, row, wave)) for row in plane] for wave in _waves(across, width)] for plane in rows]
    factors = [
        tuple((2 if x or y else 1) * sum(map(mul, plane[x], wave)) / (width * height) for plane in columns)
        for y, wave in enumerate(_waves(down, height))
        for x in range(across)
    ]
    constant, *others = factors
    greatest = max(abs(part) for factor in others for part in factor)
    step = max(0, min(82, math.floor(greatest * 166 - 0.5)))
    texts = [_base83(across - 1 + (down - 1) * 9, 1), _base83(step, 1), _base83(_color(constant), 4)]
    texts += [_base83(_quantized(factor, (step + 1) / 166), 2) for factor in others]
    return "".join(texts)


@functools.lru_cache(maxsize=64)
def _waves(frequencies: int, length: int) -> list[list[float]]:
    """Return the values of the basis functions along a side."""
    return [[math.cos(math.pi * frequency * at / length) for at in range(length)] for frequency in range(frequencies)]


def _base83(value: int, length: int) -> str:
    return "".join(_DIGITS[value // 83**place % 83] for place in reversed(range(length)))


def _color(constant: Iterable[float]) -> int:
    red, green, blue = map(_to_srgb, constant)
    return red << 16 | green << 8 | blue


def _to_srgb(part: float) -> int:
    part = min(1.0, max(0.0, part))
    curved = part * 12.92 if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055  # noqa: PLR2004  sRGB
    return int(curved * 255 + 0.5)


def _quantized(factor: Sequence[float], greatest: float) -> int:
    value = 0
    for part in factor:
        root = math.copysign(math.sqrt(abs(part / greatest)), part)
        value = value * 19 + max(0, min(18, math.floor(root * 9 + 9.5)))
    return value
