"""Calls that are made together: many at a time cost the database little more than one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from imgserve.errors import CatalogUnavailable

BACKGROUND = 0.05
"""Seconds that work for which no client waits may wait for others."""
_MOST = 100
T = TypeVar("T")
R = TypeVar("R")


class Batched(Generic[T, R]):
    """A function of one argument whose calls run together, those that come during a run in the next one."""

    def __init__(self, run: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        """`run` returns the results of some arguments in their order; where it fails, each argument runs alone."""
        self._run = run
        self._calls = list[tuple[T, asyncio.Future[R]]]()
        self._due = 0.0
        self._sooner = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, argument: T, *, wait: float = 0.0) -> R:
        """Return the result for an argument; wait so many seconds for others, unless one of those is in a hurry."""
        loop = asyncio.get_running_loop()
        call: asyncio.Future[R] = loop.create_future()
        # A caller that was cancelled does not fetch the error.
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        due = loop.time() + wait
        self._due = min(self._due, due) if self._calls else due
        self._calls.append((argument, call))
        self._sooner.set()
        if self._task is None:
            self._task = loop.create_task(self._work())
        return await call

    async def _work(self) -> None:
        try:
            while self._calls:
                await self._gather()
                calls, self._calls = self._calls[:_MOST], self._calls[_MOST:]
                await self._finish(calls)
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait until the first call is due, or there are enough."""
        while len(self._calls) < _MOST and (left := self._due - asyncio.get_running_loop().time()) > 0:
            self._sooner.clear()
            try:
                await asyncio.wait_for(self._sooner.wait(), left)
            except TimeoutError:
                return

    async def _finish(self, calls: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._run([argument for argument, _ in calls])
        except Exception as error:  # noqa: BLE001  the callers raise it
            if len(calls) > 1 and not isinstance(error, CatalogUnavailable):
                for one in calls:
                    await self._finish([one])
                return
            for _, call in calls:
                if not call.done():
                    call.set_exception(error)
        else:
            for (_, call), result in zip(calls, results, strict=True):
                if not call.done():
                    call.set_result(result)
