"""Return renditions from memory or disk, or render them once for all who wait."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from imgserve.cache import KeyLocks, RenditionKey, SingleFlight, TieredCache
from imgserve.errors import ImgserveError, OriginalUnsettled, TooLarge, UnreadableImage
from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.images.mezzanines import Mezzanines, OvertakenError, Start
from imgserve.images.render_settings import FailureCache, RenderSettings
from imgserve.metrics import Metrics
from imgserve.model import Original, Rendition
from imgserve.pipeline.jobs import Rendered
from imgserve.pipeline.render import between
from imgserve.rendering.workers import Workers
from imgserve.transform import Transform, canonical

_MODEST_PIXELS = 1_000_000
Outcome = Literal["memory", "disk", "render", "coalesced", "stand_in"]


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
        recipe: RenderSettings,
        *,
        locks: KeyLocks,
        mezzanines: Mezzanines,
        failures: FailureCache,
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
        limits = self._recipe.limits
        uncapped = plan(Size(original.width, original.height), transform)
        return uncapped.capped(limits.output_side, limits.output_pixels).size.pixels

    def is_settled(self, original: Original) -> bool:
        """Tell whether an original is old enough not to be in the middle of being written."""
        return self.settles_in(original) <= 0

    def settles_in(self, original: Original) -> float:
        """Tell in how many seconds an original is settled; 0 where it is."""
        since = time.time() - original.modified_ns / 1e9
        return 0.0 if abs(since) >= self._recipe.settle else self._recipe.settle - since

    def pays_ahead(self, original: Original) -> bool:
        """Tell whether a mezzanine of an original would be kept."""
        return self._mezzanines.wanted(original, None, self._recipe.limits)

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Find a rendition in memory, without counting that as use."""
        return self._cache.peek(key)

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
        return await self._shared(key, lambda: self._make(original, transform, key))

    async def make_chain(self, original: Original, steps: Sequence[Transform]) -> Served:
        """Render several transforms, each of what the one before made; nothing of it is kept.

        Raises:
            OriginalChanged: the original is no longer the version asked for; look again.
            ImgserveError: it cannot be rendered, now or at all; BadTransform names the step.
        """
        *earlier, last = steps
        first, *then = *map(between, earlier), last
        texts = " | ".join(canonical(step) for step in steps)
        output = last.format or original.format.name
        key = RenditionKey(original.image_id, original.version, texts, self._revision, self.extension(output))
        return await self._shared(key, lambda: self._render(original, first, key, tuple(then)))

    async def _shared(self, key: RenditionKey, work: Callable[[], Awaitable[Served]]) -> Served:
        """Do work once for all who ask for the same."""
        self._failures.check(key)
        started = time.perf_counter()
        made, shared = await self._flights.do(key.path, work)
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
            hit = await self._cache.recheck(key, on_disk=self._locks.shared)
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

    async def warm(self, original: Original, transform: Transform, key: RenditionKey) -> bool:
        """Have a rendition made and kept when nothing else waits; tell whether it was made now.

        A client who asks for it meanwhile does not wait for this, and what is asked for is not made twice.

        Raises:
            OriginalUnsettled: nothing of it would be kept yet.
            ImgserveError: it cannot be rendered, now or at all.
        """
        if await self._cache.recheck(key, on_disk=True) is not None:
            return False
        if not self.is_settled(original):
            raise OriginalUnsettled(retry_after=max(1, math.ceil(self._recipe.settle)))
        self._failures.check(key)
        if self._mezzanines.wanted(original, transform, self._recipe.limits):
            await self.prepare(original)
        start = await self._mezzanines.peek(original, transform, self._recipe.limits)
        try:
            await self._warmed(original, transform, key, start)
        except OvertakenError:
            return False
        return True

    async def _warmed(self, original: Original, transform: Transform, key: RenditionKey, start: Start) -> None:
        turns: list[None] = []

        def begin(_kept: asyncio.Future[int]) -> None:
            if self._flights.is_flying(key.path) or self._cache.peek(key) is not None:
                raise OvertakenError
            self._failures.check(key)
            turns.append(None)

        job = self._recipe.job(original, transform, start)
        try:
            rendered = await self._workers.render(job, megapixels=start.megapixels, on_turn=begin, background=True)
        except ImgserveError as error:
            if turns:
                self._fail(original, transform, key, error)
            raise
        self._count(key.extension, rendered)
        # Not in memory, where it would push out what is asked for.
        await self._cache.put(key, rendered.rendition, in_memory=False)

    async def _render(
        self, original: Original, transform: Transform, key: RenditionKey, then: tuple[Transform, ...] = ()
    ) -> Served:
        output = (then[-1] if then else transform).format or original.format.name
        started = time.perf_counter()
        young = not self.is_settled(original)
        turns: list[None] = []

        def on_turn() -> None:
            # Another picture of its file may have failed while this one waited.
            self._failures.check(key)
            self._flights.commit(key.path)
            turns.append(None)

        try:
            rendered = await self._rendered(original, transform, then, on_turn, young=young)
        except ImgserveError as error:
            if not turns and not isinstance(error, TooLarge):
                raise
            if young and isinstance(error, UnreadableImage):
                self._metrics.renders.labels(output, error.code).inc()
                raise OriginalUnsettled(retry_after=2) from error
            self._fail(original, transform, key, error)
            raise
        self._count(output, rendered)
        waited = max(0.0, time.perf_counter() - started - rendered.seconds)
        stored = not young and not then and await self._cache.put(key, rendered.rendition)
        seconds = {"wait": waited, "render": rendered.seconds}
        return Served(rendered.rendition, "render", stored, settled=not young, seconds=seconds)

    async def _rendered(
        self,
        original: Original,
        transform: Transform,
        then: tuple[Transform, ...],
        on_turn: Callable[[], None],
        *,
        young: bool,
    ) -> Rendered:
        async with self._mezzanines.start(original, transform, self._recipe.limits, off=young) as start:

            def begin(kept: asyncio.Future[int]) -> None:
                on_turn()
                start.kept = kept

            job = self._recipe.job(original, transform, start, then)
            return await self._workers.render(job, megapixels=start.megapixels, on_turn=begin)

    def _count(self, output: str | None, rendered: Rendered) -> None:
        self._metrics.renders.labels(output, "ok").inc()
        self._metrics.renders_made_from.labels(rendered.made_from).inc()
        self._metrics.render_seconds.labels(output).observe(rendered.seconds)

    def _fail(self, original: Original, transform: Transform, key: RenditionKey, error: ImgserveError) -> None:
        """Count what could not be rendered, and remember it."""
        self._metrics.renders.labels(key.extension, error.code).inc()
        self._failures.remember(key, error, modest=self._is_modest(original, transform))

    def _is_modest(self, original: Original, transform: Transform) -> bool:
        """Tell whether a picture asks for little: where it fails by time, that is its original's doing."""
        return not transform.lossless and self.output_pixels(original, transform) <= _MODEST_PIXELS
