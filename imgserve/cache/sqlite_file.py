"""An SQLite file that several processes share, and that any of them may find broken, replaced or deleted."""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from imgserve.cache.files import UNKNOWN, Unknown

_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY}
_BROKEN_AT_OPENING = _BROKEN | {sqlite3.SQLITE_ERROR}  # the error means that a table has another form
_BUSY_SECONDS = 1.0  # longest wait for other processes
_RETRY_SECONDS = 1.0
"""Pause after a failure, so that requests do not queue up behind a locked or unreachable ledger."""


class SqliteFile:
    """One connection to an SQLite file that may vanish, break or be replaced by another process at any time.

    A cache may forget: a file that is broken, read-only or of another schema is renamed and created anew.
    """

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self._path = path
        self._schema, self._version = schema, version
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
                connection.executescript(
                    f"BEGIN IMMEDIATE; {self._schema}; PRAGMA user_version={self._version}; COMMIT"
                )
            elif version != self._version:
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


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code of an SQLite error, or 0 for one that Python's module raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
