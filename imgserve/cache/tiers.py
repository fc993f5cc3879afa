"""Memory tier over disk tier, and the mezzanine tier."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anyio import CancelScope, CapacityLimiter, to_thread

from imgserve.cache.disk import DiskTier, MezzanineTier
from imgserve.cache.files import UNKNOWN, Unknown
from imgserve.cache.key import RenditionKey, Sibling, image_folder
from imgserve.cache.memory import MemoryTier
from imgserve.cache.stats import TierStats
from imgserve.model import Rendition

TierName = Literal["memory", "disk"]
_DISK_THREADS = 8
"""More would wait for the same disk, and take threads from other work."""


@dataclass(slots=True, eq=False)
class _Passage:
    """Something on its way between tiers, and whether its image was purged meanwhile."""

    purged: bool = False


class TieredCache:
    """Finds renditions in the nearest tier and keeps them in both; keeps what they are made from in a third.

    A purge wins over every get and put that began before it, and leaves nothing that a get found while it ran:

    1. The memory tier changes on the event loop only, the tiers on disk in threads.
    2. A get that reads from disk in a thread, or a put that writes there, notes its passage under the image's folder.
    3. A purge marks the passages of that folder and empties memory before it goes to a thread, and once more when it
       is back: meanwhile gets may have read what was not removed yet.
    4. A get whose passage is marked does not put what it read in memory.
    5. A put looks at its passage after it has written, still in its thread. Marked, it removes what it wrote, which
       may have been after the purge was done. Not marked, the purge is still to come and finds it.
    """

    def __init__(self, memory: MemoryTier, disk: DiskTier, mezzanines: MezzanineTier | None = None) -> None:
        """Take the tiers, which belong to this object from here on; without mezzanines none are kept."""
        self._memory = memory
        self._disk = disk
        self._mezzanines = mezzanines or MezzanineTier(Path(), 0)
        self._threads = CapacityLimiter(_DISK_THREADS)
        self._passages: dict[str, set[_Passage]] = {}

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Find a rendition in memory, without counting hits and misses."""
        return self._memory.peek(key)

    def get_ready(self, key: RenditionKey) -> tuple[Rendition, TierName] | None:
        """Find a rendition that is there without waiting; a miss in memory is not counted, for `get` is asked next."""
        found = self._memory.get_again(key)
        if found is not None:
            return found, "memory"
        on_disk = self._disk.get_nonblocking(key)
        if on_disk is None or on_disk is UNKNOWN:
            return None
        self._memory.put(key, on_disk)
        return on_disk, "disk"

    async def recheck(self, key: RenditionKey, *, on_disk: bool) -> tuple[Rendition, TierName] | None:
        """Find what another may have made since the last look, without counting hits and misses."""
        found = self._memory.peek(key)
        if found is not None:
            return found, "memory"
        if self._disk.off or not on_disk:
            return None
        found = await to_thread.run_sync(self._disk.peek, key, limiter=self._threads)
        return None if found is None else (found, "disk")

    def get_nonblocking(self, key: RenditionKey) -> tuple[Rendition, TierName] | Unknown | None:
        """Find a rendition without waiting for the disk; `UNKNOWN`, which counts as nothing, where only `get` can."""
        found = self._memory.peek(key)
        if found is not None:
            self._memory.looked_up(found=True)
            return found, "memory"
        on_disk = self._disk.get_nonblocking(key)
        if on_disk is UNKNOWN:
            return UNKNOWN
        self._memory.looked_up(found=False)
        if on_disk is None:
            return None
        self._memory.put(key, on_disk)
        return on_disk, "disk"

    async def get(self, key: RenditionKey) -> tuple[Rendition, TierName] | None:
        """Find a rendition and tell the tier that had it."""
        at_once = self.get_nonblocking(key)
        if at_once is not UNKNOWN:
            return at_once
        self._memory.looked_up(found=False)
        with self._passing(key.folder) as passage:
            found = await to_thread.run_sync(self._disk.get, key, limiter=self._threads)
        if found is None:
            return None
        if not passage.purged:
            self._memory.put(key, found)
        return found, "disk"

    async def siblings(self, key: RenditionKey) -> list[Sibling]:
        """List what else is kept of an original; in memory where nothing is kept on disk."""
        if self._disk.off:
            return self._memory.siblings(key)
        return await to_thread.run_sync(self._disk.siblings, key, limiter=self._threads)

    async def put(self, key: RenditionKey, rendition: Rendition, *, in_memory: bool = True) -> bool:
        """Keep a rendition in both tiers, in memory at once; tell whether any of them kept it.

        `in_memory` can be refused by whoever only fills the disk; without a disk tier, that is no matter.
        """
        kept = self._memory.put(key, rendition) if in_memory or self._disk.off else False
        if self._disk.off:
            return kept
        with self._passing(key.folder) as passage:
            return await to_thread.run_sync(self._write, key, rendition, passage, limiter=self._threads) or kept

    async def mezzanine(self, key: RenditionKey) -> Path | None:
        """Tell where a mezzanine is; it may be gone again before it is opened."""
        if self._mezzanines.off:
            return None
        return await to_thread.run_sync(self._mezzanines.locate, key, limiter=self._threads)

    def mezzanine_place(self) -> Path | None:
        """Name a new file for a rendering process to write a mezzanine to; None where none would be kept.

        Every such path goes to `keep_mezzanine` if its file was written, else to `drop_mezzanine`.
        """
        return self._mezzanines.place()

    async def keep_mezzanine(self, key: RenditionKey, temporary: Path) -> bool:
        """Keep a written file as a mezzanine; tell whether it was kept. If not, it is removed."""
        # Whoever waits may leave; the file may not be left behind.
        kept = False
        with CancelScope(shield=True), self._passing(key.folder) as passage:
            kept = await to_thread.run_sync(self._adopt, key, temporary, passage, limiter=self._threads)
        return kept and not passage.purged

    async def drop_mezzanine(self, temporary: Path) -> None:
        """Remove what there is of a file whose writer failed."""
        with CancelScope(shield=True):
            await to_thread.run_sync(self._mezzanines.withdraw, temporary, limiter=self._threads)

    async def purge(self, image_id: str, *, mezzanines: bool = True) -> int:
        """Remove every rendition of an image; tell how many there were.

        Its mezzanines go too, unless they are still what renditions are made from: after a change of the focal point.
        """
        in_memory = self._purge_memory(image_id)
        on_disk = await to_thread.run_sync(self._purge_disk, image_id, mezzanines, limiter=self._threads)
        self._purge_memory(image_id)
        return max(in_memory, on_disk)

    async def purge_keys(self, keys: Sequence[RenditionKey]) -> int:
        """Remove these renditions, as far as they are kept; tell how many were."""
        in_memory = self._discard_from_memory(keys)
        on_disk = await to_thread.run_sync(self._disk.discard_many, keys, limiter=self._threads)
        self._discard_from_memory(keys)
        return max(in_memory, on_disk)

    def forget(self, image_id: str | None) -> int:
        """Forget the renditions of an image in memory, or all, after another process has purged; tell how many."""
        return self._purge_memory(image_id)

    async def purge_all(self) -> int:
        """Remove every rendition and every mezzanine; tell how many renditions there were."""
        in_memory = self._purge_memory(None)
        on_disk = await to_thread.run_sync(self._purge_disk, None, True, limiter=self._threads)
        self._purge_memory(None)
        return max(in_memory, on_disk)

    async def mezzanine_stats(self) -> TierStats:
        """Tell how full the mezzanine tier is."""
        return await to_thread.run_sync(self._mezzanines.stats, limiter=self._threads)

    async def stats(self) -> Mapping[str, TierStats]:
        """Tell how full and how useful each tier is: "memory", "disk" and "mezzanine"."""
        on_disk, mezzanines = await to_thread.run_sync(self._disk_stats, limiter=self._threads)
        return {"memory": self._memory.stats(), "disk": on_disk, "mezzanine": mezzanines}

    async def maintain(self) -> None:
        """Look after the tiers on disk for a moment; to be called every second."""
        for tier in (self._disk, self._mezzanines):
            if not tier.off:
                await to_thread.run_sync(tier.maintain, limiter=self._threads)

    async def close(self) -> None:
        """Let go of the cache folder."""
        for tier in (self._disk, self._mezzanines):
            await to_thread.run_sync(tier.close, limiter=self._threads)

    def _write(self, key: RenditionKey, rendition: Rendition, passage: _Passage) -> bool:
        kept = self._disk.put(key, rendition)
        if passage.purged:
            self._disk.discard(key)
        return kept

    def _adopt(self, key: RenditionKey, temporary: Path, passage: _Passage) -> bool:
        kept = self._mezzanines.adopt(key, temporary)
        if passage.purged:
            self._mezzanines.discard(key)
        return kept

    def _purge_memory(self, image_id: str | None) -> int:
        """Mark what is on its way, and forget what has arrived."""
        everything = itertools.chain.from_iterable(self._passages.values())
        for passage in everything if image_id is None else self._passages.get(image_folder(image_id), ()):
            passage.purged = True
        return self._memory.purge_all() if image_id is None else self._memory.purge(image_id)

    def _discard_from_memory(self, keys: Sequence[RenditionKey]) -> int:
        """Forget renditions; whatever of their images is on its way is not kept either, which is merely made again."""
        for folder in {key.folder for key in keys}:
            for passage in self._passages.get(folder, ()):
                passage.purged = True
        return sum(self._memory.discard(key) for key in keys)

    def _purge_disk(self, image_id: str | None, mezzanines: bool) -> int:
        if image_id is None:
            self._mezzanines.purge_all()
            return self._disk.purge_all()
        if mezzanines:
            self._mezzanines.purge(image_id)
        return self._disk.purge(image_id)

    def _disk_stats(self) -> tuple[TierStats, TierStats]:
        return self._disk.stats(), self._mezzanines.stats()

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
