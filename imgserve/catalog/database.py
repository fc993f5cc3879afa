"""Access to the database, an SQLite file or PostgreSQL: transactions, bounded waiting, one error for all failures."""

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Executable, NullPool, Row, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from imgserve.catalog.tables import REVISION
from imgserve.errors import CatalogUnavailable, ConfigError

_RETRY_SECONDS = 1.0
"""Pause after a failure, so that requests do not queue up behind a database that is locked or gone."""
_TROUBLE = (DBAPIError, NoConnection, TimeoutError, OSError)
_OURS = (IntegrityError, DataError)
"""Errors of a statement, not of the database."""
_SINGLE = "imgserve_single"
"""The option of connections for one query."""
_PAUSE = 0.02
_PRAGMAS = (
    "PRAGMA foreign_keys=ON",
    # In WAL a power cut may lose the last moments, but never damages the file.
    "PRAGMA synchronous=NORMAL",
    "PRAGMA journal_size_limit=16777216",
)
_MIGRATION_LOCK = 0x696D67736572
"""An arbitrary number; this one spells imgser."""
_log = logging.getLogger(__name__)
Way = Literal["reading", "writing"]
T = TypeVar("T")
P = ParamSpec("P")


class _SqliteStore:
    """An SQLite file. Changes queue for a single connection instead of waiting for each other's locks."""

    dialect = "sqlite"
    can_be_canceled = False
    """Statements end by themselves, or after the timeouts set here."""
    driver_errors: tuple[type[Exception], ...] = ()
    """SQLAlchemy wraps every error of this driver."""

    def __init__(self, path: Path, patience: float, connections: int) -> None:
        self._path = path
        self._patience = patience
        self._identity: tuple[int, int] | None = None
        self._known = False
        self._generation = 0
        self.reader = self._engine("BEGIN", pool_size=connections, max_overflow=0, pool_timeout=patience)
        self.single = self.reader.execution_options(**{_SINGLE: True})
        self.writer = self._engine("BEGIN IMMEDIATE", pool_size=1, max_overflow=0, pool_timeout=patience)

    def exists(self) -> bool:
        """Return whether the file exists; one that was opened before must exist."""
        return self._known or self._path.exists()

    def unchanged(self) -> bool:
        """Return whether the file is still the one that was opened; a new one would lose all that people wrote."""
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
        event.listen(engine.sync_engine, "connect", lambda opened, _: opened.execute("PRAGMA journal_mode=WAL").close())
        try:
            async with contextlib.aclosing(await self._patiently(engine)) as connection, connection.begin():
                yield connection
        finally:
            await engine.dispose()

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

    def opened(self) -> None:
        """Remember the file, whose tables are current."""
        found = self._path.stat()
        self._identity, self._known = (found.st_dev, found.st_ino), True

    def forget(self) -> None:
        """Close every connection instead of using it again."""
        self._identity = None
        self._generation += 1

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
        event.listen(engine.sync_engine, "begin", functools.partial(_begin, begin))
        return engine

    def _connected(self, connection: Any, record: Any) -> None:
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
        connection.create_function("hamming", 2, _hamming, deterministic=True)
        record.info["generation"] = self._generation

    def _taken(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """Make the pool replace a connection that was opened before a failure."""
        if record.info["generation"] != self._generation:
            raise DisconnectionError


def _begin(statement: str, connection: Connection) -> None:
    """Begin a transaction, but not for a single query, which reads one snapshot anyway."""
    if not connection.get_execution_options().get(_SINGLE):
        connection.exec_driver_sql(statement)


def _hamming(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


class _PostgresStore:
    """A database on a PostgreSQL server; only that knows whether there are tables, and notices lost connections."""

    dialect = "postgresql"
    can_be_canceled = True

    def __init__(self, url: URL, patience: float, connections: int) -> None:
        try:
            asyncpg = importlib.import_module("asyncpg")  # comes with the extra `postgres` alone
        except ModuleNotFoundError as error:
            raise ConfigError(["catalog: PostgreSQL needs a driver: pip install 'imgserve[postgres]'"]) from error
        self.driver_errors: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError)
        lock_timeout = str(int(patience * 800))
        self.writer = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=connections,
            pool_timeout=patience,
            # So a restart of the server is not a failure.
            pool_pre_ping=True,
            connect_args={
                "timeout": patience,
                "server_settings": {"application_name": "imgserve", "lock_timeout": lock_timeout, "jit": "off"},
            },
        )
        # The two queries for a list and its tags read one snapshot.
        self.reader = self.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.single = self.writer.execution_options(isolation_level="AUTOCOMMIT")

    def exists(self) -> bool:
        return True

    def unchanged(self) -> bool:
        return True

    @asynccontextmanager
    async def changing_tables(self) -> AsyncIterator[AsyncConnection]:
        """Provide a connection that excludes other nodes that create or change tables."""
        async with self.writer.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            yield connection

    def opened(self) -> None:
        pass

    def forget(self) -> None:
        pass


class Database:
    """Provides transactions, and raises one error, soon, for every failure of the database.

    It comes after `patience` seconds; after twice that if the caller queued for a connection and then met a lock; two
    seconds later if a server hangs, because a connection is given that time to close.

    After a failure everything is opened again, at the earliest a second later, so that a database that works again is
    used again.
    """

    def __init__(self, url: str, *, patience: float = 5.0, connections: int = 5) -> None:
        """Use an address: `sqlite:///folder/file` or `postgresql://user:password@host/name`.

        Raises ConfigError if the address is neither, or the driver of PostgreSQL is not installed.
        """
        self._store = _store(url, patience, connections)
        self._trouble: tuple[type[Exception], ...] = (*_TROUBLE, *self._store.driver_errors)
        self._patience = patience
        self._opening: asyncio.Task[None] | None = None
        self._ready = False
        self._failures: dict[Way, float] = {}
        self._logged = dict[Way, str]()
        """The present failures, so that each is logged once."""
        self._running = set[asyncio.Task[Any]]()

    @property
    def dialect(self) -> str:
        """Dialect of SQL: `sqlite` or `postgresql`."""
        return self._store.dialect

    @property
    def state(self) -> str:
        """The state for the readiness check: `ok`, or `degraded: ` and what fails at the moment."""
        return f"degraded: {' and '.join(self._logged)} fails, see the log" if self._logged else "ok"

    async def open(self) -> None:
        """Create the tables or upgrade those of an earlier release; may take long, and happens at the first use too.

        Raises CatalogUnavailable if the database cannot be used now, or a newer release has written it.
        """
        try:
            await self._open_once()
        except self._trouble as error:
            raise self._failed("writing", error) from error

    async def close(self) -> None:
        """Close every connection after the running statements."""
        if self._running:
            await asyncio.wait(self._running)
        self._ready = False
        self._store.forget()
        await self._store.reader.dispose()
        await self._store.writer.dispose()

    async def fetch(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return all rows of one query; raise CatalogUnavailable if the database cannot be read now."""

        async def fetched() -> Sequence[Row[Any]]:
            async with self._bounded("reading", self._patience), self._store.single.connect() as connection:
                return (await connection.execute(statement)).all()

        return await self.finish(fetched())

    async def execute(self, statement: Executable) -> int:
        """Make one change in a transaction of its own; return how many rows it changed.

        Raises CatalogUnavailable if the database cannot be written now.
        """

        async def executed() -> int:
            async with self.writing() as connection:
                return (await connection.execute(statement)).rowcount

        return await self.finish(executed())

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of work that is finished even if the caller is canceled.

        A statement of SQLite runs in a thread, which cannot be canceled. A connection that is abandoned during a
        statement may hold its lock as long as anything refers to the cursor, such as the traceback.
        """
        return await asyncio.shield(self._started(work))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Provide a connection that reads one snapshot; raise CatalogUnavailable if the database cannot be read now."""
        async with self._bounded("reading", self._patience), self._store.reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Provide a transaction, of at most `seconds` if it is long.

        Raises CatalogUnavailable if the database cannot be written now; nothing was changed, unless the commit failed.
        """
        async with self._bounded("writing", seconds or self._patience), self._store.writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _bounded(self, way: Way, seconds: float) -> AsyncIterator[None]:
        if time.monotonic() < self._failures.get(way, 0):
            raise CatalogUnavailable(retry_after=1)
        try:
            async with asyncio.timeout(seconds if self._store.can_be_canceled else None):
                if self._ready and not self._store.unchanged():
                    self._ready = False
                    self._store.forget()
                await self._open_once()
                yield
            if self._logged.pop(way, None):
                _log.warning("the catalog works again at %s", way)
        except CatalogUnavailable as error:
            raise self._failed(way, error) from error.__cause__
        except _OURS:
            raise
        except self._trouble as error:
            raise self._failed(way, error) from error

    def _failed(self, way: Way, error: Exception) -> CatalogUnavailable:
        """Log the failure, pause, and drop connections that may be broken."""
        # The message of the driver alone: SQLAlchemy would add the statement and its values.
        cause = error.orig if isinstance(error, DBAPIError) else error
        message = f"{type(cause).__name__}: {cause}"
        if self._logged.get(way) != message:
            _log.warning("the catalog failed at %s: %s", way, message)
        self._logged[way] = message
        self._failures[way] = time.monotonic() + _RETRY_SECONDS
        # If others wait or work, their connections are good.
        if not isinstance(error, NoConnection | TimeoutError) and "locked" not in str(error):
            self._ready = False
            self._store.forget()
        detail = error.detail if isinstance(error, CatalogUnavailable) else ""
        return CatalogUnavailable(detail, retry_after=1)

    async def _open_once(self) -> None:
        """Open in a separate task for all waiting callers: a migration goes on when one of them gives up."""
        if self._ready:
            return
        if self._opening is None or self._opening.done():
            self._opening = self._started(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        # First without a lock: a catalog that another process writes to can be read.
        if not (self._store.exists() and await self._revision() == REVISION):
            # Imported by name: alembic takes a quarter of a second, and a current catalog does not need it.
            migrate = await asyncio.to_thread(importlib.import_module, "imgserve.catalog.migrations.upgrade")
            async with self._store.changing_tables() as connection:
                await connection.run_sync(migrate.upgrade)
        self._store.opened()
        self._ready = True

    async def _revision(self) -> str | None:
        async with self._store.reader.connect() as connection:
            if not await connection.run_sync(lambda plain: inspect(plain).has_table("alembic_version")):
                return None
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()

    def _started(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work for whose end `close` waits; its failure is not logged if nobody waits for it any more."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task


def _store(url: str, patience: float, connections: int) -> _SqliteStore | _PostgresStore:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(["catalog: expected an address like sqlite:///folder/catalog.sqlite"]) from error
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return _SqliteStore(Path(parsed.database), patience, connections)
    if parsed.drivername in {"postgres", "postgresql"}:
        return _PostgresStore(parsed.set(drivername="postgresql+asyncpg"), patience, connections)
    raise ConfigError([f"catalog: expected sqlite:///file or postgresql://…, not {parsed.drivername}://"])


class Part:
    """A part of the catalog. Every method raises CatalogUnavailable if the database cannot be used now."""

    def __init__(self, database: Database) -> None:
        """Use the rows in a database."""
        self.database = database


S = TypeVar("S", bound=Part)


def finished(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Finish a method even if its caller is canceled; see `Database.finish`."""

    @functools.wraps(method)
    async def run(part: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await part.database.finish(method(part, *args, **kwargs))

    return run
