"""Fills a cache folder with small renditions and their rows, far quicker than a tier would."""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from imgserve.cache import RenditionKey
from imgserve.cache.ledger import Entry, Ledger, Rows

PER_IMAGE = 8
"""Widths of each photograph on a page."""

PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)
"""One red pixel, as PNG."""

_ROWS = 20_000
"""Rows of one transaction."""


def key(number: int) -> RenditionKey:
    """Name the rendition with a number."""
    image_id = f"photographs/2026/{number // PER_IMAGE:07}.jpg"
    canonical = f"format=webp&quality=80&width={160 * (number % PER_IMAGE + 1)}"
    return RenditionKey(image_id, "17d0c0b0a090f_5f00a", canonical, "0a1b2c3d", "png")


def fill(root: Path, start: int, stop: int) -> None:
    """Write files and rows of the renditions with these numbers."""
    ledger = Ledger(root / "ledger.sqlite")
    with ledger.changing():
        pass
    ledger.close()
    with contextlib.closing(sqlite3.connect(root / "ledger.sqlite", isolation_level=None)) as connection:
        # Rows come in the order of hashes, that is, in none: with little memory every one would read and write a page.
        connection.execute("PRAGMA cache_size=-1000000")
        connection.execute("PRAGMA synchronous=OFF")
        entries = _written(root, start, stop)
        while batch := list(islice(entries, _ROWS)):
            connection.execute("BEGIN IMMEDIATE")
            rows = Rows(connection)
            for entry in batch:
                rows.put(entry)
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _written(root: Path, start: int, stop: int) -> Iterator[Entry]:
    crc32 = zlib.crc32(PICTURE)
    for number in range(start, stop):
        path = key(number).path
        target = root / path
        if number % PER_IMAGE == 0 or number == start:
            target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(PICTURE)
        yield Entry(path, len(PICTURE), crc32, "image/png", 1, 1, (), number + 1)
