"""Perceptual hash, dominant color and ThumbHash of a small picture, and the DCT that they share."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add, mul, sub

import pyvips

from imgserve.pipeline import color
from imgserve.transform.value import Color


def across_rows(rows: Sequence[Sequence[float]], waves: int) -> list[list[float]]:
    """Transform the rows of a picture; tells of each wave how strong it is in each row.

    A wave is the same from either end, but for its sign: so rows are folded, and half of each is summed up.
    """
    length = len(rows[0])
    half = (length + 1) // 2
    ends = [(row[:half], row[: -half - 1 : -1]) for row in rows]
    folded = [list(map(add, *two)) for two in ends], [list(map(sub, *two)) for two in ends]
    return [
        [sum(map(mul, row, table)) for row in folded[wave % 2]] for wave, table in enumerate(_halves(waves, length))
    ]


@functools.lru_cache(maxsize=256)
def cosines(waves: int, length: int) -> list[list[float]]:
    """List the values of the waves along a side."""
    return [[math.cos(math.pi / length * wave * (at + 0.5)) for at in range(length)] for wave in range(waves)]


@functools.lru_cache(maxsize=256)
def _halves(waves: int, length: int) -> list[list[float]]:
    """List the values along half a side; one in the middle, which folding counts twice, is half."""
    half, middle = (length + 1) // 2, length // 2 if length % 2 else -1
    return [
        [0.5 * value if at == middle else value for at, value in enumerate(table[:half])]
        for table in cosines(waves, length)
    ]


_HASH_SIDE = 32
_WAVES = 9
"""Waves on either side of which the 64 longest are taken: the coarse shapes, which survive new sizes and formats."""
_BITS = 64
_BLACK: Color = (0, 0, 0, 255)
_LEAST_CONTRAST = 1.0
"""Steps of 255 that the strongest wave has: below it the bits would be noise, and all plain pictures alike."""


def perceptual_hash(small: pyvips.Image) -> int | None:
    """Hash a small picture; None for one of a single color, which looks like every other.

    The signs of the 64 longest waves of its gray values (a discrete cosine transform) against their median. Measured
    over photographs and drawings: half or a tenth of the size, JPEG at quality 20 change up to 2 bits, another
    brightness up to 8, a crop by 4 % of each side up to 10; different pictures differ by 22 and more. With the usual
    square of 8 x 8 waves a crop by 6 % of one side changes 14 instead of 12, and with differences of neighbors (dHash)
    different pictures begin at 13.
    """
    # Clear ground is white, as it is where a picture with it is made a JPEG; what is white on it shows on black.
    waves = _waves(color.flatten(small, color.WHITE)) or _waves(color.flatten(small, _BLACK))
    if not waves:
        return None
    ordered = sorted(waves)
    median = (ordered[_BITS // 2 - 1] + ordered[_BITS // 2]) / 2
    return sum(1 << (_BITS - 1 - at) for at, wave in enumerate(waves) if wave > median)


def _waves(opaque: pyvips.Image) -> list[float]:
    """Transform a picture; nothing where it has no contrast."""
    gray = opaque.colourspace("b-w").cast("float")
    gray = gray.resize(_HASH_SIDE / gray.width, vscale=_HASH_SIDE / gray.height, kernel="linear")
    values = memoryview(bytes(gray.cast("float").write_to_memory())).cast("f")
    rows = [values[at : at + _HASH_SIDE] for at in range(0, _HASH_SIDE * _HASH_SIDE, _HASH_SIDE)]
    across, tables = across_rows(rows, _WAVES), cosines(_WAVES, _HASH_SIDE)
    waves = [sum(map(mul, across[x], tables[y])) * (2 / _HASH_SIDE) ** 2 for x, y in _longest()]
    return waves if max(map(abs, waves)) >= _LEAST_CONTRAST else []


@functools.cache
def _longest() -> list[tuple[int, int]]:
    """List the waves, without the constant: brightness says nothing of shapes."""
    waves = [(x, y) for x in range(_WAVES) for y in range(_WAVES) if x or y]
    return sorted(waves, key=lambda wave: (wave[0] ** 2 + wave[1] ** 2, wave))[:_BITS]


_COLOR_SIDE = 48
_CELL = 16
"""Steps of each color in one cell of the cube."""
_CELL_OF = bytes(step // _CELL for step in range(256))
_SEEN = 128
"""Alpha below which a pixel has no color."""
_CANDIDATES = 16
"""Cells that are looked at with their neighbors; the others hold less than any of these."""
Cell = tuple[int, ...]


def dominant_color(small: pyvips.Image) -> str:
    """Find the color of which most of a small picture is, as `#rrggbb`; nothing where all of it is transparent.

    A color that lies on the border of two cells counts whole: cells are looked at with their neighbors.
    """
    planes = _seen(small)
    cells = list(zip(*(plane.translate(_CELL_OF) for plane in planes), strict=True))
    if not cells:
        return ""
    numbers = Counter(cells)
    likely = [cell for cell, _ in numbers.most_common(_CANDIDATES)]
    center = max(likely, key=lambda cell: (sum(numbers[near] for near in _around(cell)), numbers[cell], cell))
    chosen = _around(center)
    near = [cell in chosen for cell in cells]
    means = (sum(itertools.compress(plane, near)) / sum(near) for plane in planes)
    return "#" + "".join(f"{round(mean):02x}" for mean in means)


def _around(cell: Cell) -> set[Cell]:
    return set(itertools.product(*(range(at - 1, at + 2) for at in cell)))


def _seen(small: pyvips.Image) -> list[bytes]:
    """Take red, green and blue of the pixels that are seen."""
    factor = _COLOR_SIDE / max(small.width, small.height, _COLOR_SIDE)
    if factor < 1:
        # Whole pixels, not mixed ones: a mixture is a color that the picture does not have.
        across, down = max(factor, 1 / small.width), max(factor, 1 / small.height)
        small = small.resize(across, vscale=down, kernel="nearest")
    picture = small.colourspace("srgb").cast("uchar")
    data, bands = bytes(picture.write_to_memory()), picture.bands
    planes, alphas = [data[at::bands] for at in range(3)], data[3::bands]
    if not picture.hasalpha() or min(alphas) >= _SEEN:
        return planes
    seen = [alpha >= _SEEN for alpha in alphas]
    return [bytes(itertools.compress(plane, seen)) for plane in planes]


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
