"""ThumbHash, the preview of about 25 bytes that Evan Wallace has described and given to the public.

A few low waves of lightness, of two color differences and of alpha, each in four bits; the shape of the picture is told
by how many waves of lightness there are on either side.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul

import pyvips

from imgserve.pipeline.waves import across_rows, cosines

_THUMB_SIDE = 48
"""Pixels that are looked at: no wave has more than seven halves."""

_PARTS = [value / 255 for value in range(256)]

_MOST_WAVES = 7
_MOST_WAVES_BESIDE_ALPHA = 5


@dataclass(frozen=True, slots=True)
class _Channel:
    """The constant, the waves, and how strong the strongest of them is."""

    constant: float
    waves: list[float]
    scale: float

    @classmethod
    def of(cls, values: Sequence[float], size: tuple[int, int], waves: tuple[int, int]) -> "_Channel":
        """Transform the values of a picture, the higher waves left out: a triangle of them is kept."""
        (width, height), (across, down) = size, waves
        rows = [values[at : at + width] for at in range(0, width * height, width)]
        partly = across_rows(rows, across)
        found = [
            sum(map(mul, partly[x], table)) / (width * height)
            for y, table in enumerate(cosines(down, height))
            for x in _kept(y, across, down)
        ]
        constant, *rest = found
        scale = max(map(abs, rest), default=0.0)
        return cls(constant, [0.5 + 0.5 / scale * wave for wave in rest] if scale else rest, scale)


def thumbhash(small: pyvips.Image) -> bytes:
    """Make the ThumbHash of a small picture."""
    factor = min(1.0, _THUMB_SIDE / max(small.width, small.height))
    picture = small.colourspace("srgb")
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in (small.width, small.height))
        picture = picture.premultiply() if picture.hasalpha() else picture
        picture = picture.resize(width / small.width, vscale=height / small.height, kernel="linear")
        picture = picture.unpremultiply() if picture.hasalpha() else picture
    picture = picture.cast("uchar")
    return thumbhash_of(picture.width, picture.height, bytes(picture.write_to_memory()))


def thumbhash_of(width: int, height: int, pixels: bytes) -> bytes:
    """Make the ThumbHash of pixels of three bytes, red, green, blue, or of four: alpha."""
    bands = len(pixels) // (width * height)
    sides = [pixels[at::bands] for at in range(bands)]
    planes, alphas = sides[:3], [alpha / 255 for side in sides[3:] for alpha in side]
    transparent = sum(alphas) < len(alphas)
    lightness, yellow, red = _opponents(_shown(planes, alphas) if transparent else _plain(planes))
    most = _MOST_WAVES_BESIDE_ALPHA if transparent else _MOST_WAVES
    across = max(1, _rounded(most * width / max(width, height)))
    down = max(1, _rounded(most * height / max(width, height)))
    size = width, height
    light = _Channel.of(lightness, size, (max(3, across), max(3, down)))
    p, q = (_Channel.of(values, size, (3, 3)) for values in (yellow, red))
    landscape = width > height
    head = (
        _rounded(63 * light.constant)
        | _rounded(31.5 + 31.5 * p.constant) << 6
        | _rounded(31.5 + 31.5 * q.constant) << 12
        | _rounded(31 * light.scale) << 18
        | transparent << 23
    )
    shape = (down if landscape else across) | _rounded(63 * p.scale) << 3 | _rounded(63 * q.scale) << 9
    written = head.to_bytes(3, "little") + (shape | landscape << 15).to_bytes(2, "little")
    channels = [light, p, q]
    if transparent:
        alpha = _Channel.of(alphas, size, (5, 5))
        written += bytes([_rounded(15 * alpha.constant) | _rounded(15 * alpha.scale) << 4])
        channels.append(alpha)
    return written + _packed(wave for channel in channels for wave in channel.waves)


def _plain(planes: list[bytes]) -> list[list[float]]:
    return [list(map(_PARTS.__getitem__, plane)) for plane in planes]


def _shown(planes: list[bytes], alphas: list[float]) -> list[list[float]]:
    """Have what is clear show the mean color."""
    total = sum(alphas)
    means = [sum(map(mul, plane, alphas)) / 255 / total if total else 0.0 for plane in planes]
    return [
        [mean * (1 - alpha) + alpha / 255 * value for value, alpha in zip(plane, alphas, strict=True)]
        for plane, mean in zip(planes, means, strict=True)
    ]


def _opponents(planes: list[list[float]]) -> tuple[list[float], list[float], list[float]]:
    """Turn colors into lightness, yellow against blue, and red against green."""
    together = list(zip(*planes, strict=True))
    return (
        [(red + green + blue) / 3 for red, green, blue in together],
        [(red + green) / 2 - blue for red, green, blue in together],
        [red - green for red, green, _ in together],
    )


def _kept(y: int, across: int, down: int) -> Iterator[int]:
    x = 0
    while x * down < across * (down - y):
        yield x
        x += 1


def _packed(waves: Iterator[float]) -> bytes:
    nibbles = [_rounded(15 * wave) for wave in waves]
    nibbles += [0] * (len(nibbles) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def _rounded(value: float) -> int:
    """Round halves up, as everyone else who writes these does."""
    return math.floor(value + 0.5)
