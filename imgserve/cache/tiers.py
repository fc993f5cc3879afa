"""The cache that combines the memory tier with those on disk."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anyio import CancelScope, CapacityLimiter, sleep, to_thread

from imgserve.cache.disk import DiskTier, MezzanineTier
from imgserve.cache.files import UNKNOWN, Unknown
from imgserve.cache.key import RenditionKey, Sibling, image_folder
from imgserve.cache.ledger import Popularity
from imgserve.cache.memory import MemoryTier
from imgserve.cache.stats import TierStats
from imgserve.model import Rendition
from imgserve.records import StoredRendition

TierName = Literal["memory", "disk"]
_DISK_THREADS = 8
"""More would wait for the same disk, and take threads from other work."""
_MAINTAIN_EVERY = 1.0
"""Seconds."""


@dataclass(slots=True, eq=False)
class InFlight:
    """A rendition or mezzanine that is being made, or in transfer between tiers."""

    purged: bool = False
    """Whether its image was purged meanwhile."""


class TieredCache:
    """Returns renditions from the nearest tier and stores them in both; stores mezzanines in a third.

    A purge wins over every get and put that began before it, and leaves nothing that a get found while it ran:

    1. The memory tier changes on the event loop only, the tiers on disk in threads.
    2. A get that reads from disk in a thread, or a put that writes there, is registered under the folder of the image,
       and of its mark.
    3. A purge marks what is registered under its folder and empties memory before it goes to a thread, and once more
       when it is back: meanwhile gets may have read what was not removed yet.
    4. A get that is marked does not put what it read in memory.
    5. A put looks at its mark after it has written, still in its thread. If marked, it removes what it wrote, which
       may have been after the purge was done. If not, the purge is still to come and finds it.
    6. A rendering is registered by its caller, who does not put what was purged meanwhile.
    7. Another encoding is only put in place of the first, in one transaction with the look at its row.
    """

    def __init__(self, memory: MemoryTier, disk: DiskTier, mezzanines: MezzanineTier | None = None) -> None:
        """Own the tiers; without a mezzanine tier no mezzanines are stored."""
        self._memory = memory
        self._disk = disk
        self._mezzanines = mezzanines or MezzanineTier(Path(), 0)
        self._threads = CapacityLimiter(_DISK_THREADS)
        self._in_flight: dict[str, set[InFlight]] = {}

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Return a rendition that is in memory, or None, without counting hits and misses."""
        return self._memory.peek(key)

    def get_ready(self, key: RenditionKey) -> tuple[Rendition, TierName] | None:
        """Return a rendition that is available without waiting; a miss in memory is not counted, for `get` follows."""
        found = self._memory.look_up(key)
        if found is not None:
            return found, "memory"
        on_disk = self._from_disk(key)
        return None if on_disk is None or on_disk is UNKNOWN else (on_disk, "disk")

    async def recheck(self, key: RenditionKey, *, on_disk: bool) -> tuple[Rendition, TierName] | None:
        """Return what others may have stored since the last look-up, without counting hits and misses."""
        found = self._memory.peek(key)
        if found is not None:
            return found, "memory"
        if self._disk.off or not on_disk:
            return None
        found = await to_thread.run_sync(self._disk.peek, key, limiter=self._threads)
        return None if found is None else (found, "disk")

    def is_on_disk(self, key: RenditionKey) -> bool:
        """Return whether there is a file of a rendition, which was perhaps never read."""
        return not self._disk.off and self._disk.has_file(key)

    def get_nonblocking(self, key: RenditionKey) -> tuple[Rendition, TierName] | Unknown | None:
        """Return a rendition without waiting, or `UNKNOWN`, which counts as nothing, if only `get` can find it."""
        found = self._memory.look_up(key)
        if found is not None:
            return found, "memory"
        on_disk = self._from_disk(key)
        if on_disk is UNKNOWN:
            return UNKNOWN
        self._memory.count_miss()
        return None if on_disk is None else (on_disk, "disk")

    async def get(self, key: RenditionKey) -> tuple[Rendition, TierName] | None:
        """Return a rendition and the tier that had it, or None."""
        ready = self.get_nonblocking(key)
        if ready is not UNKNOWN:
            return ready
        self._memory.count_miss()
        with self.flying(key) as flight:
            found = await to_thread.run_sync(self._disk.get, key, limiter=self._threads)
        if found is None:
            return None
        if not flight.purged:
            self._memory.put(key, found)
        return found, "disk"

    async def siblings(self, key: RenditionKey) -> list[Sibling]:
        """Return the other stored renditions of an original: those on disk, or in memory if there is no disk tier."""
        if self._disk.off:
            return self._memory.siblings(key)
        return await to_thread.run_sync(self._disk.siblings, key, limiter=self._threads)

    async def stored(self, image_id: str) -> list[StoredRendition]:
        """Return the renditions of an image: those on disk, or in memory if there is no disk tier; the last used first.

        Those in memory alone have no order.
        """
        if self._disk.off:
            return self._memory.stored(image_id)
        found = await to_thread.run_sync(self._disk.stored, "original", -1, [image_id], limiter=self._threads)
        return sorted((one for _, one in found), key=lambda one: (one.used, one.name), reverse=True)

    async def largest_or_oldest(self, order: Literal["size", "age"], most: int) -> list[tuple[str, StoredRendition]]:
        """Return the largest renditions on disk, or the longest unused ones, each with the folder of its image."""
        return await to_thread.run_sync(self._disk.stored, order, most, limiter=self._threads)

    async def put(self, key: RenditionKey, rendition: Rendition, *, in_memory: bool = True) -> bool:
        """Store a rendition in both tiers, in memory at once; return whether any of them stored it.

        Callers that only fill the disk set `in_memory` to False, which is ignored if the disk does not store it.
        """
        stored = self._memory.put(key, rendition) if in_memory or self._disk.off else False
        if self._disk.off:
            return stored

        def write() -> bool:
            written = self._disk.put(key, rendition)
            if flight.purged:
                self._disk.discard(key)
            return written

        with self.flying(key) as flight:
            written = await to_thread.run_sync(write, limiter=self._threads)
        if not written and not in_memory and not flight.purged:
            stored = self._memory.put(key, rendition)
        return written or stored

    async def replace(self, key: RenditionKey, first: Rendition, again: Rendition) -> bool:
        """Store another encoding of a rendition and the bytes that it saves; return whether it was stored.

        It is not if the first was purged, evicted or replaced meanwhile.
        """

        def write() -> bool:
            return self._disk.put(key, again, instead_of=first.crc32, saved=len(first.data) - len(again.data))

        with self.flying(key) as flight:
            stored = await to_thread.run_sync(write, limiter=self._threads)
        if stored and not flight.purged:
            self._memory.put(key, again)
        return stored

    async def count_hits(self, hits: Mapping[RenditionKey, int]) -> dict[RenditionKey, Popularity]:
        """Add hits of renditions, for all processes; return the sums of those that are on disk."""
        paths = {key.path: key for key in hits}
        found = await to_thread.run_sync(
            self._disk.count_hits, {path: hits[key] for path, key in paths.items()}, limiter=self._threads
        )
        return {paths[path]: popularity for path, popularity in found.items()}

    async def keep_encoding(self, key: RenditionKey, rendition: Rendition) -> None:
        """Record that no other encoding of a rendition saves bytes."""
        await to_thread.run_sync(self._disk.set_saved, key.path, rendition.crc32, 0, limiter=self._threads)

    def reload(self, key: RenditionKey) -> None:
        """Remove a rendition from memory, so that the next look-up reads it from disk."""
        self._memory.discard(key)

    async def mezzanine(self, key: RenditionKey) -> Path | None:
        """Return the path of a mezzanine, or None; it may be evicted before it is opened."""
        if self._mezzanines.off:
            return None
        return await to_thread.run_sync(self._mezzanines.locate, key, limiter=self._threads)

    def mezzanine_place(self) -> Path | None:
        """Return the path of a new file for a rendering process to write, or None if it would not be stored.

        Every such path goes to `keep_mezzanine` if its file was written, else to `drop_mezzanine`.
        """
        return self._mezzanines.place()

    async def keep_mezzanine(
        self, key: RenditionKey, temporary: Path, is_current: Callable[[], bool] = lambda: True
    ) -> bool:
        """Store a written file as a mezzanine; return whether it was stored. If not, the file is removed.

        It is not if its original is not current, which is looked up last: who removes an original purges afterwards.
        """
        stored = False

        def adopt() -> bool:
            adopted = self._mezzanines.adopt(key, temporary)
            if flight.purged or not is_current():
                self._mezzanines.discard(key)
                return False
            return adopted

        # The caller may be cancelled; the file may not be left behind.
        with CancelScope(shield=True), self.flying(key) as flight:
            stored = await to_thread.run_sync(adopt, limiter=self._threads)
        return stored and not flight.purged

    async def drop_mezzanine(self, temporary: Path) -> None:
        """Remove the file of a writer that failed."""
        with CancelScope(shield=True):
            await to_thread.run_sync(self._mezzanines.withdraw, temporary, limiter=self._threads)

    async def purge(self, image_id: str | None, *, mezzanines: bool = True) -> int:
        """Remove every rendition of an image, and with it as the mark, or all with None; return how many there were.

        Its mezzanines are removed too, unless renditions are still made from them: after a change of the focal point.
        """

        def purge_disk() -> int:
            if mezzanines:
                self._mezzanines.purge(image_id)
            return self._disk.purge(image_id)

        in_memory = self.forget(image_id)
        on_disk = await to_thread.run_sync(purge_disk, limiter=self._threads)
        self.forget(image_id)
        return max(in_memory, on_disk)

    async def purge_keys(self, keys: Sequence[RenditionKey]) -> int:
        """Remove these renditions; return how many were stored."""
        in_memory = self._discard_from_memory(keys)
        on_disk = await to_thread.run_sync(self._disk.discard, *keys, limiter=self._threads)
        self._discard_from_memory(keys)
        return max(in_memory, on_disk)

    async def purge_named(self, image_id: str, name: str) -> int:
        """Remove the rendition of an image whose file has this name; return whether it was stored, as 0 or 1."""
        path = f"{image_folder(image_id)}/{name}"

        def discard_from_memory() -> int:
            for flight in self._in_flight.get(image_folder(image_id), ()):
                flight.purged = True
            return sum(self._memory.discard(key) for key in self._memory.keys_of(image_id) if key.path == path)

        in_memory = discard_from_memory()
        on_disk = await to_thread.run_sync(self._disk.discard_paths, [path], limiter=self._threads)
        discard_from_memory()
        return max(in_memory, on_disk)

    def forget(self, image_id: str | None) -> int:
        """Remove the renditions of an image, or all, from memory only; return how many there were."""
        everything = itertools.chain.from_iterable(self._in_flight.values())
        for flight in everything if image_id is None else self._in_flight.get(image_folder(image_id), ()):
            flight.purged = True
        return self._memory.purge(image_id)

    async def mezzanine_stats(self) -> TierStats:
        """Return the figures of the mezzanine tier."""
        return await to_thread.run_sync(self._mezzanines.stats, limiter=self._threads)

    async def stats(self) -> Mapping[str, TierStats]:
        """Return the figures of each tier: "memory", "disk" and "mezzanine"."""
        on_disk = await to_thread.run_sync(self._disk.stats, limiter=self._threads)
        return {"memory": self._memory.stats(), "disk": on_disk, "mezzanine": await self.mezzanine_stats()}

    async def restore(self, key: RenditionKey) -> None:
        """Write a rendition that only the memory tier has to disk again."""
        found = self._memory.peek(key)
        if found is not None:
            await self.put(key, found)

    def touch(self, path: str) -> None:
        """Record a use of a file of the disk tier, which a hit in memory does not."""
        self._disk.touch(path)

    async def run(self) -> None:
        """Maintain the tiers on disk every second, until cancelled."""
        while True:
            await self.maintain()
            await sleep(_MAINTAIN_EVERY)

    async def maintain(self) -> None:
        """Maintain the tiers on disk for a moment."""
        for tier in (self._disk, self._mezzanines):
            if not tier.off:
                await to_thread.run_sync(tier.maintain, limiter=self._threads)

    async def close(self) -> None:
        """Close the tiers on disk."""
        for tier in (self._disk, self._mezzanines):
            await to_thread.run_sync(tier.close, limiter=self._threads)

    def _from_disk(self, key: RenditionKey) -> Rendition | Unknown | None:
        """Return a rendition from disk without waiting, and put it in memory."""
        found = self._disk.get_nonblocking(key)
        if found is not None and found is not UNKNOWN:
            self._memory.put(key, found)
        return found

    def _discard_from_memory(self, keys: Sequence[RenditionKey]) -> int:
        """Remove renditions; others of their images that are in transfer are not stored either, merely made again."""
        for folder in {key.folder for key in keys}:
            for flight in self._in_flight.get(folder, ()):
                flight.purged = True
        return sum(self._memory.discard(key) for key in keys)

    @contextmanager
    def flying(self, key: RenditionKey) -> Iterator[InFlight]:
        """Yield what knows whether the image of a rendition was purged meanwhile."""
        flight = InFlight()
        folders = {key.folder, image_folder(key.mark)} if key.mark else {key.folder}
        for folder in folders:
            self._in_flight.setdefault(folder, set()).add(flight)
        try:
            yield flight
        finally:
            for folder in folders:
                flights = self._in_flight[folder]
                flights.discard(flight)
                if not flights:
                    del self._in_flight[folder]
