"""The two databases of a catalog: an SQLite file or PostgreSQL."""

import asyncio
import contextlib
import importlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, NullPool, event, text
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from imgserve.errors import CatalogUnavailable, ConfigError

_PAUSE = 0.02
_PRAGMAS = (
    "PRAGMA foreign_keys=ON",
    # In WAL a power cut may lose the last moments, but never damages the file.
    "PRAGMA synchronous=NORMAL",
    "PRAGMA journal_size_limit=16777216",
)


class SqliteStore:
    """An SQLite file. Changes queue for a single connection instead of waiting for each other's locks."""

    dialect = "sqlite"
    can_be_canceled = False
    """Statements end by themselves, or after the timeouts set here."""
    driver_errors: tuple[type[Exception], ...] = ()
    """SQLAlchemy wraps every error of this driver."""

    def __init__(self, path: Path, patience: float, connections: int) -> None:
        """Use a file with so many connections for reading, and wait so long for other processes."""
        self._path = path
        self._patience = patience
        self._identity: tuple[int, int] | None = None
        self._known = False
        self._generation = 0
        self.reader = self._engine("BEGIN", pool_size=connections, max_overflow=0, pool_timeout=patience)
        self.writer = self._engine("BEGIN IMMEDIATE", pool_size=1, max_overflow=0, pool_timeout=patience)

    def exists(self) -> bool:
        """Return whether the file exists; one that was opened before must exist."""
        return self._known or self._path.exists()

    def unchanged(self) -> bool:
        """Return whether the file is still the one that was opened.

        Raises:
            CatalogUnavailable: it is missing. A new file would lose all that people wrote.
        """
        try:
            found = os.stat(self._path)  # noqa: PTH116  before every query, and Path is ten times slower
        except FileNotFoundError as error:
            raise CatalogUnavailable from error
        return (found.st_dev, found.st_ino) == self._identity

    @asynccontextmanager
    async def changing_tables(self) -> AsyncIterator[AsyncConnection]:
        """Provide a connection that excludes all other writers; the first one creates the file."""
        if not self._known:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        engine = self._engine("BEGIN IMMEDIATE", mode="rw" if self._known else "rwc", poolclass=NullPool)
        event.listen(engine.sync_engine, "connect", _turn_on_wal)
        try:
            async with contextlib.aclosing(await self._patiently(engine)) as connection, connection.begin():
                yield connection
        finally:
            await engine.dispose()

    def opened(self) -> None:
        """Remember the file, whose tables are current."""
        found = self._path.stat()
        self._identity, self._known = (found.st_dev, found.st_ino), True

    def forget(self) -> None:
        """Close every connection instead of using it again."""
        self._identity = None
        self._generation += 1

    async def close(self) -> None:
        """Close every connection."""
        await self.reader.dispose()
        await self.writer.dispose()

    async def _patiently(self, engine: AsyncEngine) -> AsyncConnection:
        """Open a connection; turning on WAL fails without waiting while another process opens the file."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await engine.connect().start()
            except OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_PAUSE)

    def _engine(self, begin: str, *, mode: str = "rw", **pool: Any) -> AsyncEngine:
        uri = f"file:{quote(os.fsencode(self._path.absolute()))}"
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=uri, query={"mode": mode, "uri": "true"}),
            # A little less than our own patience, so that SQLite gives up first and nothing needs to be canceled.
            connect_args={"timeout": self._patience * 0.8, "isolation_level": None},
            **pool,
        )
        event.listen(engine.sync_engine, "connect", self._connected)
        event.listen(engine.sync_engine, "checkout", self._taken)
        # Transactions begin in this mode, not in the one that Python's module chooses.
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine

    def _connected(self, connection: Any, record: Any) -> None:
        """Configure a new connection."""
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()
        connection.create_function("hamming", 2, _hamming, deterministic=True)
        record.info["generation"] = self._generation

    def _taken(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """Make the pool replace a connection that was opened before a failure."""
        if record.info["generation"] != self._generation:
            raise DisconnectionError


def _turn_on_wal(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _hamming(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


_MIGRATION_LOCK = 0x696D67736572
"""An arbitrary number; this one spells imgser."""


class PostgresStore:
    """A database on a PostgreSQL server."""

    dialect = "postgresql"
    can_be_canceled = True

    def __init__(self, url: URL, patience: float, connections: int) -> None:
        """Use an address with so many connections, and wait so long for the server and for other nodes.

        Raises:
            ConfigError: the driver is not installed.
        """
        self.driver_errors = _driver_errors()
        milliseconds = str(int(patience * 800))
        self.writer = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=connections,
            pool_timeout=patience,
            # So a restart of the server is not a failure.
            pool_pre_ping=True,
            connect_args={
                "timeout": patience,
                "server_settings": {"application_name": "imgserve", "lock_timeout": milliseconds, "jit": "off"},
            },
        )
        # The two queries for a list and its tags read one snapshot.
        self.reader = self.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def exists(self) -> bool:
        """Return True: only the server knows whether there are tables."""
        return True

    def unchanged(self) -> bool:
        """Return True: a lost connection shows when it is used."""
        return True

    @asynccontextmanager
    async def changing_tables(self) -> AsyncIterator[AsyncConnection]:
        """Provide a connection that excludes other nodes that create or change tables."""
        async with self.writer.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            yield connection

    def opened(self) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing: lost connections are detected when they are used."""

    async def close(self) -> None:
        """Close every connection."""
        await self.writer.dispose()


def _driver_errors() -> tuple[type[Exception], ...]:
    """Return the errors of asyncpg that SQLAlchemy does not wrap; asyncpg comes with the extra `postgres` alone."""
    try:
        asyncpg = importlib.import_module("asyncpg")
    except ModuleNotFoundError as error:
        raise ConfigError(["catalog: PostgreSQL needs a driver: pip install 'imgserve[postgres]'"]) from error
    return asyncpg.PostgresError, asyncpg.InterfaceError
