"""What each step costs as catalog and cache folder grow: up to a million records, up to ten million renditions.

    python -m benchmarks.scale [--records N ...] [--renditions N ...] [--only catalog|ledger|memory]

Catalogs are written straight into the tables of SQLite and PostgreSQL, and ledgers by one statement, so that only a few
thousand renditions have files. Databases are temporary; ten million renditions take some 5 GB for the time.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import statistics
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from benchmarks import catalog, million, programs
from benchmarks.filling import fill, key
from benchmarks.load import drive, request
from benchmarks.managed import drawn, settle
from benchmarks.programs import PYTHON
from benchmarks.rounds import HEAD, Rounds, machine
from imgserve.cache import MemoryTier
from imgserve.catalog import Database, Images, ImageSearch
from imgserve.catalog.tables import as_row, as_signed, images, tags
from imgserve.formats import FORMATS
from imgserve.images.locate import CachedStat
from imgserve.model import ImageRecord, Original, Rendition
from tests.postgres import serving

_TEMPLATES = 5000
_BATCH = 20_000
_TURNS = 7
_FILES = 8000
"""Renditions with a file, in a ledger of any length."""
_ENTRIES = 20_000
_ORIGINALS = 200
_COLUMNS = [column.name for column in images.c]


def rows(records: int) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Yield rows of images with their tags: texts and tags are those of a few thousand records, the rest differs."""
    chance = random.Random(1)
    known = [catalog.record(number) for number in range(_TEMPLATES)]
    templates = [(as_row(one), one.tags) for one in known]
    for number in range(records):
        row, named = templates[chance.randrange(_TEMPLATES)]
        name = row["id"].decode().rpartition("/")[2]
        image_id = f"photographs/{number % 100:02}/{name[:-12]}_{number:07}.jpg"
        same = number - (number % 100 == 1)  # one percent are duplicates of their neighbors
        yield (
            {
                **row,
                "number": number + 1,
                "id": image_id.encode(),
                "sha256": hashlib.sha256(b"%d" % same).digest(),
                "words": f"{row['words']} {number:07}",
                "size": chance.randrange(9_000_000),
                "pixels": chance.randrange(24_000_000),
                "perceptual_hash": as_signed(chance.getrandbits(64)),
                "created": row["created"] + number * 1_000_000,
                "changed": row["changed"] + number * 1_000_000,
            },
            (*named, "rare") if number % 10_000 == 0 else named,
        )


def _batches(records: int) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[int, str, str]]]]:
    """Yield the values of rows of images, and of their tags."""
    left = rows(records)
    while some := list(islice(left, _BATCH)):
        values = [tuple(row[name] for name in _COLUMNS) for row, _ in some]
        yield values, [(row["number"], tag, tag) for row, named in some for tag in named]


def fill_sqlite(file: Path, records: int) -> None:
    """Write the rows of a new catalog; indexes and words are made afterwards, at once."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000")
        made = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE tbl_name IN ('images', 'tags') AND sql IS NOT NULL "
            "AND type IN ('index', 'trigger')"
        ).fetchall()
        for kind, name, _ in made:
            connection.execute(f"DROP {kind} {name}")
        connection.execute("BEGIN")
        for values, tagged in _batches(records):
            places = ", ".join("?" * len(_COLUMNS))
            connection.executemany(f"INSERT INTO images ({', '.join(_COLUMNS)}) VALUES ({places})", values)  # noqa: S608  ours
            connection.executemany("INSERT INTO tags (image, tag, words) VALUES (?, ?, ?)", tagged)
        connection.execute("INSERT INTO images_words (images_words) VALUES ('rebuild')")
        for _, _, sql in made:
            connection.execute(sql)
        connection.execute("COMMIT")


async def fill_postgres(url: str, records: int) -> None:
    """Write the rows of a new catalog; indexes are made afterwards, at once."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        made = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('images', 'tags') AND NOT EXISTS "
            "(SELECT 1 FROM pg_constraint WHERE conname = indexname)"
        )
        for row in made:
            await connection.execute(f"DROP INDEX {row['indexname']}")
        for values, tagged in _batches(records):
            flags = _COLUMNS.index("alpha")
            typed = [(*one[:flags], bool(one[flags]), *one[flags + 1 :]) for one in values]
            await connection.copy_records_to_table(images.name, records=typed, columns=_COLUMNS)
            await connection.copy_records_to_table(tags.name, records=tagged, columns=["image", "tag", "words"])
        for row in made:
            await connection.execute(row["indexdef"])
        await connection.execute("SELECT setval(pg_get_serial_sequence('images', 'number'), $1)", records)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def ask(url: str, records: int) -> dict[str, float]:
    """Return the milliseconds of each question to a catalog, the median of some turns."""
    database = Database(url, patience=120)
    await database.open()
    stored, search, chance = Images(database), ImageSearch(database), random.Random(2)
    page = await search.page(limit=1000)
    middle = [f"photographs/{chance.randrange(100):02}/" for _ in range(20)]
    ids = [one for start in middle for one in await search.ids(after=start, limit=10)]
    known: list[ImageRecord] = list((await stored.get_many(ids)).values())
    chance.shuffle(known)
    deep = page.cursor
    for _ in range(min(20, records // 1000 - 1)):  # deeper, page by page
        deep = (await search.page(limit=1000, cursor=deep)).cursor or deep
    figures = dict[str, float]()
    for name, question in catalog.questions(stored, search, records, known, deep).items():
        figures[name] = 1000 * statistics.median([await catalog.timed(question, turn) for turn in range(_TURNS)])
        print(f"{database.dialect}, {records:,} records: {name}: {figures[name]:.1f} ms", file=sys.stderr, flush=True)
    await database.close()
    return figures


def measure_catalogs(sizes: list[int]) -> None:
    """Print the milliseconds of each question at each size, in both databases."""
    found = dict[str, dict[str, float]]()
    with serving() as server, tempfile.TemporaryDirectory(prefix="imgserve-scale-") as folder:
        for records in sizes:
            file = Path(folder) / f"{records}.sqlite"
            asyncio.run(_create(f"sqlite:///{file}"))
            fill_sqlite(file, records)
            print(f"SQLite, {records:,} records: {file.stat().st_size / records:.0f} bytes each", flush=True)
            found[f"SQLite {records:,}"] = asyncio.run(ask(f"sqlite:///{file}", records))
            file.unlink()
            url = server.new_database()
            asyncio.run(_create(url))
            asyncio.run(fill_postgres(url, records))
            found[f"PostgreSQL {records:,}"] = asyncio.run(ask(url, records))
            server.drop_database(url)
    names = sorted(found, key=lambda name: name.partition(" ")[0], reverse=True)
    print("\n| milliseconds | " + " | ".join(names) + " |\n|---|" + "--:|" * len(names))
    for row in found[names[0]]:
        print(f"| {row} | " + " | ".join(f"{found[name][row]:.1f}" for name in names) + " |", flush=True)


async def _create(url: str) -> None:
    database = Database(url, patience=120)
    await database.open()
    await database.close()


def simulate(cache: Path, renditions: int) -> None:
    """Add rows without files to a ledger, which were used later than those with files."""
    path = key(0).path
    top, name = path.split("/")[0], path.rpartition("/")[2]
    with contextlib.closing(sqlite3.connect(cache / "ledger.sqlite", isolation_level=None)) as connection:
        connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000")
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for trigger, _ in triggers:
            connection.execute(f"DROP TRIGGER {trigger}")
        # In the order of paths, or each row would read and write another page.
        connection.execute(
            "INSERT INTO renditions (path, size, crc32, media_type, width, height, notes, used) "
            "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?1), "
            "hashes AS (SELECT n, printf('%08x%024x', n * 4294967296 / ?1, n) AS hash FROM numbers) "
            "SELECT ?2 || '/' || substr(hash, 1, 2) || '/' || hash || '/' || ?3, 83, 0, 'image/png', 1, 1, '[]', "
            "1000000000 + n FROM hashes",
            (renditions, top, name),
        )
        connection.execute("UPDATE totals SET (entries, size) = (SELECT count(*), sum(size) FROM renditions)")
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def measure_ledgers(sizes: list[int]) -> None:
    """Print the processor time of each step of the disk tier, by the length of its ledger."""
    print(HEAD, flush=True)
    for size in sizes:
        cache = Path(tempfile.mkdtemp(prefix="imgserve-scale-"))
        try:
            fill(cache, 0, _FILES)
            if size > _FILES:
                simulate(cache, size - _FILES)
            os.sync()  # what was just written is no part of the steps
            million.steps(cache, size, _FILES, Rounds())
            print(f"| ledger of {size:,} | {(cache / 'ledger.sqlite').stat().st_size / size:.0f} | | bytes a row | |")
        finally:
            shutil.rmtree(cache)


def measure_memory() -> None:
    """Print the memory of an entry of each structure of a server process; each is bounded in number or bytes."""
    original = Original("", "17d0c0b0a090f_5f00a", 389_130, 0, FORMATS["jpg"], 4000, 3000, "")

    def tier(number: int) -> object:
        found = MemoryTier(10**9)
        for one in range(number):
            found.put(key(one), Rendition(b"%d" % one, "image/webp", 1, 1))
        return found

    def stats(number: int) -> object:
        ids = (f"photographs/2026/{one:07}.jpg" for one in range(number))
        return {one: CachedStat(replace(original, image_id=one, path=f"/{one}", size=len(one)), 1.0) for one in ids}

    structures: dict[str, Callable[[int], object]] = {
        "memory tier, without the bytes of the rendition": tier,
        "original with its stat": stats,
    }
    print("| structure | bytes an entry |\n|---|--:|")
    for name, build in structures.items():
        tracemalloc.start()
        kept = build(_ENTRIES)
        print(f"| {name} | {tracemalloc.get_traced_memory()[0] / _ENTRIES:.0f} |", flush=True)
        tracemalloc.stop()
        del kept


def measure_server() -> None:
    """Print how much a server grows for each picture that it sends again: all structures together, with the bytes."""
    with tempfile.TemporaryDirectory(prefix="imgserve-scale-") as folder:
        place = Path(folder)
        (place / "originals").mkdir()
        for number in range(_ORIGINALS):
            file = place / "originals" / f"{number}.jpg"
            file.write_bytes(drawn(number, 24, 24))
            settle(file)
        targets = [f"/img/{number}.jpg?width={width}" for width in range(1, 21) for number in range(_ORIGINALS)]
        command = [
            *PYTHON,
            "imgserve",
            "serve",
            str(place / "originals"),
            "--cache",
            str(place / "cache"),
            "--port",
            "0",
        ]
        with programs.serving(command, place, {}) as program:
            server = psutil.Process(program.process)
            drive(program.address, map(request, targets[:500]), 4).expect(200)
            before = server.memory_info().rss
            for _ in range(2):
                drive(program.address, map(request, targets[500:]), 4).expect(200)
            grown = server.memory_info().rss - before
    print(f"| all of a picture of some 600 bytes that is sent again | {grown / (len(targets) - 500):.0f} |", flush=True)


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("--records", type=int, nargs="*", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--renditions", type=int, nargs="*", default=[8000, 1_000_000, 10_000_000])
    parser.add_argument("--only", choices=["catalog", "ledger", "memory"], help="a part")
    options = parser.parse_args()
    print(f"{machine()}\n", flush=True)
    if options.only in {None, "memory"}:
        measure_memory()
        measure_server()
    if options.only in {None, "ledger"}:
        measure_ledgers(options.renditions)
    if options.only in {None, "catalog"}:
        measure_catalogs(options.records)


if __name__ == "__main__":
    main()
