"""The cosine transform of small pictures, higher waves left out. What the waves tell is not known here."""

import functools
import math
from collections.abc import Sequence
from operator import add, mul, sub


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
