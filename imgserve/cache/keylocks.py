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

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[bool]:
        """Wait while another process holds the key, and tell whether one did.

        Where locks fail, or it takes too long, the work goes on without.
        """
        descriptor = self._open(key)
        if descriptor is None:
            yield False
            return
        try:
            yield await self._acquire(descriptor)
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

    async def _acquire(self, descriptor: int) -> bool:
        deadline = time.monotonic() + self._patience
        waited = False
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _HELD:
                    return waited
            else:
                return waited
            waited = True
            await anyio.sleep(_LOOK_EVERY)
        return waited
