"""Single flight: callers that want the same thing at the same time share one piece of work. Nothing is kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Generic, TypeVar

import anyio

_LOGGER = logging.getLogger("imgserve.cache")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Flight(Generic[T]):
    """One piece of work and those who wait for it."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.landed = asyncio.Event()
        self.waiters = 0
        self.committed = False
        self.results: list[T] = []
        """One result, or none if the work failed."""
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._traceback = error.__traceback__

    def outcome(self) -> T:
        if self._error is not None:
            # Every raise puts frames in front of the traceback that the exception carries; with 500 waiters raising
            # the same object it would grow by each of them. So each starts from the factory's.
            raise self._error.with_traceback(self._traceback)
        return self.results[0]


class SingleFlight(Generic[K, T]):
    """Runs one call a key at a time and gives its outcome to everyone who asked meanwhile.

    Why nobody waits for ever, nobody is cancelled by another, and no key stays:

    1. All steps between two awaits run alone, since there is one event loop.
    2. A flight is in the table exactly from its launch until it lands or its last waiter leaves, whichever is first.
       So nobody joins a flight that is being cancelled: a newcomer launches the next one.
    3. Waiters wait for an event, each on a future of its own. Cancelling a waiter, by anyio or by `Task.cancel`,
       touches neither the work nor the other waiters.
    4. Work that is committed is finished whoever leaves, and can be joined until it lands.
    5. The work runs in a task of its own. It is cancelled through its scope only, so a shielded part of the factory
       finishes first.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()
        self.launched = 0
        """Calls that did the work."""
        self.coalesced = 0
        """Calls that were given the outcome of another."""

    @property
    def in_flight(self) -> int:
        """How many flights can be joined right now."""
        return len(self._flights)

    def is_flying(self, key: K) -> bool:
        """Tell whether there is a flight that can be joined."""
        return key in self._flights

    async def do(self, key: K, factory: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the outcome of the factory, and whether it was another caller's."""
        flight = self._flights.get(key)
        shared = flight is not None
        if flight is None:
            flight = self._launch(key, factory)
        else:
            self.coalesced += 1
        flight.waiters += 1
        try:
            await flight.landed.wait()
        finally:
            self._leave(key, flight)
        return flight.outcome(), shared

    def commit(self, key: K) -> None:
        """Have a flight finish even if all its waiters leave; for work that is not worth interrupting any more."""
        if key in self._flights:
            self._flights[key].committed = True

    def _launch(self, key: K, factory: Callable[[], Awaitable[T]]) -> _Flight[T]:
        flight = _Flight[T]()
        self._flights[key] = flight
        self.launched += 1
        task = asyncio.create_task(self._fly(key, flight, factory))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _fly(self, key: K, flight: _Flight[T], factory: Callable[[], Awaitable[T]]) -> None:
        try:
            with flight.scope:
                if not flight.scope.cancel_called:
                    flight.results.append(await factory())
        except Exception as error:  # noqa: BLE001  it belongs to the waiters, who raise it
            flight.fail(error)
            if not flight.waiters:
                _LOGGER.warning("work that nobody waited for any more failed: %r", error)
        except BaseException as error:
            flight.fail(error)
            raise
        finally:
            self._forget(key, flight)
            flight.landed.set()

    def _leave(self, key: K, flight: _Flight[T]) -> None:
        flight.waiters -= 1
        if not (flight.waiters or flight.committed or flight.landed.is_set()):
            self._forget(key, flight)
            flight.scope.cancel()

    def _forget(self, key: K, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
