"""The database: transactions, bounded waiting, one error for all failures, recovery."""

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, inspect, make_url, text
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
"""What says that a statement was wrong, not the database."""
_log = logging.getLogger(__name__)
Way = Literal["reading", "writing"]
T = TypeVar("T")


class Database:
    """Gives transactions. Whatever is wrong with the database, a caller gets one error, and soon.

    It comes after `patience` seconds; after twice that where it queued up for a connection and then met a lock, and two
    seconds later where a server hangs, which is how long a connection is asked to close.

    After a failure everything is opened anew, at the earliest a second later, so that a database that is back is used
    again without anybody's doing.
    """

    def __init__(self, url: str, *, patience: float = 5.0, connections: int = 5) -> None:
        """Take an address: `sqlite:///folder/file` or `postgresql://user:password@host/name`.

        Raises:
            ConfigError: it is neither, or the driver of PostgreSQL is not installed.
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
        """Which SQL is spoken: `sqlite` or `postgresql`."""
        return self._store.dialect

    async def open(self) -> None:
        """Make the tables, or make those of an earlier release current; may take long, and is done at first use too.

        Raises:
            CatalogUnavailable: the database cannot be used now, or a newer release has written it.
        """
        try:
            await self._open_once()
        except self._trouble as error:
            raise self._failed("writing", error) from error

    async def close(self) -> None:
        """Close every connection, after what is being done."""
        if self._running:
            await asyncio.wait(self._running)
        self._ready = False
        self._store.forget()
        await self._store.close()

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            CatalogUnavailable: there is none.
        """
        async with self.reading() as connection:
            await connection.execute(text("SELECT count(*) FROM images WHERE number < 0"))

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work to its end, also when the caller is canceled.

        A statement of SQLite runs in a thread, which nothing cancels. A connection that is given up in the middle of
        one may hold its lock for as long as anything refers to the cursor, such as the traceback of the cancellation.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that sees one moment.

        Raises:
            CatalogUnavailable: the database cannot be read now.
        """
        async with self._bounded("reading", self._patience), self._store.reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Give a transaction of which all is kept or nothing; `seconds` for one that has much to do.

        Raises:
            CatalogUnavailable: the database cannot be written now; nothing was changed, unless it went at the very end.
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

    def _failed(self, way: Way, error: Exception) -> CatalogUnavailable:
        """Log what is wrong, pause, and forget what may be broken."""
        # The driver's own words: SQLAlchemy would add the statement and what people wrote.
        cause = error.orig if isinstance(error, DBAPIError) else error
        _log.warning("the catalog failed at %s: %s: %s", way, type(cause).__name__, cause)
        self._failures[way] = time.monotonic() + _RETRY_SECONDS
        # Where others wait or work on good connections, there is nothing to forget.
        if not isinstance(error, NoConnection | TimeoutError) and "locked" not in str(error):
            self._ready = False
            self._store.forget()
        detail = error.detail if isinstance(error, CatalogUnavailable) else ""
        return CatalogUnavailable(detail, retry_after=1)

    async def _current(self) -> None:
        """Have the tables current, and the file the one that they are in."""
        if self._ready and self._store.unchanged():
            return
        if self._ready:
            self._ready = False
            self._store.forget()
        await self._open_once()

    async def _open_once(self) -> None:
        """Open in a task of its own, for all that wait: a migration goes on when one of them loses patience."""
        if self._ready:
            return
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._running.add(self._opening)
            self._opening.add_done_callback(self._finished)
        await asyncio.shield(self._opening)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        """Forget work that is done; its failure too, if nobody waits for it any more."""
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def _open(self) -> None:
        # Looked at first without a lock: a catalog that another process writes to can be read.
        if not await self._found_current():
            # Loaded by name: alembic takes a quarter of a second to load, which a current catalog does not need.
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
    """What works on a database."""

    @property
    def database(self) -> Database:
        """The one it works on."""
        ...


P = ParamSpec("P")
S = TypeVar("S", bound=Part)


def finished(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Have a method run to its end; see `Database.finish`."""

    @wraps(method)
    async def run(part: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await part.database.finish(method(part, *args, **kwargs))

    return run
