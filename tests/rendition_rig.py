"""Renditions with a real cache and real processes, without a web server."""

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from imgserve.cache import DiskTier, FailureCache, KeyLocks, MemoryTier, MezzanineTier, TieredCache
from imgserve.images.mezzanines import Mezzanines
from imgserve.images.renditions import Renditions, Served
from imgserve.images.settings import RenderSettings
from imgserve.metrics import Metrics
from imgserve.model import Limits, Original
from imgserve.originals.writable import WritableOriginals
from imgserve.pipeline.order import EncoderSettings
from imgserve.rendering.admission import Admission
from imgserve.rendering.pool import RenderingProcess
from imgserve.rendering.wire import Answer, ProcessLimits, RenderJob
from imgserve.rendering.workers import Workers
from imgserve.transform import Transform
from tests.pictures import encoded, noise

PATIENCE = 60.0
PNG = encoded(noise(160, 120), "png")
RENDER_SETTINGS = RenderSettings(Limits(), EncoderSettings())
LONG_YOUNG = dataclasses.replace(RENDER_SETTINGS, settle=600.0)
"""Settings by which a new original stays young for the whole test."""


@dataclass(frozen=True, slots=True)
class Rig:
    """The parts, and a folder to put originals in."""

    place: Path
    renditions: Renditions
    cache: TieredCache
    metrics: Metrics

    def put(self, name: str = "a.png", data: bytes = PNG, *, age: float = 60.0) -> Original:
        """Add an original of some age and look at it."""
        path = self.place / name
        path.write_bytes(data)
        moment = time.time() - age
        os.utime(path, (moment, moment))
        return WritableOriginals(self.place, settle=0).stat(name)

    async def make(self, original: Original, width: int = 20) -> Served:
        """Request a width, in the cache first, as the endpoint does."""
        transform = Transform(width=width, format="png")
        key = self.renditions.key(original, transform)
        return await self.renditions.cached(key) or await self.renditions.make(original, transform, key)

    def rendered(self) -> float:
        """Count renderings, well or not."""
        samples = (sample for metric in self.metrics.renders.collect() for sample in metric.samples)
        return sum(sample.value for sample in samples if sample.name.endswith("_total"))

    def figure(self, name: str, **labels: str) -> float:
        """Read a figure."""
        return self.metrics.registry.get_sample_value(f"imgserve_{name}", labels) or 0.0


@contextlib.asynccontextmanager
async def opened(
    place: Path,
    *,
    memory: int = 10**7,
    disk: int = 10**7,
    forget: float = 60.0,
    waiting: int = 64,
    processes: int = 1,
    mezzanines: int = 0,
    compact: bool = False,
    shared: bool = False,
    render_settings: RenderSettings = RENDER_SETTINGS,
) -> AsyncIterator[Rig]:
    metrics = Metrics(CollectorRegistry())
    cache = TieredCache(
        MemoryTier(memory), DiskTier(place / ".cache", disk), MezzanineTier(place / ".cache", mezzanines)
    )
    admission = Admission(processes, waiting=waiting, waiting_megapixels=10_000)
    workers = Workers(processes, admission, time_limit=PATIENCE, process_limits=ProcessLimits(), metrics=metrics)
    locks, others = KeyLocks(None, PATIENCE), KeyLocks(place / ".cache" / "locks" if shared else None, PATIENCE)
    renditions = Renditions(
        cache, workers, render_settings,
        locks=locks, mezzanines=Mezzanines(cache, others, metrics, compact=compact), failures=FailureCache(forget),
        metrics=metrics,
    )  # fmt: skip
    await renditions.open()
    try:
        yield Rig(place, renditions, cache, metrics)
    finally:
        await renditions.close()
        await cache.close()


@contextlib.contextmanager
def deadly(form: str | None = None) -> Iterator[None]:
    """Have every rendering process die of the picture that it is given, or of those in one format alone."""
    render = RenderingProcess.render

    async def die(process: RenderingProcess, job: RenderJob) -> Answer:
        if form is None or (job.transform is not None and job.transform.format == form):
            process.kill()
        return await render(process, job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RenderingProcess, "render", die)
        yield


async def until(found: Callable[[], bool]) -> None:
    """Wait for something true."""
    with anyio.fail_after(PATIENCE):
        while not found():  # noqa: ASYNC110  what is waited for is a figure, a file or a process, which set no event
            await anyio.sleep(0.02)


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on an event loop of its own."""
    asyncio.run(body())
