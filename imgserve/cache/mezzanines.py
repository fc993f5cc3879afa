"""The mezzanine tier: files that renditions are made from, written and mapped by rendering processes.

What a file holds is not known here and never read. Methods are synchronous; none raises for trouble with the disk.
"""

import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from imgserve.cache.bounded import BoundedFolder, Bounds
from imgserve.cache.files import Found, RenditionFiles
from imgserve.cache.key import MEZZANINES, RenditionKey, is_rendition_path
from imgserve.cache.ledger import Entry, Ledger
from imgserve.cache.stats import Faults, TierStats

_LARGEST_SHARE = 4
"""A file above a quarter of the budget would push out too many others for what it saves."""

_PAUSE_SECONDS = 5.0
"""After a file could not be kept, nobody writes megabytes in vain for so long."""


class MezzanineTier:
    """Keeps mezzanines in a folder that several processes may share, least recently used out first."""

    def __init__(self, root: Path, budget_bytes: int) -> None:
        """Take the cache folder and the budget; with a budget of 0 the disk is never touched."""
        self._root = root.absolute()
        self._files = RenditionFiles(self._root, MEZZANINES)
        self._ledger = Ledger(self._root / f"{MEZZANINES}.sqlite")
        self._agreement = _Agreement(self._files, self._ledger)
        self._faults = Faults("mezzanine cache")
        self._folder = BoundedFolder(
            self._files,
            self._ledger,
            self._agreement,
            bounds=Bounds(budget_bytes),
            janitor=self._root / f"{MEZZANINES}-janitor.lock",
            faults=self._faults,
        )
        self._writable_at = 0.0

    @property
    def off(self) -> bool:
        """Whether this tier keeps nothing, by its budget or because it is closed."""
        return self._folder.off

    def place(self) -> Path | None:
        """Name a new file for a rendering process to write; None where it could not be kept.

        The name carries the number of this process. A file whose writer died is swept when this process is gone too,
        or when nobody has written to it for two minutes; `withdraw` takes it at once.
        """
        path = None
        if not self.off and time.monotonic() >= self._writable_at:
            with self._faults.guard("making room for"):
                path = self._files.temporary_path()
        return path

    def adopt(self, key: RenditionKey, temporary: Path) -> bool:
        """Keep a written file under a key, in place of an older one; tell whether it was. If not, it is removed."""
        entry, kept = None, False
        with self._faults.guard("writing"):
            entry = self._entry(key, temporary)
            if entry is not None:
                self._folder.keep(entry, temporary)
                kept = True
        if kept:
            self._folder.make_room()
        else:
            self.withdraw(temporary)
        if entry is not None and not kept:
            self._writable_at = time.monotonic() + _PAUSE_SECONDS
        return kept

    def withdraw(self, temporary: Path) -> None:
        """Remove a file that is not going to be kept, whatever there is of it."""
        with self._faults.guard("removing"):
            temporary.unlink(missing_ok=True)

    def locate(self, key: RenditionKey) -> Path | None:
        """Tell where the file of a key is and mark it as used. It may be evicted before it is opened."""
        if self.off:
            return None
        path, known = key.path_in(MEZZANINES), False
        with self._faults.guard("reading"):
            known = self._agreement.holds(path)
        if known:
            self._folder.recency.touch(path)
        self._folder.looked_up(found=known)
        return self._root / path if known else None

    def discard(self, key: RenditionKey) -> None:
        """Remove one mezzanine."""
        self._folder.discard(key.path_in(MEZZANINES))

    def purge(self, image_id: str) -> int:
        """Remove every mezzanine of an image; tell how many the ledger knew."""
        return self._folder.purge(image_id)

    def purge_all(self) -> int:
        """Remove every mezzanine; tell how many the ledger knew."""
        return self._folder.purge_all()

    def evict_to_budget(self) -> None:
        """Evict until the budget is kept or nothing more can be removed."""
        self._folder.evict_to_budget()

    def sweep(self) -> int:
        """Remove what writers that died have left half-written; tell how many."""
        return self._folder.sweep()

    def scan(self) -> Iterator[int]:
        """Compare folder and ledger in small steps, removing files that have no row and rows that have no file."""
        return self._folder.scan()

    def maintain(self) -> None:
        """Do what is due, for a fraction of a second: meant to be called every second, in every process."""
        self._folder.maintain()

    def stats(self) -> TierStats:
        """Tell entries and bytes of the shared folder, and what this process did with it."""
        return self._folder.stats()

    def close(self) -> None:
        """Write down the recency and let go of the folder; the tier is off from here on."""
        self._folder.close()

    def _entry(self, key: RenditionKey, temporary: Path) -> Entry | None:
        """Make the row of a written file; None for one that is not there, empty or too large."""
        size = None if self.off else _size(temporary)
        if not size or size > self._folder.bounds.size // _LARGEST_SHARE:
            return None
        return Entry(key.path_in(MEZZANINES), size, None, "", 0, 0, (), self._folder.recency.now())


class _Agreement:
    """Brings files and ledger to agree: what is not in both goes, since it can be made again."""

    def __init__(self, files: RenditionFiles, ledger: Ledger) -> None:
        self._files = files
        self._ledger = ledger

    def holds(self, path: str) -> bool:
        """Tell whether file and row are there and agree; where only one is, or they differ, both go."""
        entry, size = self._ledger.find(path), self._files.size(path)
        if entry is not None and entry.size == size:
            return True
        return False if entry is None and not self._files.exists(path) else self.settle(path, 0)

    def settle(self, path: str, used: int) -> bool:  # noqa: ARG002  the scan gives it to whoever enters files
        """Look again under the lock, where nobody is halfway through a change; remove what does not agree."""
        with self._ledger.changing() as rows:
            entry, size = rows.find(path), self._files.size(path)
            if entry is not None and entry.size == size:
                return True
            self._files.remove(path)
            rows.drop(path)
        return False

    def adopt(self, found: Sequence[Found]) -> None:
        """Remove files that have no row; strange ones only when they are old."""
        for file in found:
            if file.regular and is_rendition_path(file.path):
                self.settle(file.path, 0)
            else:
                self._files.remove_stray(file.path)


def _size(temporary: Path) -> int | None:
    """Tell the bytes of a written file; None where there is none."""
    try:
        status = temporary.lstat()
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
