"""The search of near perceptual hashes by an index.

Of two hashes that differ in few bits, some quarter differs in at most a fourth as many. So the images whose quarter is
near the given one are looked up for each quarter, and only those are compared as a whole.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import sqlalchemy as sa

from imgserve.catalog.tables import as_signed, create_with_images, images

HASH_INDEXES = "images_by_hash"
"""Start of their names: of expressions, which SQLAlchemy does not reflect in SQLite, so that no table declares them."""
_QUARTERS, _BITS = 4, 16
_MOST_BITS = 2
"""Bits of a quarter that may differ: 137 values are near it, with three 697."""


def _quarter_sql(quarter: int) -> str:
    """Return the indexed expression, which a query has to repeat."""
    return f"((perceptual_hash >> {quarter * _BITS}) & {(1 << _BITS) - 1})"


# What an index contains is all that the search reads.
for _quarter in range(_QUARTERS):
    _columns = f"{_quarter_sql(_quarter)}, perceptual_hash, number"
    create_with_images(f"CREATE INDEX {HASH_INDEXES}_{_quarter} ON images ({_columns})")


def near_hashes(perceptual_hash: int, distance: int, dialect: str) -> sa.CompoundSelect[Any]:
    """Return a query for number and distance of the images whose hashes differ in at most `distance` bits.

    From a distance of 12 bits on it compares every hash: an index would hardly leave any out.
    """
    given = sa.bindparam("hash", as_signed(perceptual_hash), sa.BIGINT)
    if dialect == "sqlite":
        bits = sa.func.hamming(images.c.perceptual_hash, given, type_=sa.BIGINT)
    else:
        from sqlalchemy.dialects.postgresql import BIT  # noqa: PLC0415  a catalog in SQLite does without it

        bits = sa.func.bit_count(sa.cast(images.c.perceptual_hash.bitwise_xor(given), BIT(64)), type_=sa.BIGINT)
    near = sa.select(images.c.number, bits.label("distance")).where(bits <= distance)
    if distance // _QUARTERS > _MOST_BITS:
        return sa.union(near)
    return sa.union(
        *(
            near.where(sa.literal_column(_quarter_sql(quarter), sa.BIGINT).in_(values))
            for quarter, values in enumerate(_near_quarters(perceptual_hash, distance // _QUARTERS))
        )
    )


def _near_quarters(perceptual_hash: int, most: int) -> Iterator[list[int]]:
    """Yield the values of each quarter that differ from that of a hash in at most so many bits."""
    flips = [sum(1 << bit for bit in bits) for number in range(most + 1) for bits in combinations(range(_BITS), number)]
    for quarter in range(_QUARTERS):
        own = perceptual_hash >> quarter * _BITS & (1 << _BITS) - 1
        yield [own ^ flip for flip in flips]
