"""The rate limiter: counts events of a client, an image or an account, and rejects what exceeds a limit."""

import hashlib
import importlib
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from imgserve.access.counters import Counters, CounterTable
from imgserve.access.rates import Kind, Rate, parse_rates
from imgserve.errors import ConfigError, RateLimited
from imgserve.metrics import Metrics

_logger = logging.getLogger(__name__)
_FILE = "rates"
_RETRY = 5.0


class RateLimiter:
    """Counts in shared counters; while they fail, in the memory of this process."""

    def __init__(
        self, shared: Counters | None, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Count in `shared`, or only in this process."""
        self._shared = shared
        self._local = CounterTable()
        self._failures = metrics.rate_limit_errors
        self._clock = clock
        self._retry_at: float | None = None
        """When failed counters are tried again."""

    async def spend(self, kind: Kind, subject: str, rates: str, cost: int = 1) -> None:
        """Count events of a subject; what a rate rejects does not count for it and longer ones.

        Several rates are checked from the shortest period on, so that a burst that is rejected does not use up a day.

        Raises:
            RateLimited: the events exceed one of the rates, with the seconds until they fit, if they ever do.
            ValueError: the text is no list of rates.
        """
        for rate in parse_rates(rates):
            name = f"{kind.label}/{rate.amount}/{rate.seconds}/{subject}".encode("utf-8", "surrogatepass")
            wait = await self._count(hashlib.blake2b(name, digest_size=16).digest(), rate, cost)
            if wait is not None:
                raise RateLimited(kind.sentence(rate), retry_after=int(wait) + 1 if math.isfinite(wait) else None)

    async def check(self, kind: Kind, subject: str, rates: str) -> None:
        """Raise as `spend` does if one more event would exceed a rate, but count nothing."""
        await self.spend(kind, subject, rates, cost=0)

    async def close(self) -> None:
        """Close files and connections."""
        for counters in (self._local, self._shared):
            if counters is not None:
                await counters.close()

    async def _count(self, name: bytes, rate: Rate, cost: int) -> float | None:
        shared = self._shared
        if shared is None or not self._may_try():
            return await self._local.spend(name, rate, cost)
        try:
            wait = await shared.spend(name, rate, cost)
        except shared.errors as error:
            self._failed(error)
            return await self._local.spend(name, rate, cost)
        if self._retry_at is not None:
            self._retry_at = None
            _logger.info("rate limits are shared again, in %s", shared)
        return wait

    def _may_try(self) -> bool:
        """Return whether the shared counters are usable; of those that find out again, one at a time."""
        if self._retry_at is None:
            return True
        if self._clock() < self._retry_at:
            return False
        self._retry_at = self._clock() + _RETRY
        return True

    def _failed(self, error: Exception) -> None:
        self._failures.inc()
        if self._retry_at is None:
            reason = str(error) or "no answer in time"
            _logger.warning("each server process has rate limits of its own, as %s fails: %s", self._shared, reason)
        self._retry_at = self._clock() + _RETRY


def open_limiter(storage_url: str, folder: Path | None, processes: int, metrics: Metrics) -> RateLimiter:
    """Return the rate limiter of a server process; it opens files and connections with the first event.

    It counts in Redis if there is a URL, else in a file of the data folder for several processes, else in memory.

    Raises ConfigError if the URL needs an extra that is not installed.
    """
    if storage_url:
        try:
            redis = importlib.import_module("imgserve.access.redis_counters")
        except ModuleNotFoundError as error:
            raise ConfigError(["rates.storage: Redis needs a client: pip install 'imgserve[redis]'"]) from error
        return RateLimiter(redis.RedisCounters(storage_url), metrics)
    return RateLimiter(CounterTable(folder / _FILE) if folder and processes > 1 else None, metrics)
