"""Counters of rates in Redis or Valkey, for several nodes. Needs the extra `redis`."""

import asyncio

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from imgserve.access.rates import Rate

_CONNECTIONS = 16
_PATIENCE = 0.1


class RedisCounters:
    """Counters that expire by themselves, changed by a script inside Redis."""

    errors: tuple[type[Exception], ...] = (OSError, RedisError)

    def __init__(self, url: str) -> None:
        """Connect with the first event."""
        self._pool = BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS)
        self._storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix="imgserve:rates",
            connection_pool=self._pool,  # type: ignore[arg-type]  # documented, but not in the type of the options
        )

    def __str__(self) -> str:
        return "Redis"

    async def spend(self, name: bytes, rate: Rate, cost: int) -> float | None:
        """Count events, or return the seconds until they fit."""
        key = name.hex()
        async with asyncio.timeout(_PATIENCE):
            if cost and await self._storage.acquire_sliding_window_entry(key, rate.amount, rate.seconds, cost):
                return None
            previous, previous_left, current, current_left = await self._storage.get_sliding_window(key, rate.seconds)
        left = previous_left or max(0.0, current_left - rate.seconds)
        wait = rate.wait(previous, current, left, cost or 1)
        return wait or 0.0 if cost else wait

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()
