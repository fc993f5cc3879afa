"""The ledger of a tier on disk: one row per file with its size and last use."""

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
"""Uses after which they are written to the ledger."""
_SECONDS = 5.0
"""Time after which they are written at the latest; a crash loses this much recency."""


class Recency:
    """Collects uses; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._taken_at = time.monotonic()
        self._last = 0

    @property
    def due(self) -> bool:
        """Whether the uses should be written now."""
        full = len(self._used) >= _BATCH
        return full or (bool(self._used) and time.monotonic() - self._taken_at >= _SECONDS)

    def now(self) -> int:
        """Return the time in nanoseconds, which rises in this process even if the clock is set back."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last

    def touch(self, path: str) -> None:
        """Record that a file is used now."""
        at = self.now()
        with self._lock:
            self._used[path] = at

    def take(self) -> dict[str, int]:
        """Return all recorded uses and start over."""
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
    """None for an unverified file that nobody has read yet."""
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
    """The changes that can be made in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, path: str) -> Entry | None:
        """Return the entry of a file, or None."""
        return _find(self._connection, path)

    def totals(self) -> Totals:
        """Return the sums, this transaction included."""
        return _totals(self._connection)

    def put(self, entry: Entry) -> None:
        """Insert or replace the entry of a file."""
        # Not INSERT OR REPLACE, which deletes without firing the trigger.
        self._connection.execute(
            f"{_INSERT} ON CONFLICT (path) DO UPDATE SET size = excluded.size, crc32 = excluded.crc32, "
            "media_type = excluded.media_type, width = excluded.width, height = excluded.height, "
            "notes = excluded.notes, used = max(used, excluded.used)",
            _values(entry),
        )

    def add(self, entry: Entry) -> None:
        """Insert the entry of a file unless it has one."""
        self._connection.execute(f"{_INSERT} ON CONFLICT (path) DO NOTHING", _values(entry))

    def drop(self, path: str) -> None:
        """Delete the entry of a file."""
        self._connection.execute("DELETE FROM renditions WHERE path = ?", (path,))

    def drop_folder(self, folder: str) -> int:
        """Delete the entries of a folder; return how many there were."""
        query = "DELETE FROM renditions WHERE path > ? AND path < ?"
        return self._connection.execute(query, _within(folder)).rowcount

    def drop_all(self) -> int:
        """Delete every entry; return how many there were."""
        # Without its trigger SQLite drops the whole table at once; a million rows one by one would take it 20 seconds.
        self._connection.execute("DROP TRIGGER counts_gone")
        number = self._connection.execute("DELETE FROM renditions").rowcount
        self._connection.execute("UPDATE totals SET entries = 0, size = 0")
        self._connection.execute(_COUNTS_GONE)
        return number

    def oldest(self, number: int) -> list[Entry]:
        """Return the least recently used entries."""
        query = f"SELECT {_COLUMNS} FROM renditions ORDER BY used LIMIT ?"  # noqa: S608  our constant
        return [_entry(row) for row in self._connection.execute(query, (number,))]

    def beyond(self, folder: str, most: int) -> list[str]:
        """Return the least recently used paths of a folder beyond the number that it may hold."""
        query = "SELECT path FROM renditions WHERE path > ? AND path < ? ORDER BY used DESC LIMIT -1 OFFSET ?"
        return [row[0] for row in self._connection.execute(query, (*_within(folder), most))]

    def touch(self, used: Mapping[str, int]) -> None:
        """Set when files were last used."""
        query = "UPDATE renditions SET used = max(used, ?) WHERE path = ?"
        self._connection.executemany(query, ((at, path) for path, at in used.items()))


class Ledger:
    """The entries of a cache folder, shared by every process that uses the folder.

    Queries and changes have a connection each: a look-up never waits for a change in another thread. Non-blocking
    look-ups have a third: they would otherwise wait for longer queries, and it does not sleep where the others do.
    """

    def __init__(self, path: Path) -> None:
        """Use a file, which is opened or created at the first use."""
        files = (SqliteFile(path, _SCHEMA, _SCHEMA_VERSION) for _ in range(3))
        self._reader, self._writer, self._nonblocking_file = files
        self.nonblocking = False
        """Whether anybody looks up without blocking, which needs a connection."""

    @property
    def openings(self) -> int:
        """How often the file was opened; a new number means that it may be a new file."""
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
        """Return the entry of a file, or None."""
        with self._reader.reading() as connection:
            return _find(connection, path)

    def find_nonblocking(self, path: str) -> Entry | Unknown | None:
        """Return the entry of a file without waiting, or `UNKNOWN` before `prepare` or if it would wait."""
        row = self._nonblocking_file.first_row_nonblocking(_FIND, (path,))
        return row if row is None or row is UNKNOWN else _entry(row)

    def prepare(self) -> None:
        """Prepare non-blocking look-ups, if anybody uses them; may wait."""
        if self.nonblocking:
            self._nonblocking_file.prepare_nonblocking()

    def totals(self) -> Totals:
        """Return the sums over all entries."""
        with self._reader.reading() as connection:
            return _totals(connection)

    def in_folder(self, folder: str) -> dict[str, int]:
        """Return the paths of a folder with their sizes."""
        query = "SELECT path, size FROM renditions WHERE path > ? AND path < ?"
        with self._reader.reading() as connection:
            return dict(connection.execute(query, _within(folder)))

    def between(self, first: str, last: str, most: int) -> list[tuple[str, int, int]]:
        """Return path, width and height of the files between two paths."""
        query = "SELECT path, width, height FROM renditions WHERE path > ? AND path < ? LIMIT ?"
        with self._reader.reading() as connection:
            return connection.execute(query, (first, last, most)).fetchall()

    def next_folder(self, folder: str) -> str | None:
        """Return the folder that follows in the order of paths, the first one for an empty name."""
        query = "SELECT path FROM renditions WHERE path > ? ORDER BY path LIMIT 1"
        with self._reader.reading() as connection:
            row = connection.execute(query, (f"{folder}0" if folder else "",)).fetchone()
        return row[0].rpartition("/")[0] if row else None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        for file in (self._reader, self._writer, self._nonblocking_file):
            file.close()


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
    notes = json.dumps(entry.notes) if entry.notes else _NO_NOTES
    return (entry.path, entry.size, entry.crc32, entry.media_type, entry.width, entry.height, notes, entry.used)


def _within(folder: str) -> tuple[str, str]:
    """Return the range of all paths in a folder: "0" follows "/" in ASCII."""
    return f"{folder}/", f"{folder}0"
