"""Perceptual hash, colors and ThumbHash of a small picture, and the DCT that they share."""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add, mul, sub

import pyvips
from PIL import Image

from imgserve.pipeline.color import WHITE
from imgserve.transform.value import Color


def dct_of_rows(rows: Sequence[Sequence[float]], frequencies: int) -> list[list[float]]:
    """Return the DCT of each row: for each frequency, its coefficient in each row.

    A cosine is symmetric except for its sign: rows are folded, and only half of each is summed.
    """
    length = len(rows[0])
    half = (length + 1) // 2
    ends = [(row[:half], row[: -half - 1 : -1]) for row in rows]
    folded = [list(map(add, *two)) for two in ends], [list(map(sub, *two)) for two in ends]
    return [
        [sum(map(mul, row, table)) for row in folded[frequency % 2]]
        for frequency, table in enumerate(_halves(frequencies, length))
    ]


@functools.lru_cache(maxsize=256)
def cosines(frequencies: int, length: int) -> list[list[float]]:
    """Return the values of the basis functions along a side."""
    return [
        [math.cos(math.pi / length * frequency * (at + 0.5)) for at in range(length)]
        for frequency in range(frequencies)
    ]


@functools.lru_cache(maxsize=256)
def _halves(frequencies: int, length: int) -> list[list[float]]:
    """Return the values along half a side; a middle one, which folding counts twice, is halved."""
    half, middle = (length + 1) // 2, length // 2 if length % 2 else -1
    return [
        [0.5 * value if at == middle else value for at, value in enumerate(table[:half])]
        for table in cosines(frequencies, length)
    ]


_HASH_SIDE = 32
_FREQUENCIES = 9
"""On each side, of which the 64 lowest are used: the coarse shapes, which survive new sizes and formats."""
_BITS = 64
# Without the constant, which is the brightness.
_PAIRS = [(x, y) for x in range(_FREQUENCIES) for y in range(_FREQUENCIES) if x or y]
_LOWEST = sorted(_PAIRS, key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair))[:_BITS]
_BLACK: Color = (0, 0, 0, 255)
_MIN_CONTRAST = 1.0
"""Steps of 255 of the greatest coefficient: below it the bits would be noise, and all plain pictures similar."""


def as_picture(small: pyvips.Image) -> Image.Image:
    """Return a small picture, RGB or RGBA: Pillow takes a fifteenth of the time to reduce such ones."""
    plain = small.colourspace("srgb").cast("uchar")
    mode = "RGBA" if plain.hasalpha() else "RGB"
    return Image.frombytes(mode, (plain.width, plain.height), bytes(plain.write_to_memory()))


def on_color(picture: Image.Image, background: Color) -> Image.Image:
    """Return a picture without alpha, on a color where it is transparent."""
    if picture.mode == "RGB":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, background), picture).convert("RGB")


def perceptual_hash(picture: Image.Image) -> int | None:
    """Return the hash of a small picture; None for a single color, which would be similar to every other.

    Each bit says whether one of the 64 lowest DCT coefficients of the gray values is above their median. Measured over
    photographs and drawings: half or a tenth of the size and JPEG at quality 20 change up to 2 bits, another brightness
    up to 8, a crop by 4 % of each side up to 10; different pictures differ by 22 and more. With the usual square of
    8 x 8 frequencies a crop by 6 % of one side changes 14 instead of 12, and with differences of neighbors (dHash)
    different pictures begin at 13.
    """
    # Transparency becomes white, as in a JPEG; a white shape on it is visible on black.
    values = _coefficients(on_color(picture, WHITE)) or _coefficients(on_color(picture, _BLACK))
    if not values:
        return None
    ordered = sorted(values)
    median = (ordered[_BITS // 2 - 1] + ordered[_BITS // 2]) / 2
    return sum(1 << (_BITS - 1 - at) for at, value in enumerate(values) if value > median)


def _coefficients(opaque: Image.Image) -> list[float]:
    """Return the lowest coefficients of a picture; none if it has no contrast."""
    gray = opaque.convert("F").resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.BILINEAR)
    values = memoryview(gray.tobytes()).cast("f")
    rows = [values[at : at + _HASH_SIDE] for at in range(0, _HASH_SIDE * _HASH_SIDE, _HASH_SIDE)]
    across, tables = dct_of_rows(rows, _FREQUENCIES), cosines(_FREQUENCIES, _HASH_SIDE)
    found = [sum(map(mul, across[x], tables[y])) * (2 / _HASH_SIDE) ** 2 for x, y in _LOWEST]
    return found if max(map(abs, found)) >= _MIN_CONTRAST else []


_COLOR_SIDE = 48
_CELL = 16
"""Steps of each color in one cell of the color cube."""
_CELL_OF = bytes(step // _CELL for step in range(256))
_VISIBLE = 128
"""Alpha below which a pixel has no color."""
_COLORS = 16
_CANDIDATES = 16
"""The fullest cells, which are counted with their neighbors."""
Cell = tuple[int, ...]


def palette(picture: Image.Image) -> tuple[str, ...]:
    """Return the most frequent distinct colors of a small picture as `#rrggbb`; none if all of it is transparent.

    Cells are counted with their neighbors, so that a color on the border of two cells is counted as one.
    """
    cells, found = _cells(picture), list[str]()
    fullest = sorted(cells, key=lambda cell: cells[cell][0], reverse=True)
    while fullest and len(found) < _COLORS:
        near = {cell: _around(cell) & cells.keys() for cell in fullest[:_CANDIDATES]}
        numbers = {cell: sum(cells[one][0] for one in some) for cell, some in near.items()}
        center = max(near, key=lambda cell: (numbers[cell], cells[cell][0], cell))
        number, *sums = map(sum, zip(*(cells.pop(cell) for cell in near[center]), strict=True))
        found.append("#" + "".join(f"{round(of_one / number):02x}" for of_one in sums))
        fullest = [cell for cell in fullest if cell in cells]
    return tuple(found)


def _cells(picture: Image.Image) -> dict[Cell, list[int]]:
    """Return, for each cell with visible pixels, how many it has, and the sums of their red, green and blue."""
    planes = _visible_planes(picture)
    found = dict[Cell, list[int]]()
    for cell, *pixel in zip(zip(*(plane.translate(_CELL_OF) for plane in planes), strict=True), *planes, strict=True):
        if (sums := found.get(cell)) is None:
            found[cell] = [1, *pixel]
        else:
            sums[0] += 1
            sums[1] += pixel[0]
            sums[2] += pixel[1]
            sums[3] += pixel[2]
    return found


@functools.lru_cache(maxsize=4096)
def _around(cell: Cell) -> frozenset[Cell]:
    return frozenset(itertools.product(*(range(at - 1, at + 2) for at in cell)))


def _visible_planes(picture: Image.Image) -> list[bytes]:
    """Return red, green and blue of the visible pixels."""
    # Nearest pixels: a mean would be a color that the picture does not have.
    small = reduced(picture, _COLOR_SIDE, Image.Resampling.NEAREST)
    red, green, blue, *alphas = (plane.tobytes() for plane in small.split())
    planes = [red, green, blue]
    if not alphas or min(alphas[0]) >= _VISIBLE:
        return planes
    seen = [alpha >= _VISIBLE for alpha in alphas[0]]
    return [bytes(itertools.compress(plane, seen)) for plane in planes]


def reduced(picture: Image.Image, side: int, resampling: Image.Resampling) -> Image.Image:
    """Return a picture none of whose sides is longer."""
    factor = min(1.0, side / max(picture.size))
    width, height = (max(1, round(one * factor)) for one in picture.size)
    return picture if factor == 1 else picture.resize((width, height), resampling)


_THUMB_SIDE = 32
"""Pixels: no frequency has more than seven half periods."""
_PARTS = [value / 255 for value in range(256)]
_MAX_FREQUENCIES = 7
_MAX_FREQUENCIES_WITH_ALPHA = 5


@dataclass(frozen=True, slots=True)
class _Channel:
    """The constant, the other coefficients, and the greatest of them."""

    constant: float
    coefficients: list[float]
    scale: float

    @classmethod
    def of(cls, values: Sequence[float], size: tuple[int, int], frequencies: tuple[int, int]) -> "_Channel":
        """Return the low frequencies of a picture, a triangle of them."""
        (width, height), (across, down) = size, frequencies
        rows = [values[at : at + width] for at in range(0, width * height, width)]
        partly = dct_of_rows(rows, across)
        found = [
            sum(map(mul, partly[x], table)) / (width * height)
            for y, table in enumerate(cosines(down, height))
            for x in range(-(-across * (down - y) // down))
        ]
        constant, *rest = found
        scale = max(map(abs, rest), default=0.0)
        return cls(constant, [0.5 + 0.5 / scale * value for value in rest] if scale else rest, scale)


def thumbhash(picture: Image.Image) -> bytes:
    """Return the ThumbHash of a small picture."""
    small = reduced(picture, _THUMB_SIDE, Image.Resampling.BILINEAR)
    return thumbhash_of(small.width, small.height, small.tobytes())


def thumbhash_of(width: int, height: int, pixels: bytes) -> bytes:
    """Return the ThumbHash of RGB or RGBA pixels."""
    bands = len(pixels) // (width * height)
    sides = [pixels[at::bands] for at in range(bands)]
    planes, alphas = sides[:3], [alpha / 255 for side in sides[3:] for alpha in side]
    transparent = sum(alphas) < len(alphas)
    colors = _on_mean(planes, alphas) if transparent else [[_PARTS[value] for value in plane] for plane in planes]
    lightness = [(red + green + blue) / 3 for red, green, blue in zip(*colors, strict=True)]
    yellow = [(red + green) / 2 - blue for red, green, blue in zip(*colors, strict=True)]  # against blue
    red = [red - green for red, green, _ in zip(*colors, strict=True)]  # against green
    most = _MAX_FREQUENCIES_WITH_ALPHA if transparent else _MAX_FREQUENCIES
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
    nibbles = [_rounded(15 * value) for channel in channels for value in channel.coefficients]
    nibbles += [0] * (len(nibbles) % 2)
    return written + bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def _on_mean(planes: list[bytes], alphas: list[float]) -> list[list[float]]:
    """Return the planes with the mean color behind transparency."""
    total = sum(alphas)
    means = [sum(map(mul, plane, alphas)) / 255 / total if total else 0.0 for plane in planes]
    return [
        [mean * (1 - alpha) + alpha / 255 * value for value, alpha in zip(plane, alphas, strict=True)]
        for plane, mean in zip(planes, means, strict=True)
    ]


def _rounded(value: float) -> int:
    """Return a value rounded half up, as other implementations do."""
    return math.floor(value + 0.5)
