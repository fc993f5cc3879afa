"""From an original and a transform to a picture: memory, disk, else one rendering for everyone who waits."""

import hashlib
import time
from collections.abc import Mapping
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
from imgserve.pipeline.process import Discipline, RenderJob
from imgserve.services.failures import Failures
from imgserve.services.workers import Workers
from imgserve.transform import Transform, canonical

_MODEST_PIXELS = 1_000_000

Outcome = Literal["memory", "disk", "render", "coalesced"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How this server renders, whatever the picture."""

    discipline: Discipline
    limits: Limits
    encoders: EncoderSettings
    damaged: bool = False
    settle: float = 2.0
    """Seconds that an original must be old before a rendition of it is kept."""

    def job(self, original: Original, transform: Transform) -> RenderJob:
        """Write the order for a rendering process.

        Raises:
            TooLarge: without reading it.
        """
        if original.size > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")
        return RenderJob(
            original.path, original.version, transform, self.discipline, self.limits, self.encoders, self.damaged
        )

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


class Renditions:
    """Serves renditions, rendering each at most once at a time."""

    def __init__(
        self,
        cache: TieredCache,
        workers: Workers,
        recipe: Recipe,
        *,
        locks: KeyLocks,
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
        self._flights: SingleFlight[str, Served] = SingleFlight()

    async def open(self) -> None:
        """Start the workers, whose pipeline is part of every key."""
        self._revision = self._recipe.revision(await self._workers.open())

    def key(self, original: Original, transform: Transform) -> RenditionKey:
        """Name a rendition; `transform` is settled."""
        extension = FORMATS[transform.format or original.format.name].extensions[0]
        return RenditionKey(original.image_id, original.version, canonical(transform), self._revision, extension)

    def output_pixels(self, original: Original, transform: Transform) -> int:
        """Tell how many pixels a rendition will have; 0 where the original's size is not known cheaply."""
        if not original.megapixels:
            return 0
        return plan(Size(original.width, original.height), transform, self._recipe.limits).size.pixels

    def is_settled(self, original: Original) -> bool:
        """Tell whether an original is old enough not to be in the middle of being written."""
        return abs(time.time() - original.modified_ns / 1e9) >= self._recipe.settle

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

    async def _make(self, original: Original, transform: Transform, key: RenditionKey) -> Served:
        async with self._locks.hold(key.path):
            # Looked up again, for between the caller's look-up and this moment another may have made it:
            #   1. A misses, B misses;  2. A flies, stores, lands;  3. B, not having found A in the air, flies.
            # Where there are several server processes A and B may be processes, and only the disk has it.
            hit = await self._cache.look_again(key, on_disk=self._locks.shared)
            if hit is not None:
                return Served(*hit)
            return await self._render(original, transform, key)

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
            rendered = await self._workers.render(self._recipe.job(original, transform), on_turn=on_turn)
        except ImgserveError as error:
            if not turns and not isinstance(error, TooLarge):
                raise
            self._metrics.renders.labels(transform.format, error.code).inc()
            if young and isinstance(error, UnreadableImage):
                raise OriginalUnsettled(retry_after=2) from error
            self._failures.remember(key, error, modest=self._is_modest(original, transform))
            raise
        self._metrics.renders.labels(transform.format, "ok").inc()
        self._metrics.render_seconds.labels(transform.format).observe(rendered.seconds)
        waited = max(0.0, time.perf_counter() - started - rendered.seconds)
        stored = not young and await self._cache.put(key, rendered.rendition)
        seconds = {"wait": waited, "render": rendered.seconds}
        return Served(rendered.rendition, "render", stored, settled=not young, seconds=seconds)

    def _is_modest(self, original: Original, transform: Transform) -> bool:
        """Tell whether a picture asks for little: where it fails by time, that is its original's doing."""
        return not transform.lossless and self.output_pixels(original, transform) <= _MODEST_PIXELS
