"""The disk tier: renditions as plain files at computable paths, bounded by an exact ledger.

Every method is synchronous and meant for a thread. No error of disk or ledger leaves `get`, `put` or the upkeep.
"""

import errno
import zlib
from collections.abc import Iterator
from pathlib import Path

from imgserve.cache.faults import Faults
from imgserve.cache.files import RenditionFiles
from imgserve.cache.key import RENDITIONS, RenditionKey, image_folder
from imgserve.cache.ledger import Entry, Ledger, Rows, Totals
from imgserve.cache.recency import Recency
from imgserve.cache.reconcile import Reconciler, matches
from imgserve.cache.scan import scan
from imgserve.cache.stats import Tally, TierStats
from imgserve.cache.upkeep import Upkeep
from imgserve.model import Rendition

EVICTION_BATCH = 50
"""Files removed in one transaction: a few milliseconds for which writers wait, readers never."""

_OVERSHOOT = 1.05
"""How far above the budget writers may get before they evict themselves instead of leaving it to the upkeep."""

_INLINE_BATCHES = 20
"""So that a writer is held up for a tenth of a second at most, even after the budget was made much smaller."""


class DiskTier:
    """Keeps renditions in a folder that several processes may share, least recently used out first.

    Why files and ledger agree whatever runs at the same time:

    1. Files appear and disappear only inside a ledger transaction, which is a lock over threads and processes: a put
       and a purge of the same image come one after the other, each with its file and its row.
    2. Readers take no lock. A reader that sees a file and a row of different moments settles it under the lock.
    3. A process killed inside a transaction leaves the row as it was and the file perhaps not. A file without a row
       is an inherited one, a row without a file or with another checksum is dropped when it is read or scanned.
    """

    def __init__(
        self, root: Path, budget_bytes: int, budget_entries: int = 1_000_000, *, most_per_image: int = 1000
    ) -> None:
        """Take the cache folder and its budgets; with a budget of 0 the disk is never touched."""
        self._budget = Totals(budget_entries, budget_bytes)
        self._most_per_image = most_per_image
        self._off = not (budget_bytes and budget_entries)
        self._faults = Faults()
        self._files = RenditionFiles(root)
        self._ledger = Ledger(root / "ledger.sqlite")
        self._recency = Recency()
        self._reconciler = Reconciler(self._files, self._ledger)
        self._tally = Tally()
        self._totals = Totals(0, 0)
        self._losses = 0
        self._upkeep = Upkeep(root / "janitor.lock")

    @property
    def off(self) -> bool:
        """Whether this tier keeps nothing, by its budget or because it is closed."""
        return self._off

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Read a rendition without counting a hit or a miss."""
        found = None
        if not self._off:
            with self._faults.guard("reading"):
                found = self._read(key.path)
        return found

    def get(self, key: RenditionKey) -> Rendition | None:
        """Read a rendition, checked against length and checksum, and mark it as used."""
        if self._off:
            return None
        found = self.peek(key)
        self._tally.looked_up(found=found is not None)
        if self._recency.due:
            with self._faults.guard("noting use"):
                self._flush()
        return found

    def put(self, key: RenditionKey, rendition: Rendition) -> bool:
        """Store a rendition; tell whether it was stored."""
        if self._off or not 0 < len(rendition.data) <= self._budget.size:
            return False
        stored = False
        with self._faults.guard("writing"):
            self._write(_entry(key.path, rendition, self._recency.now()), rendition.data)
            stored = True
        for _ in range(_INLINE_BATCHES):
            if not (stored and self._exceeds(_OVERSHOOT) and self.evict_some()):
                break
        return stored

    def discard(self, key: RenditionKey) -> None:
        """Remove one rendition."""
        if self._off:
            return
        with self._faults.guard("purging"), self._ledger.changing() as rows:
            self._files.remove(key.path)
            rows.drop(key.path)

    def purge(self, image_id: str) -> int:
        """Remove every rendition of an image; tell how many the ledger knew."""
        return 0 if self._off else self._purge(image_folder(image_id))

    def purge_all(self) -> int:
        """Remove every rendition; tell how many the ledger knew."""
        return 0 if self._off else self._purge(RENDITIONS)

    def evict_some(self) -> int:
        """Remove the least recently used, a batch at most, while the budget is passed; tell how many went."""
        evicted = 0
        with self._faults.guard("evicting"):
            self._flush()
            with self._ledger.changing() as rows:
                removed = self._evict(rows)
                totals = rows.totals()
            # Only now is it true; who calls until nothing is removed would never end if it were told before.
            self._totals, evicted = totals, removed
        self._tally.evicted(evicted)
        return evicted

    def sweep(self) -> int:
        """Remove what writers that died have left half-written; tell how many."""
        swept = 0
        if not self._off:
            with self._faults.guard("sweeping"):
                swept = self._files.sweep()
        return swept

    def scan(self) -> Iterator[None]:
        """Compare folder and ledger in small steps, entering inherited files and dropping what is gone."""
        return scan(self._files, self._ledger, self._reconciler, self._recency.now)

    def maintain(self) -> None:
        """Do what is due, for a fraction of a second: meant to be called every second, in every process."""
        if self._off:
            return
        with self._faults.guard("upkeep"):
            self._note_loss()
            if self._recency.due:
                self._flush()
            self._totals = self._ledger.totals()
            self._upkeep.run(self, self._ledger)

    def evict_to_budget(self) -> None:
        """Evict batch after batch until the budget is kept or nothing more can be removed."""
        with self._faults.guard("evicting"):
            self._totals = self._ledger.totals()
        while not self._off and self._exceeds() and self.evict_some():
            pass

    def stats(self) -> TierStats:
        """Tell entries and bytes of the shared folder, and what this process did with it."""
        if not self._off:
            with self._faults.guard("counting"):
                self._totals = self._ledger.totals()
        return TierStats(
            entries=self._totals.entries,
            bytes=self._totals.size,
            limit_bytes=self._budget.size,
            hits=self._tally.hits,
            misses=self._tally.misses,
            evictions=self._tally.evictions,
            errors=self._faults.count,
            mine=self._upkeep.in_charge,
            degraded=self._faults.failing,
        )

    def close(self) -> None:
        """Write down the recency and let go of the folder; the tier is off from here on."""
        if self._off:
            return
        with self._faults.guard("closing"):
            self._flush()
        self._off = True
        self._upkeep.close()
        self._ledger.close()

    def _read(self, path: str) -> Rendition | None:
        entry, data = self._ledger.find(path), self._files.read(path)
        if entry is None and data is None:
            return None
        if entry is None or data is None or not matches(entry, data):
            settled = self._reconciler.settle(path, self._recency.now())
            if settled is None:
                return None
            entry, data = settled
        self._recency.touch(path)
        return Rendition(data, entry.media_type, entry.width, entry.height, entry.notes)

    def _write(self, entry: Entry, data: bytes) -> None:
        temporary = self._files.write_temporary(data)
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
        self._tally.evicted(evicted)

    def _evict_beyond(self, rows: Rows, folder: str) -> int:
        """Keep one original from taking the place of all others, whatever sizes strangers ask it for."""
        beyond = rows.beyond(folder, self._most_per_image)
        for path in beyond:
            self._files.remove(path)
            rows.drop(path)
        return len(beyond)

    def _purge(self, folder: str) -> int:
        number, aside, done = 0, None, False
        with self._faults.guard("purging"):
            with self._ledger.changing() as rows:
                number = rows.drop_all() if folder == RENDITIONS else rows.drop_folder(folder)
                aside = self._files.set_aside(folder)
            done = True
        if not done and aside is None:
            # A purge may be about privacy: the files go even if the ledger cannot be told.
            with self._faults.guard("purging"):
                aside = self._files.set_aside(folder)
        self._files.empty(aside)
        return number

    def _evict(self, rows: Rows) -> int:
        totals, evicted = rows.totals(), 0
        entries, size = totals.entries, totals.size
        for entry in rows.oldest(EVICTION_BATCH):
            if entries <= self._budget.entries and size <= self._budget.size:
                break
            try:
                self._files.remove(entry.path)
            except OSError as error:
                # Counted as used, so that the next batch is not made of the same undeletable files.
                self._faults.record("evicting", error)
                rows.touch({entry.path: self._recency.now()})
                continue
            rows.drop(entry.path)
            entries, size, evicted = entries - 1, size - entry.size, evicted + 1
        return evicted

    def _flush(self) -> None:
        used = self._recency.take()
        if used:
            with self._ledger.changing() as rows:
                rows.touch(used)

    def _note_loss(self) -> None:
        losses, self._losses = self._losses, self._ledger.losses
        if losses < self._losses:
            self._faults.record("upkeep", FileNotFoundError(errno.ENOENT, "the ledger vanished and was made anew"))

    def _exceeds(self, tolerance: float = 1.0) -> bool:
        too_many = self._totals.entries > self._budget.entries * tolerance
        return too_many or self._totals.size > self._budget.size * tolerance


def _entry(path: str, rendition: Rendition, used: int) -> Entry:
    crc32 = zlib.crc32(rendition.data)
    size = (rendition.width, rendition.height)
    return Entry(path, len(rendition.data), crc32, rendition.media_type, *size, rendition.notes, used)
