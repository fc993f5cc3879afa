"""The disk tier: renditions as plain files at computable paths, bounded by an exact ledger.

Every method is synchronous and meant for a thread. No error of disk or ledger leaves `get`, `put` or the upkeep.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from imgserve.cache.bounded import BoundedFolder, Bounds
from imgserve.cache.files import UNKNOWN, NonBlockingReader, RecentKeys, RenditionFiles, Unknown
from imgserve.cache.key import MOST_SIBLINGS, RenditionKey, Sibling, name_range, siblings
from imgserve.cache.ledger import Entry, Ledger
from imgserve.cache.recovery import Reconciler, matches
from imgserve.cache.stats import Faults, TierStats
from imgserve.model import Rendition

_OVERSHOOT = 1.05
"""A put on the request path leaves so much to the upkeep before it evicts itself."""

_MOST_KNOWN = 8192
"""Rows remembered by the event loop, at half a kilobyte each."""


class DiskTier:
    """Keeps renditions in a folder that several processes may share, least recently used out first."""

    def __init__(
        self, root: Path, budget_bytes: int, budget_entries: int = 1_000_000, *, most_per_image: int = 1000
    ) -> None:
        """Take the cache folder and its budgets; with a budget of 0 the disk is never touched."""
        self._files = RenditionFiles(root)
        self._prompt = NonBlockingReader(root)
        self._familiar = RecentKeys()
        self._known: dict[RenditionKey, tuple[str, Entry]] = {}
        self._ledger = Ledger(root / "ledger.sqlite")
        self._reconciler = Reconciler(self._files, self._ledger)
        self._faults = Faults()
        self._folder = BoundedFolder(
            self._files,
            self._ledger,
            self._reconciler,
            bounds=Bounds(budget_bytes, budget_entries, most_per_image, _OVERSHOOT),
            janitor=root / "janitor.lock",
            faults=self._faults,
        )

    @property
    def off(self) -> bool:
        """Whether this tier keeps nothing, by its budget or because it is closed."""
        return self._folder.off

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Read a rendition without counting a hit or a miss."""
        found = None
        if not self.off:
            with self._faults.guard("reading"):
                path = key.path
                found = self._read(path)
                self._ledger.prepare()
                self._familiar.add(path)
        return found

    def get(self, key: RenditionKey) -> Rendition | None:
        """Read a rendition, checked against length and checksum, and mark it as used."""
        if self.off:
            return None
        found = self.peek(key)
        self._folder.looked_up(found=found is not None)
        return found

    def get_at_once(self, key: RenditionKey) -> Rendition | Unknown | None:
        """Do what `get` does, on the event loop, where it takes no waiting; `UNKNOWN` where it might.

        Whoever is told so asks `get` in a thread, which prepares the next look at once.
        """
        if self.off:
            return None
        # While something fails, only threads look: they notice when it works again.
        if self._faults.failing:
            return UNKNOWN
        self._ledger.wanted_at_once = True
        found = self._read_at_once(key)
        if found is UNKNOWN:
            self._known.pop(key, None)
        else:
            self._folder.tally.looked_up(found=found is not None)
        return found

    def _read_at_once(self, key: RenditionKey) -> Rendition | Unknown | None:
        path, known = self._known.get(key) or (key.path, None)
        data = self._prompt.read(path) if path in self._familiar else UNKNOWN
        if data is UNKNOWN:
            return UNKNOWN
        entry = known if known and data else self._ledger.find_at_once(path)
        if data is None and entry is None:
            return None
        if data is None or entry is None or entry is UNKNOWN or not matches(entry, data):
            return UNKNOWN
        if entry is not known:
            self._remember(key, path, entry)
        self._folder.recency.touch(path)
        return _rendition(entry, data)

    def _remember(self, key: RenditionKey, path: str, entry: Entry) -> None:
        """Spare the next look its row: the bytes are held to the checksum each time, so an old row does no harm."""
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = (path, entry)

    def siblings(self, key: RenditionKey) -> list[Sibling]:
        """List what else is kept of an original, without counting hits or misses."""
        found: list[tuple[str, int, int]] = []
        if not self.off:
            with self._faults.guard("reading"):
                found = self._ledger.between(*name_range(key), MOST_SIBLINGS)
        return siblings(key, found)

    def put(self, key: RenditionKey, rendition: Rendition) -> bool:
        """Store a rendition; tell whether it was stored."""
        if self.off or not 0 < len(rendition.data) <= self._folder.bounds.size:
            return False
        stored = False
        with self._faults.guard("writing"):
            temporary = self._files.write_temporary(rendition.data)
            self._folder.keep(_entry(key.path, rendition, self._folder.recency.now()), temporary)
            self._familiar.add(key.path)
            stored = True
        if stored:
            self._folder.make_room()
        return stored

    def discard(self, key: RenditionKey) -> None:
        """Remove one rendition."""
        self._folder.discard(key.path)

    def discard_many(self, keys: Iterable[RenditionKey]) -> int:
        """Remove renditions; tell how many the ledger knew."""
        return self._folder.discard_many([key.path for key in keys])

    def purge(self, image_id: str) -> int:
        """Remove every rendition of an image; tell how many the ledger knew."""
        return self._folder.purge(image_id)

    def purge_all(self) -> int:
        """Remove every rendition; tell how many the ledger knew."""
        return self._folder.purge_all()

    def evict_some(self) -> int:
        """Remove the least recently used, a batch at most, while the budget is passed; tell how many went."""
        return self._folder.evict_some()

    def evict_to_budget(self) -> None:
        """Evict batch after batch until the budget is kept or nothing more can be removed."""
        self._folder.evict_to_budget()

    def sweep(self) -> int:
        """Remove what writers that died have left half-written; tell how many."""
        return self._folder.sweep()

    def scan(self) -> Iterator[int]:
        """Compare folder and ledger in small steps, entering inherited files and dropping what is gone."""
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

    def _read(self, path: str) -> Rendition | None:
        entry, data = self._ledger.find(path), self._files.read(path)
        if entry is None and data is None:
            return None
        if entry is None or data is None or not matches(entry, data):
            settled = self._reconciler.settle(path, self._folder.recency.now())
            if settled is None:
                return None
            entry, data = settled
        self._folder.recency.touch(path)
        return _rendition(entry, data)


def _rendition(entry: Entry, data: bytes) -> Rendition:
    crc32 = -1 if entry.crc32 is None else entry.crc32
    return Rendition(data, entry.media_type, entry.width, entry.height, entry.notes, crc32)


def _entry(path: str, rendition: Rendition, used: int) -> Entry:
    size = (rendition.width, rendition.height)
    return Entry(path, len(rendition.data), rendition.crc32, rendition.media_type, *size, rendition.notes, used)
