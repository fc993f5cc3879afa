"""The SQLite file of a ledger, which is replaced when it is damaged."""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imgserve.cache.files import UNKNOWN, Unknown

_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY}
_BROKEN_AT_OPENING = _BROKEN | {sqlite3.SQLITE_ERROR}
"""SQLITE_ERROR at opening means that a table has another form."""
_RETRY_SECONDS = 1.0
"""Pause after a failure, so that requests do not queue up behind a locked or unreachable ledger."""


class _OtherSchema(sqlite3.DatabaseError):
    """The file was written by another release."""

    sqlite_errorcode = sqlite3.SQLITE_NOTADB


class SqliteFile:
    """One connection to an SQLite file that may vanish, break or be replaced by another process at any time.

    A cache may forget: a file that is broken, read-only or of another schema is renamed and created anew.
    """

    def __init__(self, path: Path, schema: str, schema_version: int, busy_seconds: float = 1.0) -> None:
        """Use a file with a schema of some version, and wait so long for other processes."""
        self._path = path
        self._schema = schema
        self._schema_version = schema_version
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._failure: OSError | sqlite3.Error | None = None
        self.openings = 0
        """How often the file was opened; a new number means that it may be a new file."""
        self.losses = 0
        """How often the file was deleted or replaced while it was in use."""

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Provide the connection for queries."""
        with self._lock, self._watched():
            yield self._open_connection()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Provide the connection in a transaction that excludes other writers; an error rolls it back."""
        with self._lock, self._watched():
            connection = self._open_connection()
            self._begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself has rolled back after some errors, a full disk among them.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def first_row_nonblocking(self, query: str, parameters: tuple[object, ...]) -> tuple[Any, ...] | Unknown | None:
        """Return the first row of a query, or `UNKNOWN` if that would open, wait or repair."""
        if not self._lock.acquire(blocking=False):
            return UNKNOWN
        try:
            if self._connection is None:
                return UNKNOWN
            row: tuple[Any, ...] | None = self._connection.execute(query, parameters).fetchone()
        except sqlite3.Error:
            # A blocking query meets the same error and reports it.
            return UNKNOWN
        else:
            return row
        finally:
            self._lock.release()

    def prepare_nonblocking(self) -> None:
        """Open the file for non-blocking queries, again if it was replaced; may wait."""
        with self._lock, self._watched():
            # SQLite would otherwise sleep while another process has the file for itself.
            self._open_connection().execute("PRAGMA busy_timeout=0")

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            self._drop_connection()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if _code(error) in _BROKEN:
                self._drop_connection()
                with self._replacing():
                    self._set_aside(self._identity)
            raise

    def _open_connection(self) -> sqlite3.Connection:
        # SQLite goes on with a deleted file as if nothing had happened. The look costs 2 microseconds.
        if self._connection is not None and self._identity == _identity(self._path):
            return self._connection
        self.losses += self._connection is not None
        self._drop_connection()
        self._raise_recent_failure()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._replacing():
                connection = self._connect_or_replace()
                self._identity = _identity(self._path)
        except (OSError, sqlite3.Error) as error:
            self._remember(error)
            raise
        self._connection = connection
        self.openings += 1
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._raise_recent_failure()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._remember(error)
            raise

    def _raise_recent_failure(self) -> None:
        if self._failure is not None and time.monotonic() < self._retry_at:
            raise self._failure.with_traceback(None)
        self._failure = None

    def _remember(self, error: OSError | sqlite3.Error) -> None:
        self._failure = error
        self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _connect_or_replace(self) -> sqlite3.Connection:
        identity = _identity(self._path)
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if _code(error) not in _BROKEN_AT_OPENING:
                raise
        self._set_aside(identity)
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            # Neither pictures nor ledger need an fsync a write: after a power cut they are rendered again.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA journal_size_limit=4194304")
            self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == self._schema_version:
            return
        if version != 0:
            raise _OtherSchema
        connection.executescript(
            f"BEGIN IMMEDIATE; {self._schema}; PRAGMA user_version={self._schema_version}; COMMIT;"
        )

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        """Lock out other processes that open or replace the file: two that find it broken must not replace it twice.

        Turning on WAL also needs this: it fails at once, without waiting, while another process opens the file.
        """
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._wait_for_lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _wait_for_lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _set_aside(self, identity: tuple[int, int] | None) -> None:
        """Rename a broken file, unless another process has done so already."""
        if identity is None or _identity(self._path) != identity:
            return
        for end in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + end)
            if part.exists():
                part.replace(self._path.with_name(f"{self._path.name}.broken{end}"))

    def _drop_connection(self) -> None:
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
