"""What is in memory: renditions by key, within a budget of bytes, and why others cannot be rendered."""

from cachetools import Cache, LRUCache, TTLCache

from imgserve.cache.key import RenditionKey, Sibling, image_folder, siblings, transform_text
from imgserve.cache.stats import Tally, TierStats
from imgserve.errors import ImgserveError, RenderCrashed, RenderTimeout, TooLarge, UnreadableImage, UnsupportedImage
from imgserve.model import Rendition
from imgserve.records import StoredRendition

ENTRY_BYTES = 1024
"""Cost of an entry besides data and names: key, values, dictionary slots (measured 1.0 KB on CPython 3.11)."""
_LARGEST_SHARE = 8
"""A rendition above an eighth of the budget would displace too many others for what it saves."""


class MemoryTier(LRUCache[RenditionKey, tuple[Rendition, int]]):
    """Stores renditions with their cost in memory and evicts the least recently used; for the event loop only."""

    def __init__(self, budget: int) -> None:
        """Use at most so many bytes; 0 turns the tier off."""
        super().__init__(budget, getsizeof=lambda entry: entry[1])
        self._tally = Tally()
        self._by_folder: dict[str, set[RenditionKey]] = {}
        """So that a purge visits the entries of one image only."""
        self._by_mark: dict[str, set[RenditionKey]] = {}

    def look_up(self, key: RenditionKey) -> Rendition | None:
        """Return a rendition and count a hit, or return None without counting a miss."""
        found = self.peek(key)
        if found is not None:
            self._tally.hits += 1  # this tier has one thread, so no lock
        return found

    def count_miss(self) -> None:
        """Count a look-up that found nothing here."""
        self._tally.looked_up(found=False)

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Return a rendition, or None, without counting a hit or a miss."""
        try:
            return self[key][0]
        except KeyError:
            return None

    def siblings(self, key: RenditionKey) -> list[Sibling]:
        """Return the other stored renditions of an original, without counting hits or misses."""
        # Not by `self[key]`, which would mark them as used.
        found = [(key, Cache.__getitem__(self, key)[0]) for key in self._by_folder.get(key.folder, ())]
        return siblings(key, [(key.path, rendition.width, rendition.height) for key, rendition in found])

    def keys_of(self, image_id: str) -> list[RenditionKey]:
        """Return the keys of the renditions of an image."""
        return list(self._by_folder.get(image_folder(image_id), ()))

    def marked(self, image_id: str) -> list[RenditionKey]:
        """Return the keys of the renditions with an image as the mark."""
        return list(self._by_mark.get(image_id, ()))

    def stored(self, image_id: str) -> list[StoredRendition]:
        """Return what is stored of an image, without counting hits or misses."""
        found = list[StoredRendition]()
        for key in self.keys_of(image_id):
            one, name = Cache.__getitem__(self, key)[0], key.path.rpartition("/")[2]
            facts = (one.media_type, len(one.data), one.width, one.height)
            found.append(StoredRendition(name, transform_text(name), *facts))
        return found

    def put(self, key: RenditionKey, rendition: Rendition) -> bool:
        """Store a rendition unless it is too large for this tier; return whether it was stored."""
        names = len(key.image_id) + len(key.canonical) + sum(map(len, rendition.notes))
        cost = len(rendition.data) + names + ENTRY_BYTES
        if cost * _LARGEST_SHARE > self.maxsize:
            return False
        self[key] = rendition, cost
        self._by_folder.setdefault(key.folder, set()).add(key)
        if key.mark:
            self._by_mark.setdefault(key.mark, set()).add(key)
        return True

    def purge(self, image_id: str | None) -> int:
        """Remove every rendition of an image, and with it as the mark, or all with None; return how many there were."""
        keys = list(self) if image_id is None else [*self.keys_of(image_id), *self.marked(image_id)]
        return sum(map(self.discard, keys))

    def discard(self, key: RenditionKey) -> bool:
        """Remove one rendition; return whether it was stored."""
        return self.pop(key, None) is not None

    def stats(self) -> TierStats:
        """Return entries, bytes and the counters of look-ups."""
        tally = self._tally
        return TierStats(
            len(self), int(self.currsize), int(self.maxsize), tally.hits, tally.misses, evictions=tally.evictions
        )

    def __delitem__(self, key: RenditionKey) -> None:
        """Remove an entry from the indexes too."""
        super().__delitem__(key)
        for index, name in ((self._by_folder, key.folder), (self._by_mark, key.mark)):
            if name in index:
                index[name].discard(key)
                if not index[name]:
                    del index[name]

    def popitem(self) -> tuple[RenditionKey, tuple[Rendition, int]]:
        """Evict the least recently used entry."""
        self._tally.evicted(1)
        return super().popitem()


_MAX_FAILURES = 10_000
_TIMEOUTS_OF_A_FILE = 2
"""One timeout of a modest picture may have been a busy moment; two of one file are caused by the file."""


class FailureCache:
    """A negative cache: errors by rendition, and by original where the whole file is at fault."""

    def __init__(self, seconds: float) -> None:
        """Create a cache in which each error lasts so many seconds."""
        self._pictures: TTLCache[str, ImgserveError] = TTLCache(_MAX_FAILURES, seconds)
        self._files: TTLCache[tuple[str, str], ImgserveError] = TTLCache(_MAX_FAILURES, seconds)
        self._timeouts: TTLCache[tuple[str, str], int] = TTLCache(_MAX_FAILURES, seconds)

    def check(self, key: RenditionKey) -> None:
        """Raise the stored error of this picture or its file."""
        known = self._files.get((key.image_id, key.version)) or self._pictures.get(key.path)
        if known is not None:
            raise known.with_traceback(None)

    def remember(
        self, key: RenditionKey, error: ImgserveError, *, modest: bool = True, blames_file: bool = True
    ) -> None:
        """Store an error that would come again.

        `modest` says that little was requested. Only then does a timeout count against the file: otherwise any client
        could have a good file refused by requesting too much of it. `blames_file` says whether the file may be at fault
        at all.
        """
        file = (key.image_id, key.version)
        if blames_file and isinstance(error, RenderCrashed | UnsupportedImage):
            self._files[file] = error
        if blames_file and modest and isinstance(error, RenderTimeout):
            self._timeouts[file] = self._timeouts.get(file, 0) + 1
            if self._timeouts[file] >= _TIMEOUTS_OF_A_FILE:
                self._files[file] = error
        if isinstance(error, UnreadableImage | TooLarge):
            self._pictures[key.path] = error
