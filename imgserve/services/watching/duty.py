"""Which of the processes that share a folder of originals does what one is to do: one, and another when it has died."""

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path

import anyio
from anyio import to_thread

from imgserve.cache import Janitor

_logger = logging.getLogger(__name__)

_EVERY = 1.0


class Duty:
    """Has work done in one process at a time, by a lock that the kernel takes from a process that dies."""

    def __init__(self, lock: Path, every: float = _EVERY) -> None:
        """Take the lock file, which is made, and its folder too, but none above it; and how often it is asked for."""
        self._lock = Janitor(lock)
        self._path = lock
        self._every = every
        self._failing = False
        self.mine = False
        """Whether this process is the one now."""

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do the work whenever it is this process's turn, until cancelled."""
        try:
            while True:
                if await self._is_mine():
                    await self._on_duty(work)
                await anyio.sleep(self._every)
        finally:
            self.mine = False
            self._lock.resign()

    async def _on_duty(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while await self._is_mine():  # noqa: ASYNC110  the kernel tells nobody of a lock that was lost
                await anyio.sleep(self._every)
            group.cancel_scope.cancel()

    async def _is_mine(self) -> bool:
        try:
            self.mine = await to_thread.run_sync(self._ask)
        except OSError as error:
            # Whoever cannot lock does not work: two that record the same would only be slow, but for ever.
            if not self._failing:
                _logger.warning(
                    "cannot lock %s, so this process does not do what one of all does: %s", self._path, error
                )
            self.mine, self._failing = False, True
        else:
            self._failing = False
        return self.mine

    def _ask(self) -> bool:
        # The lock may lie in the folder of originals, which is not made: it is a disk that is not mounted now. Whoever
        # holds the lock keeps it, since nobody else can take it meanwhile.
        if not self._path.parent.parent.is_dir() and self.mine:
            return True
        self._path.parent.mkdir(exist_ok=True)
        return self._lock.is_me()
