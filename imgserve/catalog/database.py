"""Access to the database: transactions, bounded waiting, one error for all failures, recovery."""

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Executable, Row, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.backends import PostgresStore, SqliteStore
from imgserve.catalog.tables import REVISION
from imgserve.errors import CatalogUnavailable, ConfigError

_RETRY_SECONDS = 1.0
"""Pause after a failure, so that requests do not queue up behind a database that is locked or gone."""
_TROUBLE = (DBAPIError, NoConnection, TimeoutError, OSError)
_OURS = (IntegrityError, DataError)
"""Errors of a statement, not of the database."""
_log = logging.getLogger(__name__)
Way = Literal["reading", "writing"]
T = TypeVar("T")


class Database:
    """Provides transactions, and raises one error, soon, for every failure of the database.

    It comes after `patience` seconds; after twice that if the caller queued for a connection and then met a lock; two
    seconds later if a server hangs, because a connection is given that time to close.

    After a failure everything is opened again, at the earliest a second later, so that a database that works again is
    used again.
    """

    def __init__(self, url: str, *, patience: float = 5.0, connections: int = 5) -> None:
        """Use an address: `sqlite:///folder/file` or `postgresql://user:password@host/name`.

        Raises:
            ConfigError: the address is neither, or the driver of PostgreSQL is not installed.
        """
        self._store = _store(url, patience, connections)
        self._trouble: tuple[type[Exception], ...] = (*_TROUBLE, *self._store.driver_errors)
        self._patience = patience
        self._opening: asyncio.Task[None] | None = None
        self._ready = False
        self._failures: dict[Way, float] = {}
        self._running = set[asyncio.Task[Any]]()

    @property
    def dialect(self) -> str:
        """Dialect of SQL: `sqlite` or `postgresql`."""
        return self._store.dialect

    async def open(self) -> None:
        """Create the tables or upgrade those of an earlier release; may take long, and happens at the first use too.

        Raises:
            CatalogUnavailable: the database cannot be used now, or a newer release has written it.
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
        await self._store.close()

    async def fetch(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return all rows of one query.

        Raises:
            CatalogUnavailable: the database cannot be read now.
        """
        return await self.finish(self._fetch(statement))

    async def execute(self, statement: Executable) -> int:
        """Make one change in a transaction of its own; return how many rows it changed.

        Raises:
            CatalogUnavailable: the database cannot be written now.
        """
        return await self.finish(self._execute(statement))

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of work that is finished even if the caller is canceled.

        A statement of SQLite runs in a thread, which cannot be canceled. A connection that is abandoned during a
        statement may hold its lock as long as anything refers to the cursor, such as the traceback.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Provide a connection that reads one snapshot.

        Raises:
            CatalogUnavailable: the database cannot be read now.
        """
        async with self._bounded("reading", self._patience), self._store.reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Provide a transaction, of at most `seconds` if it is long.

        Raises:
            CatalogUnavailable: the database cannot be written now; nothing was changed, unless it failed at the commit.
        """
        async with self._bounded("writing", seconds or self._patience), self._store.writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _bounded(self, way: Way, seconds: float) -> AsyncIterator[None]:
        if time.monotonic() < self._failures.get(way, 0):
            raise CatalogUnavailable(retry_after=1)
        try:
            async with asyncio.timeout(seconds if self._store.can_be_canceled else None):
                await self._current()
                yield
        except CatalogUnavailable as error:
            raise self._failed(way, error) from error.__cause__
        except _OURS:
            raise
        except self._trouble as error:
            raise self._failed(way, error) from error

    async def _fetch(self, statement: Executable) -> Sequence[Row[Any]]:
        async with self.reading() as connection:
            return (await connection.execute(statement)).all()

    async def _execute(self, statement: Executable) -> int:
        async with self.writing() as connection:
            return (await connection.execute(statement)).rowcount

    def _failed(self, way: Way, error: Exception) -> CatalogUnavailable:
        """Log the failure, pause, and drop connections that may be broken."""
        # The message of the driver alone: SQLAlchemy would add the statement and its values.
        cause = error.orig if isinstance(error, DBAPIError) else error
        _log.warning("the catalog failed at %s: %s: %s", way, type(cause).__name__, cause)
        self._failures[way] = time.monotonic() + _RETRY_SECONDS
        # If others wait or work, their connections are good.
        if not isinstance(error, NoConnection | TimeoutError) and "locked" not in str(error):
            self._ready = False
            self._store.forget()
        detail = error.detail if isinstance(error, CatalogUnavailable) else ""
        return CatalogUnavailable(detail, retry_after=1)

    async def _current(self) -> None:
        """Open the catalog unless it is open and its file is still the same."""
        if self._ready and self._store.unchanged():
            return
        if self._ready:
            self._ready = False
            self._store.forget()
        await self._open_once()

    async def _open_once(self) -> None:
        """Open in a separate task for all waiting callers: a migration goes on when one of them gives up."""
        if self._ready:
            return
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._running.add(self._opening)
            self._opening.add_done_callback(self._finished)
        await asyncio.shield(self._opening)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        """Forget finished work, and its failure if nobody waits for it any more."""
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def _open(self) -> None:
        # First without a lock: a catalog that another process writes to can be read.
        if not await self._found_current():
            # Imported by name: alembic takes a quarter of a second, and a current catalog does not need it.
            migrate = await asyncio.to_thread(importlib.import_module, "imgserve.catalog.migrations.upgrade")
            async with self._store.changing_tables() as connection:
                await connection.run_sync(migrate.upgrade)
        self._store.opened()
        self._ready = True

    async def _found_current(self) -> bool:
        if not self._store.exists():
            return False
        async with self._store.reader.connect() as connection:
            return await connection.run_sync(_revision) == REVISION


def _store(url: str, patience: float, connections: int) -> SqliteStore | PostgresStore:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(["catalog: expected an address like sqlite:///folder/catalog.sqlite"]) from error
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return SqliteStore(Path(parsed.database), patience, connections)
    if parsed.drivername in {"postgres", "postgresql"}:
        return PostgresStore(parsed.set(drivername="postgresql+asyncpg"), patience, connections)
    raise ConfigError([f"catalog: expected sqlite:///file or postgresql://…, not {parsed.drivername}://"])


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


class Part(Protocol):
    """A part of the catalog."""

    @property
    def database(self) -> Database:
        """The database of the part."""
        ...


P = ParamSpec("P")
S = TypeVar("S", bound=Part)


def finished(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Finish a method even if its caller is canceled; see `Database.finish`."""

    @wraps(method)
    async def run(part: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await part.database.finish(method(part, *args, **kwargs))

    return run
