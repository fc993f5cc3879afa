"""When the disk tier looks after itself: the schedule of eviction, scan and sweep. What they do stands elsewhere."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from imgserve.cache.janitor import Janitor

_STEP_SECONDS = 0.05
"""Share of a call that a scan may take: five percent of a core where it is called every second."""

_HASTY_STEP_SECONDS = 0.3
"""The same while files are found that the ledger does not know, since a budget that misses them is not kept."""

_REST = 2.0
"""Pause after a step, in times the step: Python threads hardly give way, and requests would wait for each of many."""

_SWEEP_EVERY = 60.0
_SCAN_EVERY = 6 * 3600.0
"""Files that rsync brought and nobody asked for are not counted before a scan finds them."""

_RETRY_SECONDS = 60.0


class _Tier(Protocol):
    def evict_to_budget(self) -> None: ...
    def sweep(self) -> int: ...
    def scan(self) -> Iterator[int]: ...


class _Ledger(Protocol):
    @property
    def openings(self) -> int: ...


class Upkeep:
    """Does in the janitor's process, and in no other, what is due."""

    def __init__(self, lock: Path) -> None:
        """Take the file by which processes agree who the janitor is."""
        self._janitor = Janitor(lock)
        self._steps: Iterator[int] | None = None
        self._scanned_opening = -1
        self._next_scan = 0.0
        self._next_sweep = 0.0
        self.in_charge = False
        """Whether this process was the janitor at the last run."""

    def run(self, tier: _Tier, ledger: _Ledger) -> None:
        """Sweep, scan a little and evict, if this process is the janitor."""
        self.in_charge = self._janitor.is_me()
        if not self.in_charge:
            return
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_EVERY
            tier.sweep()
        try:
            self._scan_some(tier, ledger)
        finally:
            tier.evict_to_budget()

    def close(self) -> None:
        """Let another process be the janitor."""
        self._steps = None
        self._janitor.resign()

    def _scan_some(self, tier: _Tier, ledger: _Ledger) -> None:
        if self._steps is None:
            # A ledger opened again may be an empty one: the old was lost, and the files are all inherited.
            if ledger.openings == self._scanned_opening and time.monotonic() < self._next_scan:
                return
            self._scanned_opening = ledger.openings
            self._next_scan = time.monotonic() + _SCAN_EVERY
            self._steps = tier.scan()
        started, worked = time.monotonic(), 0.0
        steps, self._steps = self._steps, None
        try:
            for unknown in steps:
                took = time.monotonic() - started
                worked += took
                if worked >= (_HASTY_STEP_SECONDS if unknown else _STEP_SECONDS):
                    self._steps = steps
                    return
                time.sleep(took * _REST)
                started = time.monotonic()
        except (OSError, sqlite3.Error):
            self._next_scan = time.monotonic() + _RETRY_SECONDS
            raise
