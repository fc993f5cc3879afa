"""Reading files without ever waiting, for the event loop, and the answer of a look-up that would have to wait.

Nothing here decides what an answer is good for; whoever gets `UNKNOWN` asks again in a thread.
"""

import errno
import os
import stat
from enum import Enum
from pathlib import Path
from typing import Final

LARGEST = 256 * 1024
"""Bytes of a file that is read at once: some 60 microseconds with its checksum; more is worth a thread."""

_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
"""Linux fails such a read where the pages of the file are not in memory; other systems have no such thing."""

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}

_FAMILIAR = 65_536
"""Names remembered, at 100 bytes each."""

OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""NONBLOCK: opening a FIFO must not hang. NOFOLLOW: a link would lead out of the cache folder."""


class Unknown(Enum):
    """What a look-up answers that would have to wait, or that met something odd: neither there nor not there."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


class PromptFiles:
    """Reads small files whose bytes are in memory already; for one thread."""

    def __init__(self, root: Path) -> None:
        """Take the folder that paths are relative to."""
        self._root = str(root)
        self._supported = _NOWAIT != 0
        # One byte more tells a file of the largest size from a larger one.
        self._scratch = memoryview(bytearray(LARGEST + 1))
        self._buffers = [self._scratch]

    def read(self, path: str) -> bytes | Unknown | None:
        """Read a file; None where there is none. Fewer bytes than it has mean that the others are not in memory."""
        if not self._supported:
            return UNKNOWN
        try:
            descriptor = os.open(f"{self._root}/{path}", OPEN_FLAGS)
        except FileNotFoundError:
            return None
        except OSError:
            return UNKNOWN
        try:
            size = os.preadv(descriptor, self._buffers, 0, _NOWAIT)
        except OSError as error:
            if error.errno in _UNSUPPORTED and stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._supported = False
            return UNKNOWN
        finally:
            os.close(descriptor)
        return UNKNOWN if size > LARGEST else bytes(self._scratch[:size])


class Familiar:
    """Remembers the names that threads have looked up lately; safe to use from several threads.

    A read that must not wait is of no use if opening the file waits for its directory, or finding its row for a page of
    the ledger. Both are in memory where somebody has looked before.
    """

    def __init__(self, most: int = _FAMILIAR) -> None:
        """Take how many names are remembered at most."""
        self._half = most // 2
        self._young = set[int]()
        self._old = set[int]()

    def add(self, path: str) -> None:
        """Remember a name, forgetting some that are older than the newest half."""
        if len(self._young) >= self._half:
            self._young, self._old = set(), self._young
        self._young.add(hash(path))

    def __contains__(self, path: str) -> bool:
        """Tell whether a name is remembered; one that is wanted stays."""
        number = hash(path)
        if number in self._young:
            return True
        known = number in self._old
        if known:
            self.add(path)
        return known
