"""The ledger of a tier on disk, in SQLite: one row per file with its size and last use."""

import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imgserve.cache.files import UNKNOWN, Unknown
from imgserve.cache.sqlite_file import SqliteFile

_COUNTS_GONE = """
CREATE TRIGGER counts_gone AFTER DELETE ON renditions BEGIN
    UPDATE totals SET entries = entries - 1, size = size - OLD.size;
END
"""
_MARK = "substr(path, 48, 18)"
"""What `key.mark_prefix` returns, if the name behind the folder begins with that."""
_HAS_MARK = "substr(path, 48, 1) = '@'"
_SCHEMA = f"""
CREATE TABLE renditions (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, crc32 INTEGER, media_type TEXT NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, notes TEXT NOT NULL, used INTEGER NOT NULL, hits INTEGER NOT NULL DEFAULT 0, saved INTEGER
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
END;
CREATE INDEX renditions_by_mark ON renditions ({_MARK}) WHERE {_HAS_MARK}
"""  # noqa: S608  our constants
"""Triggers keep the totals: whatever changes rows changes them in the same transaction."""
_MARKED = f"SELECT path FROM renditions WHERE {_HAS_MARK} AND {_MARK} = ?"  # noqa: S608  our constants
_SCHEMA_VERSION = 2
_COLUMNS = "path, size, crc32, media_type, width, height, notes, used"
_FIND = f"SELECT {_COLUMNS} FROM renditions WHERE path = ?"  # noqa: S608  our constant
_INSERT = f"INSERT INTO renditions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  our constant
_SUMS = "SELECT entries, size FROM totals"
_NO_NOTES = "[]"
Order = Literal["size", "age", "original"]
_ORDERS = {"size": "size DESC, path", "age": "used, path", "original": "path"}


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
class Popularity:
    """How often a file was sent, and what was done for that."""

    hits: int
    crc32: int | None
    saved: int | None
    """Bytes that another encoding has saved for each hit; 0 if it saved none, None if none was tried."""


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
        row = self._connection.execute(_FIND, (path,)).fetchone()
        return _entry(row) if row else None

    def totals(self) -> Totals:
        """Return the sums, this transaction included."""
        return Totals(*self._connection.execute(_SUMS).fetchone())

    def put(self, entry: Entry) -> None:
        """Insert or replace the entry of a file."""
        # Not INSERT OR REPLACE, which deletes without firing the trigger.
        self._connection.execute(
            f"{_INSERT} ON CONFLICT (path) DO UPDATE SET size = excluded.size, crc32 = excluded.crc32, "
            "media_type = excluded.media_type, width = excluded.width, height = excluded.height, "
            "notes = excluded.notes, used = max(used, excluded.used), saved = NULL",
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

    def count_hits(self, hits: Mapping[str, int], used: int) -> dict[str, Popularity]:
        """Add hits, the last of them at a time; return the sums of the files that exist."""
        query = "UPDATE renditions SET hits = hits + ?, used = max(used, ?) WHERE path = ? RETURNING hits, crc32, saved"
        rows = {path: self._connection.execute(query, (number, used, path)).fetchone() for path, number in hits.items()}
        return {path: Popularity(*row) for path, row in rows.items() if row}

    def set_saved(self, path: str, crc32: int, saved: int) -> None:
        """Set the bytes that another encoding has saved, if the file still has this checksum."""
        query = "UPDATE renditions SET saved = ? WHERE path = ? AND crc32 = ?"
        self._connection.execute(query, (saved, path, crc32))


_RECENT_BATCH = 512
"""Uses after which they are written to the ledger."""
_RECENT_SECONDS = 5.0
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
        full = len(self._used) >= _RECENT_BATCH
        return full or (bool(self._used) and time.monotonic() - self._taken_at >= _RECENT_SECONDS)

    def now(self) -> int:
        """Return the time in nanoseconds, which rises in this process even if the clock is set back."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last

    def follow(self, last: int) -> None:
        """Count on from the last use that others know, which may be ahead of the clock: it was set back since."""
        with self._lock:
            self._last = max(self._last, last)

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


class Ledger:
    """The entries of a cache folder, shared by every process that uses the folder.

    Queries and changes have a connection each: a look-up never waits for a change in another thread. Non-blocking
    look-ups have a third: they would otherwise wait for longer queries, and it does not sleep where the others do.
    """

    def __init__(self, path: Path) -> None:
        """Use a file, which is opened or created at the first use."""
        self._reader, self._writer, self._nonblocking = (SqliteFile(path, _SCHEMA, _SCHEMA_VERSION) for _ in range(3))
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
        found = self._reader.rows(_FIND, path)
        return _entry(found[0]) if found else None

    def find_nonblocking(self, path: str) -> Entry | Unknown | None:
        """Return the entry of a file without waiting, or `UNKNOWN` before `prepare` or if it would wait."""
        row = self._nonblocking.first_row_nonblocking(_FIND, path)
        return row if row is None or row is UNKNOWN else _entry(row)

    def prepare(self) -> None:
        """Prepare non-blocking look-ups, if anybody uses them; may wait."""
        if self.nonblocking:
            # SQLite would otherwise sleep while another process has the file for itself.
            self._nonblocking.rows("PRAGMA busy_timeout=0")

    def totals(self) -> Totals:
        """Return the sums over all entries."""
        return Totals(*self._reader.rows(_SUMS)[0])

    def last_use(self) -> int:
        """Return the time of the last use, 0 if there is none."""
        return int(self._reader.rows("SELECT coalesce(max(used), 0) FROM renditions")[0][0])

    def sorted_by(self, order: Order, most: int = -1, folders: Sequence[str] = ()) -> list[Entry]:
        """Return the first entries of some folders, or all: the largest, the longest unused, or by path."""
        within, bounds = " OR ".join(["path > ? AND path < ?"] * len(folders)) or "TRUE", map(_within, folders)
        query = f"SELECT {_COLUMNS} FROM renditions WHERE {within} ORDER BY {_ORDERS[order]} LIMIT ?"  # noqa: S608  ours
        return [_entry(row) for row in self._reader.rows(query, *itertools.chain(*bounds), most)]

    def between(self, first: str, last: str, most: int) -> list[tuple[str, int, int]]:
        """Return path, width and height of the files between two paths."""
        query = "SELECT path, width, height FROM renditions WHERE path > ? AND path < ? LIMIT ?"
        return self._reader.rows(query, first, last, most)

    def marked(self, prefix: str) -> list[str]:
        """Return the files whose names begin with the prefix of a mark, in the folders of any images."""
        return [path for (path,) in self._reader.rows(_MARKED, prefix)]

    def next_folder(self, folder: str) -> str | None:
        """Return the folder that follows in the order of paths, the first one for an empty name."""
        after = f"{folder}0" if folder else ""
        found = self._reader.rows("SELECT path FROM renditions WHERE path > ? ORDER BY path LIMIT 1", after)
        return found[0][0].rpartition("/")[0] if found else None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        for file in (self._reader, self._writer, self._nonblocking):
            file.close()


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
