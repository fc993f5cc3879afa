"""Single flight: concurrent callers with the same key share one call. Results are not stored."""

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
    """One call and its waiters."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.landed = asyncio.Event()
        self.waiters = 0
        self.committed = False
        self.results: list[T] = []
        """One result, or none if the call failed."""
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._traceback = error.__traceback__

    def outcome(self) -> T:
        if self._error is not None:
            # Every raise adds frames to the traceback of the exception, which would grow with each of 500 waiters. So
            # each starts from the factory's.
            raise self._error.with_traceback(self._traceback)
        return self.results[0]


class SingleFlight(Generic[K, T]):
    """Runs one call a key at a time and returns its outcome to every caller that came meanwhile.

    Why no caller waits for ever or is cancelled by another, and no key remains:

    1. All steps between two awaits are atomic, since there is one event loop.
    2. A flight is in the table from its launch until it lands or its last waiter leaves, whichever is first. So
       nobody joins a flight that is being cancelled: a newcomer launches the next one.
    3. Waiters wait for an event, each on a future of its own. Cancelling a waiter, by anyio or by `Task.cancel`,
       touches neither the work nor the other waiters.
    4. A committed call is finished without waiters too, and can be joined until it lands.
    5. The work runs in a task of its own. It is cancelled through its scope only, so a shielded part of the factory
       finishes first.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()

    def is_flying(self, key: K) -> bool:
        """Return whether there is a flight that can be joined."""
        return key in self._flights

    async def do(self, key: K, factory: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the outcome of the factory, and whether it was another caller's."""
        flight = self._flights.get(key)
        shared = flight is not None
        if flight is None:
            flight = self._launch(key, factory)
        flight.waiters += 1
        try:
            await flight.landed.wait()
        finally:
            self._leave(key, flight)
        return flight.outcome(), shared

    def commit(self, key: K) -> None:
        """Let a flight finish even if all its waiters leave, once it is not worth interrupting."""
        if key in self._flights:
            self._flights[key].committed = True

    def _launch(self, key: K, factory: Callable[[], Awaitable[T]]) -> _Flight[T]:
        flight = _Flight[T]()
        self._flights[key] = flight
        task = asyncio.create_task(self._fly(key, flight, factory))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _fly(self, key: K, flight: _Flight[T], factory: Callable[[], Awaitable[T]]) -> None:
        try:
            with flight.scope:
                if not flight.scope.cancel_called:
                    flight.results.append(await factory())
        except Exception as error:  # noqa: BLE001  the waiters raise it
            flight.fail(error)
            if not flight.waiters:
                _LOGGER.warning("a call without waiters failed: %r", error)
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
