"""Files of one tier and their exact ledger, kept within a budget."""

import errno
import itertools
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imgserve.cache.files import RenditionFiles
from imgserve.cache.key import image_folder
from imgserve.cache.ledger import Entry, Ledger, Recency, Rows, Totals
from imgserve.cache.locks import LeaderLock
from imgserve.cache.recovery import Reconciling, scan
from imgserve.cache.stats import Faults, Tally, TierStats

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
        self.leader = LeaderLock(lock)
        self._steps: Iterator[int] | None = None
        self._scanned_opening = -1
        self._next_scan = 0.0
        self._next_sweep = 0.0

    def run(self, tier: _Tier, ledger: _Ledger) -> None:
        """Sweep, scan a little and evict, if this process is the janitor."""
        if not self.leader.acquire():
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
        self.leader.release()

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


EVICTION_BATCH = 50
"""Files removed in one transaction: a few milliseconds for which writers wait, readers never."""
_FLUSH_BATCH = 500
"""Uses written down in one transaction, for the same reason: the event loop may have noted thousands in a second."""
_DISCARD_BATCH = 200
"""Paths looked up in one transaction, most of which are usually not there."""
_INLINE_BATCHES = 20
"""So that a writer is held up for a tenth of a second at most, even after the budget was made much smaller."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a tier may keep; nothing where bytes or entries are 0."""

    size: int
    """Bytes."""
    entries: int = 1_000_000
    per_image: int = 1000
    overshoot: float = 1.0
    """How far above the budget writers may get before they evict themselves instead of leaving it to the upkeep."""

    def passed_by(self, totals: Totals, tolerance: float = 1.0) -> bool:
        """Tell whether something has to go."""
        return totals.entries > self.entries * tolerance or totals.size > self.size * tolerance


class BoundedFolder:
    """A folder of files that several processes may share, least recently used out first.

    Why files and ledger agree whatever runs at the same time:

    1. Files appear and disappear only inside a ledger transaction, which is a lock over threads and processes: a put
       and a purge of the same image come one after the other, each with its file and its row.
    2. Readers take no lock. A reader that sees a file and a row of different moments settles it under the lock.
    3. A process killed inside a transaction leaves the row as it was and the file perhaps not. A file without a row
       is an inherited one, a row without a file or with another checksum is dropped when it is read or scanned.
    """

    def __init__(
        self,
        files: RenditionFiles,
        ledger: Ledger,
        reconciler: Reconciling,
        *,
        bounds: Bounds,
        janitor: Path,
        faults: Faults,
    ) -> None:
        """Take what the tier is made of; with bounds of 0 the disk is never touched."""
        self.bounds = bounds
        self.off = not (bounds.size and bounds.entries)
        self.recency = Recency()
        self.tally = Tally()
        self.faults = faults
        self._files = files
        self._ledger = ledger
        self._reconciler = reconciler
        self._totals = Totals(0, 0)
        self._losses = 0
        self._upkeep = Upkeep(janitor)

    def keep(self, entry: Entry, temporary: Path) -> None:
        """Publish a written file and enter it; if that fails neither stays, and the error is raised."""
        published = False
        try:
            with self._ledger.changing() as rows:
                self._files.publish(temporary, entry.path)
                published = True
                rows.put(entry)
                evicted = self._evict_beyond(rows, entry.path.rpartition("/")[0])
                totals = rows.totals()
        except BaseException:
            # On a full disk the file may find room and its row not: nothing may stay that is not counted.
            self._files.withdraw(temporary, entry.path if published else None)
            raise
        self._totals = totals
        self.tally.evicted(evicted)

    def make_room(self) -> None:
        """Evict what a writer should not leave to the upkeep."""
        for _ in range(_INLINE_BATCHES):
            if not (self.bounds.passed_by(self._totals, self.bounds.overshoot) and self.evict_some()):
                break

    def looked_up(self, *, found: bool) -> None:
        """Count a look-up, and write down the recency if it is time."""
        self.tally.looked_up(found=found)
        if self.recency.due:
            with self.faults.guard("noting use"):
                self.flush()

    def discard(self, path: str) -> None:
        """Remove one file."""
        if self.off:
            return
        with self.faults.guard("purging"), self._ledger.changing() as rows:
            self._files.remove(path)
            rows.drop(path)

    def discard_many(self, paths: Sequence[str]) -> int:
        """Remove files, a batch in one transaction; tell how many the ledger knew."""
        removed = 0
        if self.off:
            return removed
        for start in range(0, len(paths), _DISCARD_BATCH):
            with self.faults.guard("purging"), self._ledger.changing() as rows:
                for path in paths[start : start + _DISCARD_BATCH]:
                    known = rows.find(path) is not None
                    if known or self._files.exists(path):
                        self._files.remove(path)
                        rows.drop(path)
                    removed += known
        return removed

    def purge(self, image_id: str) -> int:
        """Remove every file of an image; tell how many the ledger knew."""
        return 0 if self.off else self._purge(image_folder(image_id, self._files.top))

    def purge_all(self) -> int:
        """Remove every file; tell how many the ledger knew."""
        return 0 if self.off else self._purge(self._files.top)

    def evict_some(self) -> int:
        """Remove the least recently used, a batch at most, while the budget is passed; tell how many went."""
        evicted = 0
        with self.faults.guard("evicting"):
            self.flush()
            with self._ledger.changing() as rows:
                removed = self._evict(rows)
                totals = rows.totals()
            # Only now is it true; who calls until nothing is removed would never end if it were told before.
            self._totals, evicted = totals, removed
        self.tally.evicted(evicted)
        return evicted

    def evict_to_budget(self) -> None:
        """Evict batch after batch until the budget is kept or nothing more can be removed."""
        with self.faults.guard("evicting"):
            self._totals = self._ledger.totals()
        while not self.off and self.bounds.passed_by(self._totals) and self.evict_some():
            pass

    def sweep(self) -> int:
        """Remove what writers that died have left half-written; tell how many."""
        swept = 0
        if not self.off:
            with self.faults.guard("sweeping"):
                swept = self._files.sweep()
        return swept

    def scan(self) -> Iterator[int]:
        """Compare folder and ledger in small steps, bringing them to agree."""
        return scan(self._files, self._ledger, self._reconciler, self.recency.now)

    def maintain(self) -> None:
        """Do what is due, for a fraction of a second: meant to be called every second, in every process."""
        if self.off:
            return
        with self.faults.guard("upkeep"):
            self._note_loss()
            if self.recency.due:
                self.flush()
            self._totals = self._ledger.totals()
            self._ledger.prepare()
            self._upkeep.run(self, self._ledger)

    def stats(self) -> TierStats:
        """Tell entries and bytes of the shared folder, and what this process did with it."""
        if not self.off:
            with self.faults.guard("counting"):
                self._totals = self._ledger.totals()
        return TierStats(
            entries=self._totals.entries,
            bytes=self._totals.size,
            limit_bytes=self.bounds.size,
            hits=self.tally.hits,
            misses=self.tally.misses,
            evictions=self.tally.evictions,
            errors=self.faults.count,
            mine=self._upkeep.leader.mine,
            degraded=self.faults.failing,
        )

    def flush(self) -> None:
        """Write down when files were used."""
        uses = iter(self.recency.take().items())
        for batch in iter(lambda: dict(itertools.islice(uses, _FLUSH_BATCH)), {}):
            with self._ledger.changing() as rows:
                rows.touch(batch)

    def close(self) -> None:
        """Write down the recency and let go of the folder; the tier is off from here on."""
        if self.off:
            return
        with self.faults.guard("closing"):
            self.flush()
        self.off = True
        self._upkeep.close()
        self._ledger.close()

    def _evict_beyond(self, rows: Rows, folder: str) -> int:
        """Keep one original from taking the place of all others, whatever sizes strangers ask it for."""
        beyond = rows.beyond(folder, self.bounds.per_image)
        for path in beyond:
            self._files.remove(path)
            rows.drop(path)
        return len(beyond)

    def _purge(self, folder: str) -> int:
        number, aside, done = 0, None, False
        with self.faults.guard("purging"):
            with self._ledger.changing() as rows:
                number = rows.drop_all() if folder == self._files.top else rows.drop_folder(folder)
                aside = self._files.set_aside(folder)
            done = True
        if not done and aside is None:
            # A purge may be about privacy: the files go even if the ledger cannot be told.
            with self.faults.guard("purging"):
                aside = self._files.set_aside(folder)
        self._files.empty(aside)
        return number

    def _evict(self, rows: Rows) -> int:
        totals, evicted = rows.totals(), 0
        for entry in rows.oldest(EVICTION_BATCH):
            if not self.bounds.passed_by(totals):
                break
            try:
                self._files.remove(entry.path)
            except OSError as error:
                # Counted as used, so that the next batch is not made of the same undeletable files.
                self.faults.record("evicting", error)
                rows.touch({entry.path: self.recency.now()})
                continue
            rows.drop(entry.path)
            totals, evicted = Totals(totals.entries - 1, totals.size - entry.size), evicted + 1
        return evicted

    def _note_loss(self) -> None:
        losses, self._losses = self._losses, self._ledger.losses
        if losses < self._losses:
            self.faults.record("upkeep", FileNotFoundError(errno.ENOENT, "the ledger vanished and was made anew"))
