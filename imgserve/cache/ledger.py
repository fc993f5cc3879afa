"""The ledger of a tier on disk, in SQLite: one row per file with its size and last use."""

import fcntl
import itertools
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from imgserve.cache.files import UNKNOWN, Unknown

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
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY}
_BROKEN_AT_OPENING = _BROKEN | {sqlite3.SQLITE_ERROR}  # the error means that a table has another form
_BUSY_SECONDS = 1.0  # longest wait for other processes
_RETRY_SECONDS = 1.0
"""Pause after a failure, so that requests do not queue up behind a locked or unreachable ledger."""


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


class SqliteFile:
    """One connection to an SQLite file that may vanish, break or be replaced by another process at any time.

    A cache may forget: a file that is broken, read-only or of another schema is renamed and created anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._failure: OSError | sqlite3.Error | None = None
        self.openings = 0
        """How often the file was opened; a new number means that it may be a new file."""
        self.losses = 0
        """How often the file was deleted or replaced while it was in use."""

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock, self._watched():
            return self._open().execute(query, parameters).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Provide the connection in a transaction that excludes other writers; an error rolls it back."""
        with self._lock, self._watched():
            connection = self._open()
            with self._failures_remembered():
                connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself has rolled back after some errors, a full disk among them.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def first_row_nonblocking(self, query: str, *parameters: object) -> tuple[Any, ...] | Unknown | None:
        """Return the first row of a query, or `UNKNOWN` if that would open, wait or repair."""
        if not self._lock.acquire(blocking=False):
            return UNKNOWN
        try:
            if self._connection is not None:
                with suppress(sqlite3.Error):  # a blocking query meets the same error and reports it
                    row: tuple[Any, ...] | None = self._connection.execute(query, parameters).fetchone()
                    return row
            return UNKNOWN
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            self._disconnect()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Replace a file in which SQLite finds damage."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if _code(error) in _BROKEN:
                self._disconnect()
                with self._replacing():
                    self._set_aside(self._identity)
            raise

    def _open(self) -> sqlite3.Connection:
        # SQLite goes on with a deleted file as if nothing had happened. The look costs 2 microseconds.
        if self._connection is not None and self._identity == _identity(self._path):
            return self._connection
        self.losses += self._connection is not None
        self._disconnect()
        with self._failures_remembered():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._replacing():
                identity = _identity(self._path)
                try:
                    self._connection = self._connect()
                except sqlite3.DatabaseError as error:
                    if _code(error) not in _BROKEN_AT_OPENING:
                        raise
                    self._set_aside(identity)
                    self._connection = self._connect()
                self._identity = _identity(self._path)
        self.openings += 1
        return self._connection

    @contextmanager
    def _failures_remembered(self) -> Iterator[None]:
        """Raise a recent failure again instead of waiting for the next one."""
        if self._failure is not None and time.monotonic() < self._retry_at:
            raise self._failure.with_traceback(None)
        self._failure = None
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self._failure = error
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with ExitStack() as unless_kept:
            unless_kept.callback(connection.close)
            # Neither pictures nor ledger need an fsync a write: after a power cut they are rendered again.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA journal_size_limit=4194304")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}; PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
            elif version != _SCHEMA_VERSION:
                other = sqlite3.DatabaseError("the file was written by another release")
                other.sqlite_errorcode = sqlite3.SQLITE_NOTADB
                raise other
            unless_kept.pop_all()
        return connection

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        """Lock out other processes that open or replace the file: two that find it broken must not replace it twice.

        Turning on WAL also needs this: it fails at once, without waiting, while another process opens the file.
        """
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A lock has no time limit of its own. When a thread that was left behind gets it, it ends at once: the
                # descriptor is closed by then.
                locking = threading.Thread(target=fcntl.flock, args=(descriptor, fcntl.LOCK_EX), daemon=True)
                locking.start()
                locking.join(_BUSY_SECONDS)
                if locking.is_alive():
                    raise
            yield
        finally:
            os.close(descriptor)

    def _set_aside(self, identity: tuple[int, int] | None) -> None:
        """Rename a broken file, unless another process has done so already."""
        if identity is None or _identity(self._path) != identity:
            return
        for end in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + end)
            if part.exists():
                part.replace(self._path.with_name(f"{self._path.name}.broken{end}"))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Ledger:
    """The entries of a cache folder, shared by every process that uses the folder.

    Queries and changes have a connection each: a look-up never waits for a change in another thread. Non-blocking
    look-ups have a third: they would otherwise wait for longer queries, and it does not sleep where the others do.
    """

    def __init__(self, path: Path) -> None:
        """Use a file, which is opened or created at the first use."""
        self._reader, self._writer, self._nonblocking = (SqliteFile(path) for _ in range(3))
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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code of an SQLite error, or 0 for one that Python's module raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
