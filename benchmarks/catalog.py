"""How long the catalog takes for each question at 100,000 records, in SQLite and PostgreSQL.

    python -m benchmarks.catalog [RECORDS]

Wall time of one caller, in milliseconds: the median of some turns, each with other values.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from imgserve.catalog import Database, ImageQuery, Images, ImageSearch, Sort
from imgserve.model import ImageRecord, Origin
from tests.catalogs import put, put_many
from tests.postgres import serving

_WORDS = [f"{first}{second}" for first in "bdfglmnprst" for second in ("alder", "ona", "irch", "eed", "umble", "ark")]
_BATCH = 5000
_TURNS = 15
_START = datetime(2026, 1, 1, tzinfo=UTC)


def record(number: int) -> ImageRecord:
    """Return one of many different records; some words are frequent, others rare."""
    chance = random.Random(number)
    moment = _START + timedelta(seconds=number)
    return ImageRecord(
        image_id=f"photographs/{number % 100:02}/{chance.choice(_WORDS)}_{number:07}.jpg",
        version=f"{number:x}_5f00a", sha256=f"{number // 2:064x}", format=chance.choice(["jpg", "png", "webp"]),
        width=chance.randrange(100, 6000), height=chance.randrange(100, 4000), size=chance.randrange(9_000_000),
        created=moment, changed=moment, origin=Origin.WATCH, perceptual_hash=chance.getrandbits(64),
        title=" ".join(chance.choices(_WORDS, k=3)), description=" ".join(chance.choices(_WORDS, k=20)),
        tags=tuple(chance.sample(_WORDS, 3)), thumbhash=chance.randbytes(25), metadata={"camera": "X100"},
    )  # fmt: skip


def questions(
    images: Images, search: ImageSearch, records: int, known: list[ImageRecord], deep: str | None
) -> dict[str, Callable[[int], Awaitable[object]]]:
    """Return the questions to a catalog of so many records, some of which are known, by what they ask.

    Each takes the number of its turn, and asks something else in every turn; `deep` is a cursor.
    """
    ids = [one.image_id for one in known]
    filtered = ImageQuery(tags=("dalder",), formats=("png",), min_width=3000)
    return {
        "get one": lambda n: images.get(ids[n]),
        "get 100 at once": lambda n: images.get_many(ids[n : n + 100]),
        "put one that is known, unchanged": lambda n: put(images, known[n]),
        "put one that is new": lambda n: put(images, record(records + n)),
        "focal point and faces of one": lambda n: images.focus(ids[n]),
        "list 50, newest": lambda _: search.page(),
        "list 50, largest": lambda _: search.page(sort=Sort.BYTES),
        "list 50, after a cursor": lambda _: search.page(cursor=deep),
        "list 50, by prefix and id": lambda n: search.page(ImageQuery(prefix=f"photographs/{n:02}/"), sort=Sort.ID),
        "list 50, by prefix, newest": lambda n: search.page(ImageQuery(prefix=f"photographs/{n:02}/")),
        "list 50, by tag, format and width": lambda _: search.page(filtered),
        "list 50, by a rare tag": lambda _: search.page(ImageQuery(tags=("rare",))),
        "search one common word": lambda n: search.page(ImageQuery(text=_WORDS[n])),
        "search a word, by format and tag": lambda n: search.page(
            ImageQuery(text=_WORDS[n], formats=("png",), tags=(_WORDS[n + 1],))
        ),
        "search two common words": lambda n: search.page(ImageQuery(text=f"{_WORDS[n]} {_WORDS[n + 1]}")),
        "search a common beginning": lambda n: search.page(ImageQuery(text=_WORDS[n][:3])),
        "search one of a kind": lambda n: search.page(ImageQuery(text=f"{n * 97:07}")),
        "search nothing to be found": lambda n: search.page(ImageQuery(text=f"zebra{n}")),
        "similar, at most 10 bits": lambda n: search.similar(known[n].perceptual_hash or 0),
        "duplicates, 50 groups": lambda _: search.duplicates(),
        "by SHA-256": lambda n: search.by_sha256([known[n].sha256]),
        "totals": lambda _: search.totals(),
        "totals of a search": lambda n: search.totals(ImageQuery(text=_WORDS[n])),
        "folders, 50": lambda _: search.folders("photographs/"),
        "tag counts": lambda _: search.tag_counts(),
        "versions, 10,000": lambda _: images.versions(),
    }


async def measure(url: str, records: int) -> dict[str, float]:
    """Fill a catalog and time the queries."""
    database, figures = Database(url, patience=60), dict[str, float]()
    await database.open()
    images, search = Images(database), ImageSearch(database)
    began = time.perf_counter()
    for start in range(0, records, _BATCH):
        await put_many(images, [record(number) for number in range(start, min(start + _BATCH, records))])
    figures["insert all, records/s"] = records / (time.perf_counter() - began)
    async with database.writing() as connection:
        # PostgreSQL does this by itself within a minute.
        await connection.execute(text("ANALYZE" if database.dialect == "postgresql" else "SELECT 1"))
    known = [record(number) for number in random.Random(0).sample(range(records), 200)]
    deep = (await search.page(limit=1000)).cursor
    for name, ask in questions(images, search, records, known, deep).items():
        figures[name] = 1000 * statistics.median([await timed(ask, turn) for turn in range(_TURNS)])
    figures["tag a tenth"] = 1000 * await timed(
        lambda _: images.retag(ImageQuery(prefix="photographs/1"), add=["new"]), 0
    )
    figures["delete a tenth"] = 1000 * await timed(lambda _: images.delete(ImageQuery(prefix="photographs/1")), 0)
    await database.close()
    return figures


async def timed(ask: Callable[[int], Awaitable[object]], turn: int) -> float:
    began = time.perf_counter()
    await ask(turn)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, nargs="?", default=100_000)
    records, found = parser.parse_args().records, dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.sqlite"
        found["SQLite"] = asyncio.run(measure(f"sqlite:///{file}", records))
        print(f"SQLite: {file.stat().st_size / records:.0f} bytes a record")
    with serving() as server:
        found["PostgreSQL"] = asyncio.run(measure(server.new_database(), records))
    print(f"{f'{records:,} records':36}" + "".join(f"{name:>12}" for name in found))
    for row in found["SQLite"]:
        print(f"{row:36}" + "".join(f"{figures[row]:12.1f}" for figures in found.values()))


if __name__ == "__main__":
    main()
