"""One lock a name, on the event loop of one process. Names that nobody holds or waits for cost nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Who holds it or waits for it."""


class NameLocks:
    """Lets one at a time change what has a name."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        """Count the names that are held or waited for."""
        return len(self._entries)

    @contextlib.asynccontextmanager
    async def hold(self, *names: str) -> AsyncIterator[None]:
        """Hold names, which are waited for in their order, so that nobody waits in a circle."""
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._hold(name))
            yield

    @contextlib.asynccontextmanager
    async def hold_if_free(self, name: str) -> AsyncIterator[bool]:
        """Hold a name beside others, in any order, if nobody does; tell whether it is held."""
        if name in self._entries:
            yield False
            return
        # Free, so that it is taken without waiting.
        async with self._hold(name):
            yield True

    @contextlib.asynccontextmanager
    async def _hold(self, name: str) -> AsyncIterator[None]:
        entry = self._entries.setdefault(name, _Entry())
        entry.users += 1
        try:
            async with entry.lock:
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[name]
