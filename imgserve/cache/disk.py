"""The two tiers on disk: renditions, and the mezzanines that renditions are made from."""

import stat
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from imgserve.cache.bounded import BoundedFolder, Bounds
from imgserve.cache.files import UNKNOWN, Found, NonBlockingReader, RecentKeys, RenditionFiles, Unknown
from imgserve.cache.key import (
    MEZZANINES,
    MOST_SIBLINGS,
    RENDITIONS,
    RenditionKey,
    Sibling,
    is_rendition_path,
    mark_prefix,
    name_range,
    siblings,
    transform_text,
)
from imgserve.cache.ledger import Entry, Ledger, Order, Popularity
from imgserve.cache.stats import Faults
from imgserve.cache.verify import named_format, size_in_pixels, whole_format
from imgserve.formats import HEAD_BYTES
from imgserve.model import Rendition
from imgserve.records import StoredRendition

_OVERSHOOT = 1.05
"""A put on the request path leaves so much to the upkeep before it evicts itself."""
_MOST_KNOWN = 8192
"""Rows that the event loop remembers, at half a kilobyte each."""


class DiskTier(BoundedFolder):
    """Stores renditions as plain files at computable paths."""

    def __init__(
        self, root: Path, budget_bytes: int, budget_entries: int = 1_000_000, *, most_per_image: int = 1000
    ) -> None:
        """Use the cache folder within these budgets; with a budget of 0 the disk is never touched."""
        super().__init__(
            RenditionFiles(root, RENDITIONS),
            Ledger(root / "ledger.sqlite"),
            root / "janitor.lock",
            Bounds(budget_bytes, budget_entries, most_per_image, _OVERSHOOT),
            Faults("disk cache"),
        )
        self._reader = NonBlockingReader(root)
        self._recent = RecentKeys()
        self._known: dict[RenditionKey, tuple[str, Entry]] = {}

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Return a rendition, or None, without counting a hit or a miss."""
        found = None
        if not self.off:
            with self._faults.guard("reading"):
                path = key.path
                found = self._read(path)
                self._ledger.prepare()
                self._recent.add(path)
        return found

    def has_file(self, key: RenditionKey) -> bool:
        """Return whether there is a file, without reading it."""
        return self._files.find(key.path) is not None

    def get(self, key: RenditionKey) -> Rendition | None:
        """Return a rendition, or None; its length and checksum are checked, and it is marked as used."""
        if self.off:
            return None
        found = self.peek(key)
        self._looked_up(found=found is not None)
        return found

    def get_nonblocking(self, key: RenditionKey) -> Rendition | Unknown | None:
        """Return what `get` returns, on the event loop, or `UNKNOWN` if that might wait.

        A `get` in a thread then prepares the next such look-up.
        """
        if self.off:
            return None
        # While something fails, only threads look: they notice when it works again.
        if self._faults.failing:
            return UNKNOWN
        self._ledger.nonblocking = True
        found = self._read_nonblocking(key)
        if found is UNKNOWN:
            self._known.pop(key, None)
        else:
            self._tally.looked_up(found=found is not None)
        return found

    def siblings(self, key: RenditionKey) -> list[Sibling]:
        """Return the other stored renditions of an original, without counting hits or misses."""
        found: list[tuple[str, int, int]] = []
        if not self.off:
            with self._faults.guard("reading"):
                found = self._ledger.between(*name_range(key), MOST_SIBLINGS)
        return siblings(key, found)

    def stored(self, order: Order, most: int = -1, image_ids: Sequence[str] = ()) -> list[tuple[str, StoredRendition]]:
        """Return the first renditions in an order, of some images or all, each with the folder of its image.

        They count as neither hits nor misses.
        """
        found = list[tuple[str, StoredRendition]]()
        if not self.off:
            with self._faults.guard("reading"):
                self.flush()
                for entry in self.sorted_by(order, most, image_ids):
                    file, (folder, _, name) = self._files.find(entry.path), entry.path.rpartition("/")
                    if file is not None:
                        facts = (entry.media_type, entry.size, entry.width, entry.height)
                        times = (_moment(file.modified_ns), _moment(entry.used))
                        found.append((folder, StoredRendition(name, transform_text(name), *facts, *times)))
        return found

    def put(self, key: RenditionKey, rendition: Rendition, *, instead_of: int | None = None, saved: int = 0) -> bool:
        """Store a rendition; return whether it was stored.

        With the checksum of another encoding it is only stored if that is still there, with the bytes that it saves.
        """
        if self.off or not 0 < len(rendition.data) <= self._bounds.size:
            return False
        stored = False
        with self._faults.guard("writing"):
            temporary, path = self._files.write_temporary(rendition.data), key.path
            size, used = (rendition.width, rendition.height), self._recency.now()
            data, notes = rendition.data, rendition.notes
            entry = Entry(path, len(data), rendition.crc32, rendition.media_type, *size, notes, used)
            stored = self._publish(entry, temporary, instead_of=instead_of, saved=saved)
        if stored:
            self._recent.add(key.path)
            self._make_room()
        return stored

    def count_hits(self, hits: Mapping[str, int]) -> dict[str, Popularity]:
        """Add hits of renditions by their paths, which count as uses; return the sums of those that are stored."""
        if not self.off:
            with self._faults.guard("counting"), self._ledger.changing() as rows:
                return rows.count_hits(hits, self._recency.now())
        return {}

    def set_saved(self, path: str, crc32: int, saved: int) -> None:
        """Record the bytes that another encoding of a rendition has saved, 0 for none."""
        with self._faults.guard("counting"), self._ledger.changing() as rows:
            rows.set_saved(path, crc32, saved)

    def purge(self, image_id: str | None) -> int:
        """Remove every rendition of an image, and every one with it as the mark, or all; return how many had a row."""
        number = super().purge(image_id)
        if image_id is not None and not self.off:
            with self._faults.guard("purging"):
                number += self.discard_paths(self._ledger.marked(mark_prefix(image_id)))
        return number

    def settle(self, path: str) -> tuple[Entry, bytes] | None:
        """Write the row of a good file, remove a bad file, delete a row without a file.

        All happens in a transaction, which every writer of files opens too. So a file that looked torn to a reader,
        because a put replaced it between its two looks, is looked at again before anything is removed.
        """
        with self._ledger.changing() as rows:
            entry, data = rows.find(path), self._files.read(path)
            if data is not None:
                if entry is None or entry.crc32 is None:
                    known, size = whole_format(path, data), size_in_pixels(data)
                    crc32, used = zlib.crc32(data), self._recency.now()
                    entry = Entry(path, len(data), crc32, known.media_type, *size, (), used) if known else None
                if entry is not None and _matches(entry, data):
                    rows.put(entry)
                    return entry, data
            self._remove(rows, path)
            return None

    def is_sound(self, entry: Entry | None) -> bool:
        """Return whether length and checksum are right; a file that has not been read yet has to be complete."""
        if entry is None:
            return True
        data = self._files.read(entry.path)
        if data is None or entry.crc32 is not None:
            return data is not None and _matches(entry, data)
        return whole_format(entry.path, data) is not None

    def adopt_found(self, found: Sequence[Found]) -> None:
        """Write rows for files by their first bytes; `settle` verifies a file completely when it is first read."""
        # Read before the transaction: a cold disk may take its time.
        entries = [self._unverified(file) for file in found]
        with self._ledger.changing() as rows:
            for file, entry in zip(found, entries, strict=True):
                # It may have been replaced, purged, or written to the ledger since it was listed.
                if self._files.find(file.path) != file:
                    continue
                if entry is not None:
                    rows.add(entry)
                elif rows.find(file.path) is None:
                    named = file.regular and is_rendition_path(file.path)
                    (self._files.remove if named else self._files.remove_stray)(file.path)

    def _read(self, path: str) -> Rendition | None:
        entry, data = self._ledger.find(path), self._files.read(path)
        if entry is None and data is None:
            return None
        if entry is None or data is None or not _matches(entry, data):
            settled = self.settle(path)
            if settled is None:
                return None
            entry, data = settled
        self._recency.touch(path)
        return _rendition(entry, data)

    def _read_nonblocking(self, key: RenditionKey) -> Rendition | Unknown | None:
        path, known = self._known.get(key) or (key.path, None)
        data = self._reader.read(path) if path in self._recent else UNKNOWN
        if data is UNKNOWN:
            return UNKNOWN
        entry = known if known and data else self._ledger.find_nonblocking(path)
        if data is None and entry is None:
            return None
        if data is None or entry is None or entry is UNKNOWN or not _matches(entry, data):
            return UNKNOWN
        if entry is not known:
            # Spares the next look-up the row; the checksum is compared each time, so an old row does no harm.
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = (path, entry)
        self._recency.touch(path)
        return _rendition(entry, data)

    def _unverified(self, file: Found) -> Entry | None:
        """Return the row of a file that looks like what its name promises."""
        if not file.regular or not is_rendition_path(file.path):
            return None
        try:
            known = named_format(file.path, self._files.read_head(file.path, HEAD_BYTES))
        except FileNotFoundError:
            return None
        used = min(file.modified_ns, self._recency.now())
        return Entry(file.path, file.size, None, known.media_type, 0, 0, (), used) if known else None


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _rendition(entry: Entry, data: bytes) -> Rendition:
    crc32 = -1 if entry.crc32 is None else entry.crc32
    return Rendition(data, entry.media_type, entry.width, entry.height, entry.notes, crc32)


def _matches(entry: Entry, data: bytes) -> bool:
    """Return whether a file still is what was written."""
    return len(data) == entry.size and zlib.crc32(data) == entry.crc32


_LARGEST_SHARE = 4
"""A mezzanine above a quarter of the budget would displace too many others for what it saves."""
_PAUSE_SECONDS = 5.0
"""After a mezzanine could not be stored, nobody writes megabytes in vain for so long."""


class MezzanineTier(BoundedFolder):
    """Stores mezzanines, files that rendering processes write and map; their content is never read here."""

    def __init__(self, root: Path, budget_bytes: int) -> None:
        """Use the cache folder within a budget; with a budget of 0 the disk is never touched."""
        self._root = root.absolute()
        super().__init__(
            RenditionFiles(self._root, MEZZANINES),
            Ledger(self._root / f"{MEZZANINES}.sqlite"),
            self._root / f"{MEZZANINES}-janitor.lock",
            Bounds(budget_bytes),
            Faults("mezzanine cache"),
        )
        self._writable_at = 0.0

    def place(self) -> Path | None:
        """Return the path of a new file for a rendering process to write, or None if it could not be stored.

        The name contains the number of this process. A file whose writer died is swept when this process is gone too,
        or when nobody has written to it for two minutes; `withdraw` removes it at once.
        """
        path = None
        if not self.off and time.monotonic() >= self._writable_at:
            with self._faults.guard("making room for"):
                path = self._files.temporary_path()
        return path

    def adopt(self, key: RenditionKey, temporary: Path) -> bool:
        """Store a written file under a key; return whether it was stored. If not, the file is removed."""
        size, acceptable, stored = 0, False, False
        with self._faults.guard("writing"):
            with suppress(FileNotFoundError):
                status = temporary.lstat()
                size = status.st_size if stat.S_ISREG(status.st_mode) and not self.off else 0
            acceptable = 0 < size <= self._bounds.size // _LARGEST_SHARE
            if acceptable:
                entry = Entry(key.path_in(MEZZANINES), size, None, "", 0, 0, (), self._recency.now())
                self._publish(entry, temporary)
                stored = True
        if stored:
            self._make_room()
        else:
            self.withdraw(temporary)
            if acceptable:
                self._writable_at = time.monotonic() + _PAUSE_SECONDS
        return stored

    def withdraw(self, temporary: Path) -> None:
        """Remove a written file that is not stored, if it exists."""
        with self._faults.guard("removing"):
            temporary.unlink(missing_ok=True)

    def locate(self, key: RenditionKey) -> Path | None:
        """Return the path of a mezzanine, or None, and mark it as used. It may be evicted before it is opened."""
        if self.off:
            return None
        path, found = key.path_in(MEZZANINES), False
        with self._faults.guard("reading"):
            entry, size = self._ledger.find(path), self._files.size(path)
            if entry is not None and entry.size == size:
                found = True
            elif entry is not None or self._files.find(path):
                found = self.settle(path)
        if found:
            self._recency.touch(path)
        self._looked_up(found=found)
        return self._root / path if found else None

    def settle(self, path: str) -> bool:
        """Return whether file and row agree; otherwise both are removed, since a mezzanine can be made again."""
        with self._ledger.changing() as rows:
            entry, size = rows.find(path), self._files.size(path)
            if entry is not None and entry.size == size:
                return True
            self._remove(rows, path)
        return False

    def is_sound(self, entry: Entry | None) -> bool:
        """Return whether the length is right; pixels have no checksum."""
        return entry is None or self._files.size(entry.path) == entry.size

    def adopt_found(self, found: Sequence[Found]) -> None:
        """Remove files that have no row; those with strange names only when they are old."""
        for file in found:
            if file.regular and is_rendition_path(file.path):
                self.settle(file.path)
            else:
                self._files.remove_stray(file.path)
