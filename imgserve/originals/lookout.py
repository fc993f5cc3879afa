"""One watch of watchfiles over a list of folders, from opening to end. What changes mean is not known here."""

import asyncio
import threading
from collections.abc import Callable, Iterable

from watchfiles import Change, awatch

_STEP_MS = 50
_GATHER_MS = 300
"""Changes are handed on when none has come for a step, at the latest after this."""


class _Stop:
    """Asked by the thread of watchfiles at every step, and so for the first time when all folders are watched."""

    def __init__(self, opened: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        self._told = False
        self._stopped = threading.Event()

    def is_set(self) -> bool:
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._opened.set)
        return self._stopped.is_set()

    def set(self) -> None:
        self._stopped.set()


class Lookout:
    """Watches folders, not what lies in folders below them, from `run` to `end`."""

    def __init__(self, folders: Iterable[str], tell: Callable[[set[tuple[Change, str]]], None]) -> None:
        """Take paths of folders, and what is called with changes and their paths."""
        self.folders = dict.fromkeys(folders)
        self._tell = tell
        self._opened = asyncio.Event()
        self._stop = _Stop(self._opened)
        self.error: Exception | None = None
        """Why it ended by itself, whether it was ever open or not."""

    async def run(self) -> None:
        """Watch until `end` is called or something fails; cancelling alone would wait for a thread that waits too."""
        # Not recursive: that would follow links out of the folder, watch what is hidden (the catalog may lie there),
        # keep silent about folders beyond the limit of the system, and hold up all threads for every file it passes.
        watching = awatch(
            *self.folders,
            recursive=False,
            watch_filter=None,
            step=_STEP_MS,
            debounce=_GATHER_MS,
            rust_timeout=0,
            stop_event=self._stop,
            force_polling=False,
            ignore_permission_denied=False,
        )
        try:
            async for changes in watching:
                self._tell(changes)
        except Exception as error:  # noqa: BLE001  alone or in a group: whoever opened this looks at it
            self.error = error
        finally:
            self._opened.set()

    async def opened(self) -> Exception | None:
        """Wait until every folder is watched, or tell why that cannot be."""
        await self._opened.wait()
        return self.error

    def end(self) -> None:
        """Have it end within a step."""
        self._stop.set()
