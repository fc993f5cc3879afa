"""Locks over server processes, so that two of them do not render the same thing. What is rendered is not known here."""

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
