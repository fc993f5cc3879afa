"""The memory tier: the renditions asked for most recently, bounded in bytes. Used from the event loop only."""

from dataclasses import dataclass

from cachetools import Cache, LRUCache

from imgserve.cache.key import RenditionKey, Sibling, image_folder, siblings
from imgserve.cache.stats import Tally, TierStats
from imgserve.model import Rendition

ENTRY_BYTES = 1024
"""What an entry costs beside data and names: key, values, dictionary slots (measured 1.0 KB on CPython 3.11)."""

_LARGEST_SHARE = 8
"""A rendition above an eighth of the budget would push out too many others for what it saves."""


@dataclass(frozen=True, slots=True)
class _Entry:
    rendition: Rendition
    folder: str
    cost: int


class MemoryTier:
    """Keeps renditions in memory, least recently used out first."""

    def __init__(self, budget: int) -> None:
        """Take the budget in bytes; 0 turns the tier off."""
        self._budget = budget
        self._tally = Tally()
        self._entries = _Entries(budget, self._tally)

    def get(self, key: RenditionKey) -> Rendition | None:
        """Find a rendition and mark it as used."""
        found = self.peek(key)
        self.looked_up(found=found is not None)
        return found

    def looked_up(self, *, found: bool) -> None:
        """Count a look-up that was a peek."""
        self._tally.looked_up(found=found)

    def get_again(self, key: RenditionKey) -> Rendition | None:
        """Find a rendition and mark it as used, without counting a miss."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._tally.looked_up(found=True)
        return entry.rendition

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Find a rendition without counting a hit or a miss."""
        entry = self._entries.get(key)
        return entry.rendition if entry else None

    def siblings(self, key: RenditionKey) -> list[Sibling]:
        """List what else is kept of an original, without counting hits or misses."""
        return siblings(key, self._entries.in_folder(key.folder))

    def put(self, key: RenditionKey, rendition: Rendition) -> bool:
        """Keep a rendition unless it is too large for this tier; tell whether it was kept."""
        cost = _cost(key, rendition)
        if cost * _LARGEST_SHARE > self._budget:
            return False
        self._entries[key] = _Entry(rendition, key.folder, cost)
        return True

    def purge(self, image_id: str) -> int:
        """Forget every rendition of an image; tell how many there were."""
        return self._entries.forget(image_folder(image_id))

    def discard(self, key: RenditionKey) -> bool:
        """Forget one rendition; tell whether it was there."""
        known = key in self._entries
        if known:
            del self._entries[key]
        return known

    def purge_all(self) -> int:
        """Forget everything; tell how many renditions there were."""
        number = len(self._entries)
        self._entries.clear()
        return number

    def stats(self) -> TierStats:
        """Tell entries, bytes and what became of look-ups."""
        tally = self._tally
        return TierStats(
            entries=len(self._entries),
            bytes=int(self._entries.currsize),
            limit_bytes=self._budget,
            hits=tally.hits,
            misses=tally.misses,
            evictions=tally.evictions,
        )


class _Entries(LRUCache[RenditionKey, _Entry]):
    """An LRU with an index by image folder, so that a purge looks at one image's entries only."""

    def __init__(self, budget: int, tally: Tally) -> None:
        super().__init__(budget, getsizeof=lambda entry: entry.cost)
        self._tally = tally
        self._by_folder: dict[str, set[RenditionKey]] = {}

    def __setitem__(self, key: RenditionKey, entry: _Entry) -> None:
        super().__setitem__(key, entry)
        self._by_folder.setdefault(entry.folder, set()).add(key)

    def __delitem__(self, key: RenditionKey) -> None:
        super().__delitem__(key)
        folder = key.folder
        keys = self._by_folder[folder]
        keys.discard(key)
        if not keys:
            del self._by_folder[folder]

    def popitem(self) -> tuple[RenditionKey, _Entry]:
        self._tally.evicted(1)
        return super().popitem()

    def clear(self) -> None:
        super().clear()
        self._by_folder.clear()

    def in_folder(self, folder: str) -> list[tuple[str, int, int]]:
        keys = self._by_folder.get(folder, ())
        # Not by `[]`, which would mark them as used.
        entries = [(key, Cache.__getitem__(self, key).rendition) for key in keys]
        return [(key.path, rendition.width, rendition.height) for key, rendition in entries]

    def forget(self, folder: str) -> int:
        keys = list(self._by_folder.get(folder, ()))
        for key in keys:
            del self[key]
        return len(keys)


def _cost(key: RenditionKey, rendition: Rendition) -> int:
    names = len(key.image_id) + len(key.canonical) + sum(map(len, rendition.notes))
    return len(rendition.data) + names + ENTRY_BYTES
