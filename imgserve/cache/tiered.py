"""Memory tier over disk tier, for the event loop. Rules of either tier stand with the tier."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from anyio import CapacityLimiter, to_thread

from imgserve.cache.disk import DiskTier
from imgserve.cache.key import RenditionKey, image_folder
from imgserve.cache.memory import MemoryTier
from imgserve.cache.stats import TierStats
from imgserve.model import Rendition

TierName = Literal["memory", "disk"]

_DISK_THREADS = 8
"""More would wait for the same disk, and take threads from other work."""


@dataclass(slots=True, eq=False)
class _Passage:
    """A rendition on its way between tiers, and whether its image was purged meanwhile."""

    purged: bool = False


class TieredCache:
    """Finds renditions in the nearest tier and keeps them in both.

    A purge wins over every get and put that began before it:

    1. The memory tier changes on the event loop only, the disk tier in threads.
    2. A get that reads from disk, or a put that writes there, notes its passage under the image's folder.
    3. A purge marks the passages of that folder before it goes to a thread.
    4. A get whose passage is marked does not put what it read in memory; a put whose passage is marked removes
       what it may have written after the purge was done.
    """

    def __init__(self, memory: MemoryTier, disk: DiskTier) -> None:
        """Take the two tiers, which belong to this object from here on."""
        self._memory = memory
        self._disk = disk
        self._threads = CapacityLimiter(_DISK_THREADS)
        self._passages: dict[str, set[_Passage]] = {}

    async def look_again(self, key: RenditionKey, *, on_disk: bool) -> tuple[Rendition, TierName] | None:
        """Find what another may have made since the last look, without counting hits and misses."""
        found = self._memory.peek(key)
        if found is not None:
            return found, "memory"
        if self._disk.off or not on_disk:
            return None
        found = await to_thread.run_sync(self._disk.peek, key, limiter=self._threads)
        return None if found is None else (found, "disk")

    async def get(self, key: RenditionKey) -> tuple[Rendition, TierName] | None:
        """Find a rendition and tell the tier that had it."""
        found = self._memory.get(key)
        if found is not None:
            return found, "memory"
        if self._disk.off:
            return None
        with self._passing(key.folder) as passage:
            found = await to_thread.run_sync(self._disk.get, key, limiter=self._threads)
        if found is None:
            return None
        if not passage.purged:
            self._memory.put(key, found)
        return found, "disk"

    async def put(self, key: RenditionKey, rendition: Rendition) -> bool:
        """Keep a rendition in both tiers, in memory at once; tell whether any of them kept it."""
        kept = self._memory.put(key, rendition)
        if self._disk.off:
            return kept
        with self._passing(key.folder) as passage:
            kept |= await to_thread.run_sync(self._disk.put, key, rendition, limiter=self._threads)
        if passage.purged:
            await to_thread.run_sync(self._disk.discard, key, limiter=self._threads)
        return kept

    async def purge(self, image_id: str) -> int:
        """Remove every rendition of an image; tell how many there were."""
        for passage in self._passages.get(image_folder(image_id), ()):
            passage.purged = True
        in_memory = self._memory.purge(image_id)
        on_disk = await to_thread.run_sync(self._disk.purge, image_id, limiter=self._threads)
        return max(in_memory, on_disk)

    async def purge_all(self) -> int:
        """Remove every rendition; tell how many there were."""
        for passages in self._passages.values():
            for passage in passages:
                passage.purged = True
        in_memory = self._memory.purge_all()
        on_disk = await to_thread.run_sync(self._disk.purge_all, limiter=self._threads)
        return max(in_memory, on_disk)

    async def stats(self) -> Mapping[TierName, TierStats]:
        """Tell how full and how useful each tier is."""
        on_disk = await to_thread.run_sync(self._disk.stats, limiter=self._threads)
        return {"memory": self._memory.stats(), "disk": on_disk}

    async def maintain(self) -> None:
        """Look after the disk tier for a moment; to be called every second."""
        if not self._disk.off:
            await to_thread.run_sync(self._disk.maintain, limiter=self._threads)

    async def close(self) -> None:
        """Let go of the cache folder."""
        await to_thread.run_sync(self._disk.close, limiter=self._threads)

    @contextmanager
    def _passing(self, folder: str) -> Iterator[_Passage]:
        passage = _Passage()
        passages = self._passages.setdefault(folder, set())
        passages.add(passage)
        try:
            yield passage
        finally:
            passages.discard(passage)
            if not passages:
                self._passages.pop(folder, None)
