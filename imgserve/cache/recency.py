"""When renditions were last used, until it is worth a transaction. Memory only; the ledger keeps it for good."""

import threading
import time

_BATCH = 512
"""Uses after which it is worth writing them down."""

_SECONDS = 5.0
"""Time after which they are written down at the latest; what a crash loses is this much recency."""


class Recency:
    """Collects uses; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._taken_at = time.monotonic()
        self._last = 0

    @property
    def due(self) -> bool:
        """Whether the uses should be written down now."""
        full = len(self._used) >= _BATCH
        return full or (bool(self._used) and time.monotonic() - self._taken_at >= _SECONDS)

    def now(self) -> int:
        """Tell the time in nanoseconds, later than ever before in this process even if the clock is set back."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last

    def touch(self, path: str) -> None:
        """Note that a file is used now."""
        at = self.now()
        with self._lock:
            self._used[path] = at

    def take(self) -> dict[str, int]:
        """Hand over all uses noted and begin anew."""
        with self._lock:
            used, self._used = self._used, {}
            self._taken_at = time.monotonic()
        return used
