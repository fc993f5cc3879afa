"""An ingest service for the tests: real files, real rendering processes, a real catalog and cache."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from imgserve.cache import DiskTier, MemoryTier, MezzanineTier, RenditionKey, TieredCache
from imgserve.catalog import Catalog
from imgserve.library.ingest import IngestService
from imgserve.library.inspect import Inspector, Rules
from imgserve.library.record import ChangePublisher
from imgserve.library.upload import Accepted, Upload
from imgserve.metrics import Metrics
from imgserve.model import Facts, Limits, Original, Rendition
from imgserve.originals.incoming import Incoming
from imgserve.originals.tree import OriginalsTree, Walked
from imgserve.originals.writable import WritableOriginals
from imgserve.rendering.admission import Admission
from imgserve.rendering.pool import ProcessPool, RecyclePolicy
from imgserve.rendering.wire import InspectJob, ProcessLimits
from imgserve.rendering.workers import Workers
from tests.catalogs import opened
from tests.pictures import encoded, quarters

NOTHING: dict[str, Any] = {}
_PROCESSES = 2


def picture(number: int = 0, name: str = "png", **options: Any) -> bytes:
    """Encode a picture whose bytes are those of no other number."""
    image = quarters(40, 30).draw_rect([number % 256, number // 256 % 256, 99], 1, 1, 6, 6, fill=True)
    return encoded(image, name, **options)


async def preset_keys(original: Original, preset: str) -> list[RenditionKey]:
    """Name what a preset makes, as the tests have it."""
    return [rendition_key(original.image_id, original.version, preset)]


def rendition_key(image_id: str, version: str, canonical: str = "w=9") -> RenditionKey:
    return RenditionKey(image_id, version, canonical, "r", "png")


@dataclass
class Ear:
    """Remembers what a listener heard."""

    purged: list[tuple[set[str] | None, list[str]]] = field(default_factory=list)
    recorded: list[Original] = field(default_factory=list)

    def on_purged(self, ids: Collection[str] | None, tags: Collection[str]) -> None:
        self.purged.append((None if ids is None else set(ids), list(tags)))

    def on_recorded(self, original: Original) -> None:
        self.recorded.append(original)


class CountingWorkers(Workers):
    """Workers that remember which files they inspected."""

    paths: list[str]

    async def inspect(self, job: InspectJob, **given: Any) -> Facts:
        self.paths.append(job.path)
        return await super().inspect(job, **given)


class LentPool(ProcessPool):
    """Rendering processes that one rig after another uses: starting them takes longer than most tests."""

    async def close(self) -> None:
        """Leave the processes to the next rig."""


def idle_pool() -> ProcessPool:
    """Return a pool without processes, for a rig that inspects nothing."""
    return LentPool(_PROCESSES, ProcessLimits(), Metrics(CollectorRegistry()), RecyclePolicy())


@asynccontextmanager
async def lent_pool() -> AsyncIterator[ProcessPool]:
    """Start processes for rigs of the same event loop, and end them after the last."""
    pool = idle_pool()
    await pool.open()
    try:
        yield pool
    finally:
        await ProcessPool.close(pool)


@dataclass
class Rig:
    """The ingest service, and the parts before and behind it."""

    root: Path
    catalog: Catalog
    originals: WritableOriginals
    tree: OriginalsTree
    cache: TieredCache
    metrics: Metrics
    ingest: IngestService
    ear: Ear
    inspected: list[str]
    forgotten: list[str]

    def put(self, image_id: str, data: bytes) -> Path:
        """Put a file in the folder, as people do."""
        path = self.root / os.fsencode(image_id).decode(errors="surrogateescape")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def incoming(self, data: bytes) -> Incoming:
        incoming = self.originals.incoming()
        incoming.write(data)
        return incoming

    async def upload(self, data: bytes, image_id: str | None = None, **given: Any) -> Accepted:
        return await self.ingest.accept(Upload(self.incoming(data), image_id, **given))

    def walked(self) -> list[Walked]:
        files = (self.tree.walk(prefix) for prefix in self.tree.prefixes)
        return sorted(itertools.chain(*files), key=lambda file: file.image_id)

    async def known(self) -> dict[str, str]:
        """Return the versions of all images and problems."""
        return await self.catalog.problems.versions() | await self.catalog.images.versions()

    async def scan(self) -> dict[str, str]:
        """Do what a scan does: record what is there, forget what is not."""
        there = self.walked()
        found = await self.ingest.record_many(there)
        for image_id in set(await self.known()) - {one.image_id for one in there}:
            await self.ingest.vanished(image_id)
        return {one.image_id: one.outcome.value for one in found}

    async def render(self, image_id: str, canonical: str = "w=9") -> RenditionKey:
        """Store something that was made of an image as it is now."""
        point = (await self.catalog.images.focus(image_id)).point
        key = rendition_key(image_id, self.originals.stat(image_id).focused(point).version, canonical)
        await self.cache.put(key, Rendition(b"x" * 100, "image/png", 1, 1))
        return key

    def prepare(self, image_id: str) -> None:
        """Store a mezzanine of an image as it is now."""
        tier = self.cache._mezzanines
        place = tier.place()
        assert place is not None
        place.write_bytes(b"pixels")
        assert tier.adopt(rendition_key(image_id, self.originals.stat(image_id).version), place)

    def leftovers(self) -> list[str]:
        folder = self.root / ".imgserve" / "incoming"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def figure(self, origin: str, outcome: str) -> float:
        labels = {"origin": origin, "outcome": outcome}
        return self.metrics.registry.get_sample_value("imgserve_ingested_total", labels) or 0.0


@asynccontextmanager
async def open_rig(
    folder: Path,
    address: str,
    *,
    pool: ProcessPool | None = None,
    limits: Limits | None = None,
    mounts: Collection[str] = (),
    **given: Any,
) -> AsyncIterator[Rig]:
    """Build everything over a folder, and others beside it that are only read, and take it down.

    Without a pool it has rendering processes of its own.
    """
    rules = Rules(**{"settle": 0.0} | given)
    root, metrics, ear = folder / "originals", Metrics(CollectorRegistry()), Ear()
    root.mkdir(exist_ok=True)
    places = {name: folder / name for name in mounts}
    originals = WritableOriginals(root, places, settle=rules.settle, refused=rules.refused)
    tree = OriginalsTree({"": root} | places)
    cache = TieredCache(MemoryTier(10**6), DiskTier(folder / "cache", 10**7), MezzanineTier(folder / "cache", 10**7))
    admission = Admission(_PROCESSES, waiting=100, waiting_megapixels=10_000)
    workers = CountingWorkers(_PROCESSES, admission, time_limit=30, process_limits=ProcessLimits(), metrics=metrics)
    workers._pool = pool or workers._pool
    workers.paths, forgotten = [], list[str]()
    inspector = Inspector(originals, workers, limits or Limits(), rules)
    async with opened(address) as catalog:
        if pool is None:
            await workers.open()
        ingest = IngestService(
            catalog,
            inspector,
            ChangePublisher(
                cache,
                catalog.notices,
                forgotten.append,
                on_purged=ear.on_purged,
                on_recorded=ear.on_recorded,
            ),
            preset_keys=preset_keys,
            metrics=metrics,
        )
        try:
            yield Rig(root, catalog, originals, tree, cache, metrics, ingest, ear, workers.paths, forgotten)
        finally:
            await ingest.close()
            await workers.close()
            await cache.close()


async def kinds_of_notices(catalog: Catalog) -> list[tuple[str, str]]:
    """List what other processes were told."""
    return [(notice.kind, notice.image_id) for _, notice in await catalog.notices.after(0)]


async def later(seconds: float = 0.02) -> None:
    """Let time pass, so that a file written again has another time."""
    await asyncio.sleep(seconds)
