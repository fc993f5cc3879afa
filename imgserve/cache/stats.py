"""The figures of a cache tier: usage, counters and disk errors."""

import errno
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from imgserve.model import Doc


@dataclass(frozen=True, slots=True)
class TierStats:
    """Figures of a tier; hits, misses, evictions and errors count since this process started."""

    entries: Annotated[int, Doc("Stored pictures.")] = 0
    bytes: Annotated[int, Doc("Their size.")] = 0
    limit_bytes: Annotated[int, Doc("The budget; 0 if the tier is off.")] = 0
    hits: Annotated[int, Doc("Lookups with a result, since this server process started.")] = 0
    misses: Annotated[int, Doc("Lookups without a result.")] = 0
    evictions: Annotated[int, Doc("Pictures evicted for space.")] = 0
    errors: int = 0
    mine: bool = True
    """Whether this process reports the tier: of those that share a tier on disk, the leader."""
    degraded: Annotated[bool, Doc("Whether the tier fails at the moment; pictures are served without it.")] = False


class Tally:
    """Counts hits, misses and evictions; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def looked_up(self, *, found: bool) -> None:
        """Count one look-up as a hit or a miss."""
        with self._lock:
            if found:
                self.hits += 1
            else:
                self.misses += 1

    def evicted(self, number: int) -> None:
        """Count files that were removed for space."""
        with self._lock:
            self.evictions += number


_LOGGER = logging.getLogger("imgserve.cache")
_QUIET_SECONDS = 60.0
"""A nearly full disk fails and recovers many times a second; one line a minute and kind is enough."""


class Faults:
    """Counts errors of disk and ledger, and logs one line a kind."""

    def __init__(self, tier: str = "disk cache", quiet_seconds: float = _QUIET_SECONDS) -> None:
        """Use this name of the tier in the log; a kind that recovered is not logged again for so long."""
        self._tier = tier
        self._quiet = quiet_seconds
        self._lock = threading.Lock()
        self._failing: set[tuple[str, str]] = set()
        """Action and kind of error."""
        self._logged: set[str] = set()
        self._logged_at: dict[str, float] = {}
        self.count = 0

    @property
    def failing(self) -> bool:
        """Whether an action failed and has not succeeded since."""
        return bool(self._failing)

    @contextmanager
    def guard(self, action: str) -> Iterator[None]:
        """End the block at an error of disk or ledger, which is recorded."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            self.record(action, error)
            return
        if not self._failing:
            return
        with self._lock:
            self._failing = {item for item in self._failing if item[0] != action}
            over = self._logged - {kind for _, kind in self._failing}
            self._logged -= over
        for kind in sorted(over):
            _LOGGER.info("%s: %s is over, %s works again", self._tier, kind, action)

    def record(self, action: str, error: OSError | sqlite3.Error) -> None:
        """Count an error, and log it unless its kind is failing already."""
        kind = _kind(error)
        with self._lock:
            self.count += 1
            self._failing.add((action, kind))
            logged_at = self._logged_at.get(kind, -math.inf)
            if kind in self._logged or time.monotonic() - logged_at < self._quiet:
                return
            self._logged.add(kind)
            self._logged_at[kind] = time.monotonic()
        _LOGGER.warning(
            "%s: %s fails with %s: %s; pictures are served without it meanwhile",
            self._tier,
            action,
            kind,
            _reason(error),
        )


def _reason(error: OSError | sqlite3.Error) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename is None else f"{error.strerror} ({os.fsdecode(error.filename)})"


def _kind(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    # Errors that Python's own module raises (a closed connection) carry no SQLite code.
    return getattr(error, "sqlite_errorname", type(error).__name__)
