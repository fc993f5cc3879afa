"""The rows of a disk tier: what is in its folder, how large, when last used."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgserve.cache.files import UNKNOWN, Unknown
from imgserve.cache.sqlite_file import SqliteFile

_BATCH = 512
"""Uses after which it is worth writing them down."""
_SECONDS = 5.0
"""Time after which they are written down at the latest; what a crash loses is this much recency."""


class Recency:
    """Collects uses; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._taken_at = time.monotonic()
        self._last = 0

    @property
    def due(self) -> bool:
        """Whether the uses should be written down now."""
        full = len(self._used) >= _BATCH
        return full or (bool(self._used) and time.monotonic() - self._taken_at >= _SECONDS)

    def now(self) -> int:
        """Tell the time in nanoseconds, later than ever before in this process even if the clock is set back."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last

    def touch(self, path: str) -> None:
        """Note that a file is used now."""
        at = self.now()
        with self._lock:
            self._used[path] = at

    def take(self) -> dict[str, int]:
        """Hand over all uses noted and begin anew."""
        with self._lock:
            used, self._used = self._used, {}
            self._taken_at = time.monotonic()
        return used


_COUNTS_GONE = """
CREATE TRIGGER counts_gone AFTER DELETE ON renditions BEGIN
    UPDATE totals SET entries = entries - 1, size = size - OLD.size;
END
"""
_SCHEMA = f"""
CREATE TABLE renditions (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, crc32 INTEGER, media_type TEXT NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, notes TEXT NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX renditions_by_use ON renditions (used);
CREATE TABLE totals (entries INTEGER NOT NULL, size INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER counts_new AFTER INSERT ON renditions BEGIN
    UPDATE totals SET entries = entries + 1, size = size + NEW.size;
END;
{_COUNTS_GONE};
CREATE TRIGGER counts_changed AFTER UPDATE OF size ON renditions BEGIN
    UPDATE totals SET size = size + NEW.size - OLD.size;
END
"""  # noqa: S608  our constants
"""Triggers keep the totals: whatever changes rows changes them in the same transaction."""
_SCHEMA_VERSION = 1
_COLUMNS = "path, size, crc32, media_type, width, height, notes, used"
_FIND = f"SELECT {_COLUMNS} FROM renditions WHERE path = ?"  # noqa: S608  our constant
_INSERT = f"INSERT INTO renditions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  our constant
_NO_NOTES = "[]"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the disk tier."""

    path: str
    """Relative to the cache folder."""
    size: int
    """Bytes."""
    crc32: int | None
    """None for an inherited file that nobody has read yet."""
    media_type: str
    width: int
    height: int
    notes: tuple[str, ...]
    used: int
    """Last use: nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all entries."""

    entries: int
    size: int


class Rows:
    """The changes that can be made within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, path: str) -> Entry | None:
        """Look up one file."""
        return _find(self._connection, path)

    def totals(self) -> Totals:
        """Tell the sums, this transaction included."""
        return _totals(self._connection)

    def put(self, entry: Entry) -> None:
        """Enter a file, in place of what was known of it."""
        # Not INSERT OR REPLACE, which deletes without firing the trigger.
        self._connection.execute(
            f"{_INSERT} ON CONFLICT (path) DO UPDATE SET size = excluded.size, crc32 = excluded.crc32, "
            "media_type = excluded.media_type, width = excluded.width, height = excluded.height, "
            "notes = excluded.notes, used = max(used, excluded.used)",
            _values(entry),
        )

    def add(self, entry: Entry) -> None:
        """Enter a file unless it is known."""
        self._connection.execute(f"{_INSERT} ON CONFLICT (path) DO NOTHING", _values(entry))

    def drop(self, path: str) -> None:
        """Forget a file."""
        self._connection.execute("DELETE FROM renditions WHERE path = ?", (path,))

    def drop_folder(self, folder: str) -> int:
        """Forget every file of a folder; tell how many there were."""
        # "0" follows "/" in ASCII, so this is the range of all paths that begin with the folder.
        query = "DELETE FROM renditions WHERE path > ? AND path < ?"
        return self._connection.execute(query, (f"{folder}/", f"{folder}0")).rowcount

    def drop_all(self) -> int:
        """Forget every file; tell how many there were."""
        # Without its trigger SQLite drops the whole table at once; a million rows one by one would take it 20 seconds.
        self._connection.execute("DROP TRIGGER counts_gone")
        number = self._connection.execute("DELETE FROM renditions").rowcount
        self._connection.execute("UPDATE totals SET entries = 0, size = 0")
        self._connection.execute(_COUNTS_GONE)
        return number

    def oldest(self, number: int) -> list[Entry]:
        """List the files that were not used for longest."""
        query = f"SELECT {_COLUMNS} FROM renditions ORDER BY used LIMIT ?"  # noqa: S608  our constant
        return [_entry(row) for row in self._connection.execute(query, (number,))]

    def beyond(self, folder: str, most: int) -> list[str]:
        """List the files of a folder that were not used for longest, beyond the most that may be there."""
        query = "SELECT path FROM renditions WHERE path > ? AND path < ? ORDER BY used DESC LIMIT -1 OFFSET ?"
        return [row[0] for row in self._connection.execute(query, (f"{folder}/", f"{folder}0", most))]

    def touch(self, used: Mapping[str, int]) -> None:
        """Note when files were last used."""
        query = "UPDATE renditions SET used = max(used, ?) WHERE path = ?"
        self._connection.executemany(query, ((at, path) for path, at in used.items()))


class Ledger:
    """What the cache folder holds, shared by every process that uses the folder.

    Queries and changes have a connection each: a look-up never waits for a change that another thread makes. Look-ups
    at once have a third: they would wait for longer queries, and it does not sleep where the others do.
    """

    def __init__(self, path: Path) -> None:
        """Take the file; it is opened, and made if need be, at the first use."""
        self._reader = SqliteFile(path, _SCHEMA, _SCHEMA_VERSION)
        self._writer = SqliteFile(path, _SCHEMA, _SCHEMA_VERSION)
        self._nonblocking_file = SqliteFile(path, _SCHEMA, _SCHEMA_VERSION)
        self.nonblocking = False
        """Whether anybody looks up at once, so that it is worth a connection."""

    @property
    def openings(self) -> int:
        """How often the file was opened; a new number means that it may have been made new."""
        return self._writer.openings

    @property
    def losses(self) -> int:
        """How often the file was deleted or replaced while it was in use."""
        return max(self._reader.losses, self._writer.losses)

    @contextmanager
    def changing(self) -> Iterator[Rows]:
        """Open a transaction. It is also the lock under which files come and go, in all threads and processes."""
        with self._writer.writing() as connection:
            yield Rows(connection)

    def find(self, path: str) -> Entry | None:
        """Look up one file."""
        with self._reader.reading() as connection:
            return _find(connection, path)

    def find_nonblocking(self, path: str) -> Entry | Unknown | None:
        """Look up one file without waiting for anybody; `UNKNOWN` before `prepare`, or where it would wait."""
        row = self._nonblocking_file.first_row_nonblocking(_FIND, (path,))
        return row if row is None or row is UNKNOWN else _entry(row)

    def prepare(self) -> None:
        """Make look-ups at once possible, if anybody wants them; may wait."""
        if self.nonblocking:
            self._nonblocking_file.prepare_nonblocking()

    def totals(self) -> Totals:
        """Tell the sums over all entries."""
        with self._reader.reading() as connection:
            return _totals(connection)

    def in_folder(self, folder: str) -> dict[str, int]:
        """List the files of a folder with their sizes."""
        query = "SELECT path, size FROM renditions WHERE path > ? AND path < ?"
        with self._reader.reading() as connection:
            return dict(connection.execute(query, (f"{folder}/", f"{folder}0")))

    def between(self, first: str, last: str, most: int) -> list[tuple[str, int, int]]:
        """List path, width and height of the files between two paths."""
        query = "SELECT path, width, height FROM renditions WHERE path > ? AND path < ? LIMIT ?"
        with self._reader.reading() as connection:
            return connection.execute(query, (first, last, most)).fetchall()

    def next_folder(self, folder: str) -> str | None:
        """Name the folder that follows in the order of paths; begin with an empty name."""
        query = "SELECT path FROM renditions WHERE path > ? ORDER BY path LIMIT 1"
        with self._reader.reading() as connection:
            row = connection.execute(query, (f"{folder}0" if folder else "",)).fetchone()
        return row[0].rpartition("/")[0] if row else None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._reader.close()
        self._writer.close()
        self._nonblocking_file.close()


def _find(connection: sqlite3.Connection, path: str) -> Entry | None:
    row = connection.execute(_FIND, (path,)).fetchone()
    return _entry(row) if row else None


def _totals(connection: sqlite3.Connection) -> Totals:
    return Totals(*connection.execute("SELECT entries, size FROM totals").fetchone())


def _entry(row: tuple[Any, ...]) -> Entry:
    path, size, crc32, media_type, width, height, notes, used = row
    noted = () if notes == _NO_NOTES else tuple(json.loads(notes))
    return Entry(path, size, crc32, media_type, width, height, noted, used)


def _values(entry: Entry) -> tuple[object, ...]:
    return (
        entry.path,
        entry.size,
        entry.crc32,
        entry.media_type,
        entry.width,
        entry.height,
        json.dumps(entry.notes) if entry.notes else _NO_NOTES,
        entry.used,
    )
