"""Locks between server processes: one per rendition key, and the leader that maintains the cache."""

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

_STRIPES = 1024
"""Two different pictures that fall on one lock file wait for each other; with a few renderings at a time, rarely."""
_LOOK_EVERY = 0.01
_HELD = {errno.EAGAIN, errno.EACCES}


class KeyLocks:
    """Advisory locks in a folder, let go by the kernel when a process dies."""

    def __init__(self, folder: Path | None, patience: float) -> None:
        """Take the folder, or None where one process is alone; and seconds after which waiting is given up."""
        self._folder = folder
        self._patience = patience

    @property
    def shared(self) -> bool:
        """Whether other processes may hold locks too."""
        return self._folder is not None

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait while another process holds the key; where locks fail, or it takes too long, go on without."""
        descriptor = self._open(key)
        if descriptor is None:
            yield
            return
        try:
            await self._acquire(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _open(self, key: str) -> int | None:
        if self._folder is None:
            return None
        stripe = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=4).digest(), "big")
        path = self._folder / f"{stripe % _STRIPES:03x}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            # A full or read-only disk: rendering a picture twice beats not rendering it.
            return None

    async def _acquire(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _HELD:
                    return
                await anyio.sleep(_LOOK_EVERY)
            else:
                return


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
