"""A catalog in PostgreSQL, for many nodes. No rows here."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from imgserve.errors import ConfigError

_MIGRATION_LOCK = 0x696D67736572
"""Any number that is ours; this one spells imgser."""


class PostgresStore:
    """One database on a server."""

    dialect = "postgresql"
    can_be_canceled = True

    def __init__(self, url: URL, patience: float, connections: int) -> None:
        """Take the address, how long to wait for the server and for other nodes, and how many connections to keep.

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
            # A server that was started again is then no failure.
            pool_pre_ping=True,
            connect_args={
                "timeout": patience,
                "server_settings": {"application_name": "imgserve", "lock_timeout": milliseconds, "jit": "off"},
            },
        )
        # A list and its tags are two queries of one moment.
        self.reader = self.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def exists(self) -> bool:
        """Tell that there may be tables; only the server knows."""
        return True

    def unchanged(self) -> bool:
        """Tell that nothing shows from here; a lost connection shows when it is used."""
        return True

    @asynccontextmanager
    async def changing_tables(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that no other node makes or changes tables beside."""
        async with self.writer.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            yield connection

    def opened(self) -> None:
        """Remember nothing: the server does."""

    def forget(self) -> None:
        """Forget nothing: lost connections are found out by themselves."""

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
