"""The pace of imports: how many requests are made at a time and in a second, in all and to each host."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

_MOST_HOSTS = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits of the work of a node."""

    concurrency: int = 32
    per_host: int = 4
    per_second: float = 20.0
    host_per_second: float = 20.0
    attempts: int = 5
    retry_delay: float = 2.0


class Turns:
    """Spreads requests evenly over time, and limits how many are made of each host at once."""

    def __init__(self, pace: Pace, freed: Callable[[], None]) -> None:
        """`freed` is called whenever another request may be claimed."""
        self._freed = freed
        self.hosts = Counter[str]()
        """Claimed requests that are not over yet, by their hosts."""
        self._all = anyio.CapacityLimiter(pace.concurrency)
        self._gates = dict[str, anyio.CapacityLimiter]()
        self._per_host = pace.per_host
        self._every, self._every_of_host = 1 / pace.per_second, 1 / pace.host_per_second
        self._next, self._next_of_host = 0.0, defaultdict[str, float](float)

    def take(self, host: str) -> "Turn":
        """Return the turn of a claimed request."""
        self.hosts[host] += 1
        return Turn(self, host, self._gates.setdefault(host, anyio.CapacityLimiter(self._per_host)))

    def end(self, host: str) -> None:
        """Free the turn of a host."""
        self.hosts[host] -= 1
        if not self.hosts[host]:
            del self.hosts[host], self._gates[host]
        self._freed()

    @asynccontextmanager
    async def start(self, host: str) -> AsyncIterator[None]:
        """Wait until a request may start; the block makes it."""
        async with self._all:
            now = time.monotonic()
            begin = max(now, self._next, self._next_of_host[host])
            self._next, self._next_of_host[host] = max(now, self._next) + self._every, begin + self._every_of_host
            if len(self._next_of_host) > _MOST_HOSTS:  # those of the past are not needed
                left = {name: at for name, at in self._next_of_host.items() if at > now}
                self._next_of_host = defaultdict(float, left)
            await anyio.sleep(begin - now)
            yield


class Turn:
    """The turn of one claimed image at its host: until its response was received, or its failure is recorded."""

    def __init__(self, turns: Turns, host: str, gate: anyio.CapacityLimiter) -> None:
        self._turns, self._host, self._gate = turns, host, gate
        self._entered = self._over = False

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Wait until the request may start, and end the turn after the block, unless that fails."""
        await self._gate.acquire()
        self._entered = True
        async with self._turns.start(self._host):
            yield
        self.end()

    def end(self) -> None:
        """Free the place, also of a request that was not made."""
        if not self._over:
            self._over = True
            if self._entered:
                self._gate.release()
            self._turns.end(self._host)
