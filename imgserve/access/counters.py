"""Counters of rates in a table of fixed size: in memory, or in a file that several server processes share.

A counter is found by the hash of its name, in a bucket of eight. A full bucket reuses counters whose periods are over,
then the lowest one, so that many clients never displace a busy one. A process reads and writes a bucket under the lock
of the file. Nothing else is cached: the file may be deleted, damaged or replaced at any time, and is created again.
"""

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from imgserve.access.rates import Rate

_SLOT = struct.Struct("<12sQIII")
"""Hash, number of the current period since 1970, its seconds, events in the previous and the current period."""
_Slot = tuple[bytes, int, int, int, int]
_SLOTS = 8
_BUCKET = _SLOT.size * _SLOTS
_BUCKETS = 16_384
_HEADER = b"imgserve rate limits 1\n".ljust(_BUCKET, b"\0")
_SIZE = len(_HEADER) + _BUCKET * _BUCKETS
_LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB
_PATIENCE = 2.0
_LOCK_PAUSE = 0.0005


class Counters(Protocol):
    """Where events are counted."""

    errors: tuple[type[Exception], ...]
    """What `spend` raises when it cannot count in time."""

    async def spend(self, name: bytes, rate: Rate, cost: int) -> float | None:
        """Count events and return None; if they exceed the rate, return the seconds until they fit.

        A cost of 0 asks whether one more event would fit, and counts nothing.
        `name` is a hash of 16 bytes.
        """

    async def close(self) -> None:
        """Release files and connections."""


class CounterTable:
    """At most 131,072 counters in 4 MB."""

    errors: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        """Count in this file, or in memory."""
        self._path = path
        self._clock = clock
        self._file: int | None = None

    def __str__(self) -> str:
        return f"the file {self._path}" if self._path else "memory"

    async def spend(self, name: bytes, rate: Rate, cost: int) -> float | None:
        """Count events, or return the seconds until they fit."""
        file = await self._locked()
        try:
            offset = len(_HEADER) + int.from_bytes(name[12:16]) % _BUCKETS * _BUCKET
            now = self._clock()
            slots: list[_Slot] = list(_SLOT.iter_unpack(os.pread(file, _BUCKET, offset)))
            place = _place(slots, name[:12], now)
            period = int(now // rate.seconds)
            previous, current = _counted(slots[place], name[:12], period)
            wait = rate.wait(previous, current, (period + 1) * rate.seconds - now, cost or 1)
            if wait is None:
                slot = _SLOT.pack(name[:12], period, rate.seconds, previous, current + cost)
                os.pwrite(file, slot, offset + place * _SLOT.size)
            return wait
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def _locked(self) -> int:
        """Return the file, locked and of the right size.

        Raises TimeoutError if another process has the lock for so long that it cannot be running.
        """
        given_up = time.monotonic() + _PATIENCE
        while time.monotonic() < given_up:
            try:
                if self._file is None:
                    self._file = self._open()
                file = self._file
                fcntl.flock(file, _LOCK)
            except BlockingIOError:
                await asyncio.sleep(_LOCK_PAUSE)
                continue
            state = os.fstat(file)
            if self._path is None or (state.st_nlink and state.st_size == _SIZE):
                return file
            await self.close()  # deleted or truncated
        raise TimeoutError

    def _open(self) -> int:
        if self._path is None:
            file = os.memfd_create("rates")
            os.truncate(file, _SIZE)
            return file
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, _LOCK)
            if os.fstat(file).st_size != _SIZE or os.pread(file, len(_HEADER), 0) != _HEADER:
                os.truncate(file, 0)
                os.posix_fallocate(file, 0, _SIZE)  # a full disk is an error here, and not in each write
                os.pwrite(file, _HEADER, 0)
        except BaseException:
            os.close(file)
            raise
        fcntl.flock(file, fcntl.LOCK_UN)
        return file


def _place(slots: list[_Slot], key: bytes, now: float) -> int:
    """Return the index of a counter's slot, else of the slot to reuse for it."""
    for index, slot in enumerate(slots):
        if slot[0] == key:
            return index
    return min(range(_SLOTS), key=lambda index: _events(slots[index], now))


def _events(slot: _Slot, now: float) -> int:
    """Return how much a slot counts; -1 if its periods are over, or it contains anything else."""
    _, period, seconds, previous, current = slot
    return previous + current if seconds and 0 <= now // seconds - period <= 1 else -1


def _counted(slot: _Slot, key: bytes, period: int) -> tuple[int, int]:
    """Return the events in the previous and the current period."""
    found, counted, _, previous, current = slot
    if found != key or not 0 <= period - counted <= 1:
        return 0, 0
    return (previous, current) if counted == period else (current, 0)
