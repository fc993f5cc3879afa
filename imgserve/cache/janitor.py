"""Which of the processes that share a cache folder evicts and scans. Nothing else is decided here."""

import fcntl
import os
from pathlib import Path


class Janitor:
    """Holds an advisory lock that the kernel gives to another process as soon as this one dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock file; it is made when first asked for."""
        self._path = path
        self._descriptor: int | None = None

    def is_me(self) -> bool:
        """Tell whether this process is the janitor, becoming it if there is none."""
        if self._descriptor is not None and self._is_current(self._descriptor):
            return True
        self.resign()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def resign(self) -> None:
        """Let another process be the janitor."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Tell whether the locked file is still the one that others would lock: the folder may have been wiped."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False
