"""From an original and a transform to a picture: memory, disk, else one rendering for everyone who waits."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from imgserve.cache import KeyLocks, RenditionKey, SingleFlight, TieredCache
from imgserve.errors import ImgserveError, OriginalUnsettled, TooLarge, UnreadableImage
from imgserve.formats import FORMATS
from imgserve.metrics import Metrics
from imgserve.model import Limits, Original, Rendition
from imgserve.pipeline.box import Size
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.geometry import plan
from imgserve.pipeline.process import Discipline, Rendered, RenderJob
from imgserve.services.failures import Failures
from imgserve.services.mezzanines import Mezzanines, Start
from imgserve.services.workers import Workers
from imgserve.transform import Transform, canonical

_MODEST_PIXELS = 1_000_000

Outcome = Literal["memory", "disk", "render", "coalesced", "stand_in"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How this server renders, whatever the picture."""

    discipline: Discipline
    limits: Limits
    encoders: EncoderSettings
    damaged: bool = False
    settle: float = 2.0
    """Seconds that an original must be old before a rendition of it is kept."""

    def job(self, original: Original, transform: Transform | None, start: Start) -> RenderJob:
        """Write the order for a rendering process; without a transform, for the mezzanine alone.

        Raises:
            TooLarge: without reading it.
        """
        if original.size > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")
        return RenderJob(
            original.path, original.file_version, transform, self.discipline, self.limits, self.encoders, self.damaged,
            start.mezzanine, start.keep, original.focal_point,
        )  # fmt: skip

    def revision(self, pipeline: str) -> str:
        """Name everything beside original and transform that decides the bytes."""
        limits = self.limits
        decisive = (
            pipeline,
            sorted(self.encoders.quality.items()),
            sorted(self.encoders.effort.items()),
            (limits.frames, limits.animation_pixels, limits.output_side, limits.output_pixels),
            self.damaged,
        )
        return _digest(decisive)

    def mezzanine_revision(self, pipeline: str) -> str:
        """Name everything beside the original that decides a mezzanine."""
        return _digest((pipeline, self.damaged))


def _digest(decisive: object) -> str:
    return hashlib.blake2b(repr(decisive).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class Served:
    """A picture and where it came from."""

    rendition: Rendition
    outcome: Outcome
    stored: bool = True
    """Kept in the cache, by a tier at least."""
    settled: bool = True
    """Not of an original that may still be written; only then others may keep it too."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What took how long, for Server-Timing."""
    stands_in: RenditionKey | None = None
    """Which picture this is, where it is not the one asked for."""


class Renditions:
    """Serves renditions, rendering each at most once at a time."""

    def __init__(
        self,
        cache: TieredCache,
        workers: Workers,
        recipe: Recipe,
        *,
        locks: KeyLocks,
        mezzanines: Mezzanines,
        failures: Failures,
        metrics: Metrics,
    ) -> None:
        """Take the parts; `open` makes it ready."""
        self._cache = cache
        self._workers = workers
        self._recipe = recipe
        self._revision = ""
        self._locks = locks
        self._failures = failures
        self._metrics = metrics
        self._mezzanines = mezzanines
        self._flights: SingleFlight[str, Served] = SingleFlight()

    async def open(self) -> None:
        """Start the workers, whose pipeline is part of every key."""
        pipeline = await self._workers.open()
        self._revision = self._recipe.revision(pipeline)
        self._mezzanines.revision = self._recipe.mezzanine_revision(pipeline)

    async def close(self) -> None:
        """End the workers, and what they still were to write."""
        await self._workers.close()
        await self._mezzanines.close()

    def key(self, original: Original, transform: Transform) -> RenditionKey:
        """Name a rendition; `transform` is settled."""
        extension = self.extension(transform.format or original.format.name)
        return RenditionKey(original.image_id, original.version, canonical(transform), self._revision, extension)

    def extension(self, name: str) -> str:
        """Tell how the file name of a rendition in a format ends."""
        return FORMATS[name].extensions[0]

    def output_pixels(self, original: Original, transform: Transform) -> int:
        """Tell how many pixels a rendition will have; 0 where the original's size is not known cheaply."""
        if not original.megapixels:
            return 0
        return plan(Size(original.width, original.height), transform, self._recipe.limits).size.pixels

    def is_settled(self, original: Original) -> bool:
        """Tell whether an original is old enough not to be in the middle of being written."""
        return abs(time.time() - original.modified_ns / 1e9) >= self._recipe.settle

    def at_hand(self, key: RenditionKey) -> Rendition | None:
        """Find a rendition in memory, without counting that as use."""
        return self._cache.at_hand(key)

    async def cached(self, key: RenditionKey) -> Served | None:
        """Fetch a rendition from memory or disk; None where it has to be made."""
        hit = await self._cache.get(key)
        return None if hit is None else Served(hit[0], hit[1])

    async def make(self, original: Original, transform: Transform, key: RenditionKey) -> Served:
        """Render, once for everyone who waits for the same picture.

        Raises:
            OriginalChanged: the original is no longer the version asked for; look again.
            ImgserveError: it cannot be rendered, now or at all.
        """
        self._failures.check(key)
        started = time.perf_counter()
        made, shared = await self._flights.do(key.path, lambda: self._make(original, transform, key))
        if not shared or made.outcome != "render":
            return made
        self._metrics.coalesced.inc()
        waited = time.perf_counter() - started
        return replace(made, outcome="coalesced", seconds={"wait": waited})

    def finish(self, key: RenditionKey) -> None:
        """Have a picture that is being made finished and kept, whoever still waits for it."""
        self._flights.commit(key.path)

    async def _make(self, original: Original, transform: Transform, key: RenditionKey) -> Served:
        async with self._locks.hold(key.path):
            # Looked up again, for between the caller's look-up and this moment another may have made it:
            #   1. A misses, B misses;  2. A flies, stores, lands;  3. B, not having found A in the air, flies.
            # Where there are several server processes A and B may be processes, and only the disk has it.
            hit = await self._cache.look_again(key, on_disk=self._locks.shared)
            if hit is not None:
                return Served(*hit)
            return await self._render(original, transform, key)

    async def prepare(self, original: Original) -> bool:
        """Have the mezzanine of an original made, when nothing else waits; tell whether it was made now.

        Raises:
            ImgserveError: the original cannot be rendered, now or at all.
        """
        if not self.is_settled(original):
            return False
        size = 0
        async with self._mezzanines.ahead(original, self._recipe.limits) as start:
            if start.keep is not None:
                size = await self._workers.prepare(
                    self._recipe.job(original, None, start),
                    megapixels=start.megapixels,
                    on_turn=lambda kept: self._mezzanines.claim(original, start, kept),
                )
        return size > 0

    async def _render(self, original: Original, transform: Transform, key: RenditionKey) -> Served:
        started = time.perf_counter()
        young = not self.is_settled(original)
        turns: list[None] = []

        def on_turn() -> None:
            # Another picture of its file may have failed while this one waited.
            self._failures.check(key)
            self._flights.commit(key.path)
            turns.append(None)

        try:
            rendered = await self._rendered(original, transform, on_turn, young=young)
        except ImgserveError as error:
            if not turns and not isinstance(error, TooLarge):
                raise
            self._metrics.renders.labels(transform.format, error.code).inc()
            if young and isinstance(error, UnreadableImage):
                raise OriginalUnsettled(retry_after=2) from error
            self._failures.remember(key, error, modest=self._is_modest(original, transform))
            raise
        self._metrics.renders.labels(transform.format, "ok").inc()
        self._metrics.renders_made_from.labels(rendered.made_from).inc()
        self._metrics.render_seconds.labels(transform.format).observe(rendered.seconds)
        waited = max(0.0, time.perf_counter() - started - rendered.seconds)
        stored = not young and await self._cache.put(key, rendered.rendition)
        seconds = {"wait": waited, "render": rendered.seconds}
        return Served(rendered.rendition, "render", stored, settled=not young, seconds=seconds)

    async def _rendered(
        self, original: Original, transform: Transform, on_turn: Callable[[], None], *, young: bool
    ) -> Rendered:
        async with self._mezzanines.start(original, transform, self._recipe.limits, off=young) as start:

            def begin(kept: asyncio.Future[int]) -> None:
                on_turn()
                start.kept = kept

            job = self._recipe.job(original, transform, start)
            return await self._workers.render(job, megapixels=start.megapixels, on_turn=begin)

    def _is_modest(self, original: Original, transform: Transform) -> bool:
        """Tell whether a picture asks for little: where it fails by time, that is its original's doing."""
        return not transform.lossless and self.output_pixels(original, transform) <= _MODEST_PIXELS
