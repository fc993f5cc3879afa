"""Return renditions from memory or disk, or render them once for all who wait."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from cachetools import LRUCache

from imgserve.cache import FailureCache, KeyLocks, RenditionKey, SingleFlight, TieredCache, TierName
from imgserve.errors import (
    ImgserveError,
    OriginalChanged,
    OriginalUnsettled,
    TooLarge,
    Unavailable,
    UnreadableImage,
)
from imgserve.formats import CHOSEN, FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import plan
from imgserve.images.mezzanines import Mezzanines, OvertakenError, Start, is_useful
from imgserve.images.settings import RenderSettings
from imgserve.metrics import Metrics
from imgserve.model import Original, Rendition
from imgserve.pipeline.order import between
from imgserve.rendering.wire import Rendered
from imgserve.rendering.workers import Workers
from imgserve.tracing import current_trace
from imgserve.transform import Transform, canonical_steps

_MODEST_PIXELS, _MOST_OVERSIZED = 1_000_000, 10_000
Outcome = Literal["memory", "disk", "render", "coalesced", "stand_in"]
FALLBACK_SECONDS = 5
"""Most pictures are rendered in less time; until then caches answer repeated requests."""


@dataclass(frozen=True, slots=True)
class Served:
    """A picture and where it came from."""

    rendition: Rendition
    outcome: Outcome
    stored: bool = True
    """Stored in a tier of the cache."""
    settled: bool = True
    """The original is not being written any more; otherwise no cache may store the picture."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Durations for Server-Timing."""
    fallback_key: RenditionKey | None = None
    """The key of this picture, if it is not the requested one."""
    lasts: int = FALLBACK_SECONDS
    """Seconds for which caches may store it then."""


class FormatDropped(OriginalChanged):
    """A negotiated format made a larger file than the original: resolve the URL again, to another format."""


class Renditions:
    """Returns renditions, rendering each at most once at a time."""

    def __init__(
        self,
        cache: TieredCache,
        workers: Workers,
        settings: RenderSettings,
        *,
        locks: KeyLocks,
        mezzanines: Mezzanines,
        failures: FailureCache,
        metrics: Metrics,
    ) -> None:
        self._cache = cache
        self._workers = workers
        self.settings = settings
        self._revision = ""
        self._locks = locks
        self._failures = failures
        self._metrics = metrics
        self._mezzanines = mezzanines
        self._flights: SingleFlight[str, Served] = SingleFlight()
        self.oversized: LRUCache[str, int] = LRUCache(_MOST_OVERSIZED)
        """Bytes of renditions in negotiated formats that are larger than their originals, by the path of the key."""

    async def open(self) -> None:
        """Start the workers, whose pipeline is part of every key."""
        pipeline = await self._workers.open()
        self._revision = self.settings.revision(pipeline)
        self._mezzanines.revision = self.settings.mezzanine_revision(pipeline)

    async def close(self) -> None:
        """End the workers and their writing."""
        await self._workers.close()
        await self._mezzanines.close()

    def key(self, original: Original, transform: Transform, earlier: Sequence[Transform] = ()) -> RenditionKey:
        """Return the key of a rendition of a normalized transform, after the earlier ones of a chain."""
        text = canonical_steps((*earlier, transform))
        output = FORMATS[transform.format or original.format.name]
        extension = CHOSEN if "best" in transform.auto else output.extensions[0]
        mark = transform.mark or (original.marks[-1].image_id if original.marks else "")
        return RenditionKey(original.image_id, original.version, text, self._revision, extension, mark)

    def after(self, original: Original, transform: Transform) -> Original:
        """Return what the next step of a chain sees of an original: without a size if that is not known cheaply."""
        form, size = FORMATS["webp" if original.format.animation else "png"], Size(0, 0)
        if original.megapixels and transform.page == 1 and transform.trim is None:
            limits, vector = self.settings.limits, original.format.name == "svg"
            stored = Size(original.width, original.height)
            uncapped = plan(stored, transform, orientation=original.orientation, vector=vector)
            size = uncapped.capped(limits.output_side, limits.output_pixels).size
        return replace(
            original, format=form, width=size.width, height=size.height, focal_point=None, faces=(), orientation=1
        )

    def output_pixels(self, original: Original, transform: Transform) -> int:
        """Return the number of pixels of a rendition, or 0 if the original's size is not known cheaply."""
        if not original.megapixels or transform.page > 1:  # the size of another page is in the file only
            return 0
        limits = self.settings.limits
        if transform.trim is not None and transform.enlarge:
            return limits.output_pixels  # what remains may have any proportions
        uncapped = plan(Size(original.width, original.height), transform)
        return uncapped.capped(limits.output_side, limits.output_pixels).size.pixels

    async def tiers_of(self, key: RenditionKey) -> list[TierName]:
        """Return the tiers of the cache that have a rendition, without counting this as use."""
        name, on_disk = key.path.rpartition("/")[2], await self._cache.stored(key.image_id)
        tiers: list[TierName] = ["memory"] if self.peek(key) is not None else []
        return [*tiers, "disk"] if any(one.name == name and one.made for one in on_disk) else tiers

    async def has_mezzanine(self, original: Original, transform: Transform) -> bool:
        """Return whether there is a mezzanine for a rendition."""
        useful = is_useful(original, transform, self.settings.limits)
        return useful and await self._cache.mezzanine(self._mezzanines.key(original)) is not None

    def is_settled(self, original: Original) -> bool:
        """Return whether an original is old enough not to be in the middle of being written."""
        return self.settles_in(original) <= 0

    def settles_in(self, original: Original) -> float:
        """Return the seconds until an original is settled, or 0."""
        age = time.time() - original.changed_ns / 1e9
        return 0.0 if abs(age) >= self.settings.settle else self.settings.settle - age

    def peek(self, key: RenditionKey) -> Rendition | None:
        """Return a rendition in memory, or None, without counting this as use."""
        return self._cache.peek(key)

    async def cached(self, key: RenditionKey, negotiated_for: Original | None = None) -> Served | None:
        """Return a rendition from memory or disk, or None, also if its negotiated format has to be dropped."""
        trace, started = current_trace.get(), time.perf_counter()
        hit = await self._cache.get(key)
        if trace is not None:
            trace.add("cache", started, attributes={"tier": "none" if hit is None else hit[1]})
        if hit is None or (negotiated_for and self._has_to_be_dropped(negotiated_for, key, hit[0])):
            return None
        return Served(hit[0], hit[1])

    async def make(
        self,
        original: Original,
        transform: Transform,
        key: RenditionKey,
        *,
        negotiated: bool = False,
        earlier: Sequence[Transform] = (),
    ) -> Served:
        """Return a rendition that is rendered once for all who wait for it, after earlier steps of a chain.

        Raises:
            OriginalChanged: the original has another version now; find it again.
            FormatDropped: its format was negotiated, and is dropped now.
            ImgserveError: it cannot be rendered.
        """

        async def work() -> Served:
            async with self._locks.hold(key.path):
                # Looked up again, since another caller may have rendered it after this caller's look-up:
                #   1. A misses, B misses;  2. A flies, stores, lands;  3. B finds no flight of A and flies.
                # With several server processes A and B may be processes, and only the disk has the picture.
                hit = await self._cache.recheck(key, on_disk=self._locks.shared)
                return await self._render(original, (*earlier, transform), key) if hit is None else Served(*hit)

        served = await self._shared(key, work)
        if negotiated and self._has_to_be_dropped(original, key, served.rendition):
            self.oversized[key.path] = len(served.rendition.data)
            raise FormatDropped
        return served

    def _has_to_be_dropped(self, original: Original, key: RenditionKey, rendition: Rendition) -> bool:
        """Return whether a rendition is larger than its original, unless that is known. Enlarged ones have to be."""
        enlarged = original.format.name == "svg" or rendition.width * rendition.height > original.megapixels * 1e6
        return len(rendition.data) > original.size and not enlarged and key.path not in self.oversized

    async def make_chain(self, original: Original, steps: Sequence[Transform]) -> Served:
        """Return the result of several transforms, each of the result of the one before; it is not stored.

        Raises as `make` does; a BadTransform names the step.
        """
        *earlier, last = steps
        key = self.key(original, last, list(map(between, earlier)))
        # Not the key of a URL, which is stored: here a step is not normalized.
        key = replace(key, canonical=f"~{key.canonical}")
        return await self._shared(key, lambda: self._render(original, (*map(between, earlier), last), key, store=False))

    async def _shared(self, key: RenditionKey, work: Callable[[], Awaitable[Served]]) -> Served:
        self._failures.check(key)
        started = time.perf_counter()
        try:
            served, shared = await self._flights.do(key.path, work)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and not current.cancelling():
                raise Unavailable(retry_after=1) from None  # not this request was cancelled: the server is stopped
            raise
        if not shared or served.outcome != "render":
            return served
        self._metrics.coalesced.inc()
        waited = time.perf_counter() - started
        if (trace := current_trace.get()) is not None:
            trace.add("shared rendering", started, attributes={})
        return replace(served, outcome="coalesced", seconds={"wait": waited})

    def finish(self, key: RenditionKey) -> None:
        """Finish and store a picture that is being rendered, even if nobody waits for it any more."""
        self._flights.commit(key.path)

    async def _render(
        self, original: Original, steps: Sequence[Transform], key: RenditionKey, *, store: bool = True
    ) -> Served:
        transform, *then = steps
        output = steps[-1].format or original.format.name
        started = time.perf_counter()
        unsettled = not self.is_settled(original)
        admitted = False

        def on_turn(stored: asyncio.Future[int]) -> None:
            nonlocal admitted
            # Another picture of the file may have failed meanwhile.
            self._failures.check(key)
            self._flights.commit(key.path)
            admitted, start.stored = True, stored

        try:
            async with self._mezzanines.start(original, transform, self.settings.limits, off=unsettled) as start:
                job = self.settings.job(original, transform, start, tuple(then))
                with self._cache.flying(key) as flight:
                    rendered = await self._workers.render(job, megapixels=start.megapixels, on_turn=on_turn)
        except ImgserveError as error:
            if not admitted and not isinstance(error, TooLarge):
                raise
            if unsettled and isinstance(error, UnreadableImage):
                self._metrics.renders.labels(output, error.code).inc()
                raise OriginalUnsettled(retry_after=2) from error
            self._fail(original, transform, key, error)
            raise
        self._count(output, rendered)
        waited = max(0.0, time.perf_counter() - started - rendered.seconds)
        storing = time.perf_counter()
        store = store and not unsettled and not flight.purged
        stored = store and await self._cache.put(key, rendered.rendition)
        if (trace := current_trace.get()) is not None:
            trace.add("store", storing, attributes={"bytes": len(rendered.rendition.data), "stored": stored})
        seconds = {"wait": waited, "render": rendered.seconds}
        return Served(rendered.rendition, "render", stored, settled=not unsettled, seconds=seconds)

    async def start(self, original: Original, transform: Transform) -> Start:
        """Return what a rendering begins with that makes no mezzanine itself."""
        return await self._mezzanines.peek(original, transform, self.settings.limits)

    def mezzanine_place(self) -> Path | None:
        """Return the file for a mezzanine that `adopt` or `abandon` gets, or None if none would be stored."""
        return self._cache.mezzanine_place()

    def adopt(self, original: Original, place: Path, written: asyncio.Future[int]) -> None:
        """Enter the mezzanine of a new original; see `Mezzanines.adopt`."""
        self._mezzanines.adopt(original, place, written)

    def abandon(self, place: Path, written: asyncio.Future[int]) -> None:
        """Remove a mezzanine that was written in vain."""
        self._mezzanines.abandon(place, written)

    async def prepare(self, original: Original) -> bool:
        """Write the mezzanine of an original when nothing else waits; return whether one was written, or raise."""
        if not self.is_settled(original):
            return False
        size = 0
        async with self._mezzanines.ahead(original, self.settings.limits) as start:
            if start.store is not None:
                size = await self._workers.prepare(
                    self.settings.job(original, None, start),
                    megapixels=start.megapixels,
                    on_turn=lambda stored: self._mezzanines.claim(original, start, stored),
                )
        return size > 0

    async def warm(
        self,
        original: Original,
        last: Transform,
        key: RenditionKey,
        *,
        earlier: Sequence[Transform] = (),
        blames_file: bool = True,
    ) -> bool:
        """Render and store a rendition when nothing else waits; return whether it was rendered.

        A client that requests it before it has a slot does not wait for this, and it is not rendered twice, by other
        server processes neither. Without `blames_file`, a crash or timeout has no effect on other renditions.

        Raises:
            OriginalUnsettled: it would not be stored yet.
            ImgserveError: it cannot be rendered.
        """
        if await self._cache.recheck(key, on_disk=True) is not None:
            return False
        if not self.is_settled(original):
            raise OriginalUnsettled(retry_after=max(1, math.ceil(self.settings.settle)))
        self._failures.check(key)
        transform, *then = (*earlier, last)
        if is_useful(original, transform, self.settings.limits):
            await self.prepare(original)
        start = await self.start(original, transform)
        admitted = False

        def on_turn(_stored: asyncio.Future[int]) -> None:
            nonlocal admitted
            made = self._flights.is_flying(key.path) or self._cache.peek(key) or self._cache.is_on_disk(key)
            # A client that requests it from now on waits for this; one that renders it has the lock.
            if made or not self._locks.take(key.path, held):
                raise OvertakenError
            self._failures.check(key)
            admitted = True

        job = self.settings.job(original, transform, start, tuple(then))
        with contextlib.ExitStack() as held:
            try:
                with self._cache.flying(key) as flight:
                    rendered = await self._workers.render(
                        job, megapixels=start.megapixels, on_turn=on_turn, background=True
                    )
            except OvertakenError:
                return False
            except ImgserveError as error:
                if admitted:
                    self._fail(original, transform, key, error, blames_file=blames_file)
                raise
            self._count(key.extension, rendered)
            # Not in memory, where it would evict requested pictures.
            if not flight.purged:
                await self._cache.put(key, rendered.rendition, in_memory=False)
        return True

    def _count(self, output: str, rendered: Rendered) -> None:
        self._metrics.renders.labels(output, "ok").inc()
        self._metrics.renders_made_from.labels(rendered.made_from).inc()
        self._metrics.render_seconds.labels(output).observe(rendered.seconds)

    def _fail(
        self,
        original: Original,
        transform: Transform,
        key: RenditionKey,
        error: ImgserveError,
        *,
        blames_file: bool = True,
    ) -> None:
        """Count and remember an error; a timeout of a modest picture counts against its file."""
        modest = not transform.lossless and self.output_pixels(original, transform) <= _MODEST_PIXELS
        self._metrics.renders.labels(key.extension, error.code).inc()
        self._failures.remember(key, error, modest=modest, blames_file=blames_file)
