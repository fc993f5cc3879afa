"""A folder of files within a budget, whose exact ledger several processes share."""

import errno
import itertools
import math
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgserve.cache.files import Found, RenditionFiles
from imgserve.cache.key import RenditionKey, image_folder
from imgserve.cache.ledger import Entry, Ledger, Order, Recency, Rows, Totals
from imgserve.cache.locks import LeaderLock
from imgserve.cache.stats import Faults, Tally, TierStats

EVICTION_BATCH = 50
"""Files removed in one transaction: writers wait a few milliseconds for it, readers never."""
_FLUSH_BATCH = 500
"""Uses written in one transaction, for the same reason: the event loop may have noted thousands in a second."""
_DISCARD_BATCH = 200
"""Paths looked up in one transaction, most of which usually do not exist."""
_SCAN_BATCH = 16
"""Images in one step of a scan: their new rows are written in one transaction of some milliseconds."""
_INLINE_BATCHES = 20
"""Delays a writer by at most a tenth of a second, even after the budget was made much smaller."""
_STEP_SECONDS = 0.05
"""Share of a call that a scan may take: five percent of a core if it is called every second."""
_HASTY_STEP_SECONDS = 0.3
"""The same while files are found that have no row, since they are missing from the budget."""
_EVICTION_SECONDS = 1.0
"""Longest time of a call: after the budget was lowered by millions of files, the server still stops soon."""
_REST = 2.0
"""Pause after a step, in times the step: Python threads hardly yield, and requests would wait for each of many."""
_SWEEP_EVERY = 60.0
_SCAN_EVERY = 6 * 3600.0
"""Files that rsync brought and nobody requested are not counted before a scan finds them."""
_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a tier may store; nothing if bytes or entries are 0."""

    size: int
    """Bytes."""
    entries: int = 1_000_000
    per_image: int = 1000
    overshoot: float = 1.0
    """Factor up to which writers may exceed the budget before they evict instead of leaving it to the upkeep."""

    def exceeded_by(self, totals: Totals, tolerance: float = 1.0) -> bool:
        """Return whether something must be evicted."""
        return totals.entries > self.entries * tolerance or totals.size > self.size * tolerance


class BoundedFolder(ABC):
    """A folder of files that several processes may share, which evicts the least recently used.

    Why files and ledger agree whatever runs at the same time:

    1. Files appear and disappear only inside a ledger transaction, which is a lock over threads and processes: a put
       and a purge of the same image come one after the other, each with its file and its row.
    2. Readers take no lock. A reader that sees a file and a row of different moments looks again under the lock.
    3. A process killed inside a transaction leaves the row as it was and the file perhaps not. A file without a row
       is verified or removed, a row without a file or with another checksum is deleted when it is read or scanned.

    Methods are synchronous and meant for a thread. No error of disk or ledger leaves them.
    """

    def __init__(self, files: RenditionFiles, ledger: Ledger, lock: Path, bounds: Bounds, faults: Faults) -> None:
        """Use files and their ledger, and a lock file for the upkeep; with bounds of 0 the disk is never touched."""
        self.off = not (bounds.size and bounds.entries)
        """Whether this tier stores nothing, by its budget or because it is closed."""
        self._bounds = bounds
        self._files = files
        self._ledger = ledger
        self._leader = LeaderLock(lock)
        self._next_sweep = self._next_scan = 0.0
        self._scanned_opening = -1
        self._steps: Iterator[int] | None = None
        """The rest of a scan."""
        self._faults = faults
        self._recency = Recency()
        self._tally = Tally()
        self._totals = Totals(0, 0)
        self._losses = 0

    @abstractmethod
    def adopt_found(self, found: Sequence[Found]) -> None:
        """Write rows for files that have none, or remove the files."""

    @abstractmethod
    def settle(self, path: str) -> object:
        """Make one file and its row agree, in a transaction."""

    def touch(self, path: str) -> None:
        """Record that a file is used now."""
        self._recency.touch(path)

    def discard(self, *keys: RenditionKey) -> int:
        """Remove single files; return how many had a row."""
        return self.discard_paths([key.path_in(self._files.top) for key in keys])

    def discard_paths(self, paths: Sequence[str]) -> int:
        """Remove files by their paths; return how many had a row."""
        removed = 0
        if self.off:
            return removed
        for start in range(0, len(paths), _DISCARD_BATCH):
            with self._faults.guard("purging"), self._ledger.changing() as rows:
                for path in paths[start : start + _DISCARD_BATCH]:
                    known = rows.find(path) is not None
                    if known or self._files.find(path):
                        self._remove(rows, path)
                    removed += known
        return removed

    def purge(self, image_id: str | None) -> int:
        """Remove every file of an image, or all files with None; return how many had a row."""
        number, aside, done = 0, None, False
        if self.off:
            return number
        folder = self._files.top if image_id is None else image_folder(image_id, self._files.top)
        with self._faults.guard("purging"):
            with self._ledger.changing() as rows:
                number = rows.drop_all() if image_id is None else rows.drop_folder(folder)
                aside = self._files.set_aside(folder)
            done = True
        if not done and aside is None:
            # A purge may be about privacy: the files are removed even if the ledger fails.
            with self._faults.guard("purging"):
                aside = self._files.set_aside(folder)
        self._files.empty(aside)
        return number

    def evict_some(self) -> int:
        """Remove a batch of the least recently used while the budget is exceeded; return how many were removed."""
        evicted = 0
        with self._faults.guard("evicting"):
            self.flush()
            with self._ledger.changing() as rows:
                totals, removed = rows.totals(), 0
                for entry in rows.oldest(EVICTION_BATCH):
                    if not self._bounds.exceeded_by(totals):
                        break
                    try:
                        self._files.remove(entry.path)
                    except OSError as error:
                        # Counted as used, so that the next batch does not consist of the same undeletable files.
                        self._faults.record("evicting", error)
                        rows.touch({entry.path: self._recency.now()})
                        continue
                    rows.drop(entry.path)
                    totals, removed = Totals(totals.entries - 1, totals.size - entry.size), removed + 1
            # Only after the commit: callers that repeat this until it returns 0 would otherwise never end.
            self._totals, evicted = totals, removed
        self._tally.evicted(evicted)
        return evicted

    def evict_to_budget(self, seconds: float = math.inf) -> None:
        """Evict batch after batch until the budget is met, nothing more can be removed, or the time is over."""
        end = time.monotonic() + seconds
        with self._faults.guard("evicting"):
            self._totals = self._ledger.totals()
        while not self.off and self._bounds.exceeded_by(self._totals) and self.evict_some():
            if time.monotonic() >= end:
                return

    def sweep(self) -> int:
        """Remove temporary files of writers that died; return how many."""
        swept = 0
        if not self.off:
            with self._faults.guard("sweeping"):
                swept = self._files.sweep()
        return swept

    def scan(self) -> Iterator[int]:
        """Compare the folder with the ledger, in steps that yield the numbers of files without a row."""
        folders = self._files.folders()
        while some := list(itertools.islice(folders, _SCAN_BATCH)):
            yield self._scan_folders(some)
        known = self._ledger.next_folder("")
        while known is not None:
            if not self._files.find(known):
                with self._ledger.changing() as rows:
                    if not self._files.find(known):
                        rows.drop_folder(known)
            yield 0
            known = self._ledger.next_folder(known)

    def sorted_by(self, order: Order, most: int, image_ids: Sequence[str] = ()) -> list[Entry]:
        """Return the first entries in an order, of some images or all."""
        return self._ledger.sorted_by(order, most, [image_folder(one, self._files.top) for one in image_ids])

    def verify(self, *, repair: bool) -> Iterator[tuple[Entry, bool]]:
        """Yield each entry, and whether its file is what was written; with `repair`, those that are not are removed.

        Safe next to servers: a file that was replaced or evicted meanwhile is looked at again in a transaction.
        """
        folder = self._ledger.next_folder("")
        while folder is not None:
            for entry in self._ledger.sorted_by("original", folders=[folder]):
                sound = self.is_sound(entry) or self.is_sound(self._ledger.find(entry.path))
                if not sound and repair:
                    self.settle(entry.path)
                yield entry, sound
            folder = self._ledger.next_folder(folder)

    @abstractmethod
    def is_sound(self, entry: Entry | None) -> bool:
        """Return whether a file is what its row says, or has no row any more."""

    def maintain(self) -> None:
        """Do what is due, for a fraction of a second: meant to be called every second, in every process."""
        if self.off:
            return
        with self._faults.guard("upkeep"):
            losses, self._losses = self._losses, self._ledger.losses
            if losses < self._losses:
                self._faults.record("upkeep", FileNotFoundError(errno.ENOENT, "the ledger vanished and was made anew"))
            if self._recency.due:
                self.flush()
            self._totals = self._ledger.totals()
            self._recency.follow(self._ledger.last_use())
            self._ledger.prepare()
            if self._leader.acquire():
                if time.monotonic() >= self._next_sweep:
                    self._next_sweep = time.monotonic() + _SWEEP_EVERY
                    self.sweep()
                try:
                    self._scan_some()
                finally:
                    self.evict_to_budget(_EVICTION_SECONDS)

    def stats(self) -> TierStats:
        """Return entries and bytes of the shared folder, and the counters of this process."""
        if not self.off:
            with self._faults.guard("counting"):
                self._totals = self._ledger.totals()
        return TierStats(
            entries=self._totals.entries,
            bytes=self._totals.size,
            limit_bytes=self._bounds.size,
            hits=self._tally.hits,
            misses=self._tally.misses,
            evictions=self._tally.evictions,
            errors=self._faults.count,
            mine=self._leader.mine,
            degraded=self._faults.failing,
        )

    def flush(self) -> None:
        """Write to the ledger when files were used."""
        uses = iter(self._recency.take().items())
        for batch in iter(lambda: dict(itertools.islice(uses, _FLUSH_BATCH)), {}):
            with self._ledger.changing() as rows:
                rows.touch(batch)

    def close(self) -> None:
        """Flush and close the ledger; the tier is off afterwards."""
        if self.off:
            return
        with self._faults.guard("closing"):
            self.flush()
        self.off = True
        self._steps = None
        self._leader.release()
        self._ledger.close()

    def _publish(self, entry: Entry, temporary: Path, *, instead_of: int | None = None, saved: int = 0) -> bool:
        """Publish a written file and its row; if that fails neither remains, and the error is raised.

        With the checksum of another file, it is only published instead of that, with the bytes that it saves; otherwise
        it is removed. Return whether it was published.
        """
        published = False
        try:
            with self._ledger.changing() as rows:
                known = None if instead_of is None else rows.find(entry.path)
                if instead_of is not None and (known is None or known.crc32 != instead_of):
                    temporary.unlink()
                    return False
                self._files.publish(temporary, entry.path)
                published = True
                rows.put(entry)
                if instead_of is not None and entry.crc32 is not None:
                    rows.set_saved(entry.path, entry.crc32, saved)
                # No image may displace all others, whatever sizes strangers request of it.
                beyond = rows.beyond(entry.path.rpartition("/")[0], self._bounds.per_image)
                for path in beyond:
                    self._remove(rows, path)
                totals = rows.totals()
        except BaseException:
            # On a full disk the file may fit and its row not: nothing may remain that is not counted.
            temporary.unlink(missing_ok=True)
            if published:
                self._files.remove(entry.path)
            raise
        self._totals = totals
        self._tally.evicted(len(beyond))
        return True

    def _make_room(self) -> None:
        """Evict what a writer should not leave to the upkeep."""
        for _ in range(_INLINE_BATCHES):
            if not (self._bounds.exceeded_by(self._totals, self._bounds.overshoot) and self.evict_some()):
                break

    def _looked_up(self, *, found: bool) -> None:
        """Count a look-up, and flush if it is time."""
        self._tally.looked_up(found=found)
        if self._recency.due:
            with self._faults.guard("noting use"):
                self.flush()

    def _remove(self, rows: Rows, path: str) -> None:
        self._files.remove(path)
        rows.drop(path)

    def _scan_some(self) -> None:
        """Continue a scan for a moment, or start the one that is due."""
        if self._steps is None:
            # A ledger that was opened again may be a new one, in which no file has a row.
            if self._ledger.openings == self._scanned_opening and time.monotonic() < self._next_scan:
                return
            self._scanned_opening, self._next_scan = self._ledger.openings, time.monotonic() + _SCAN_EVERY
            self._steps = self.scan()
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

    def _scan_folders(self, folders: Iterable[str]) -> int:
        unknown: list[Found] = []
        for folder in folders:
            found = self._files.list_folder(folder)
            # Rows after files: a put in between shows as a row without a file, which is settled in a transaction.
            rows = {entry.path: entry.size for entry in self._ledger.sorted_by("original", folders=[folder])}
            for file in found:
                size = rows.pop(file.path, None)
                if size is None:
                    unknown.append(file)
                elif size != file.size or not file.regular:
                    self.settle(file.path)
            for path in rows:
                self.settle(path)
            if not found:
                with self._ledger.changing():
                    self._files.remove_if_empty(folder)
        if unknown:
            self.adopt_found(unknown)
        return len(unknown)
