"""Degraded renditions returned while the requested one takes long."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from anyio import to_thread
from cachetools import LRUCache

from imgserve.cache import RenditionKey, Sibling, TieredCache
from imgserve.errors import BadTransform, Busy, ImgserveError, Unavailable
from imgserve.formats import FORMATS
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan, plan, shows_same_part
from imgserve.images.renditions import FALLBACK_SECONDS, Renditions, Served
from imgserve.images.resolve import SLOW_FORMAT, RenditionRequest
from imgserve.model import Limits, Original
from imgserve.transform import Transform, likeness, parse_query

_logger = logging.getLogger(__name__)
_PAUSE, _LONGEST_PAUSE = 60.0, 24 * 3600.0
"""Seconds until a picture in a slow format is tried again that failed: twice as many after each failure."""
_MOST_FAILED = 10_000
_MIN_SHARE = 0.25
"""Share of the requested width: a browser shows less than that as a blur."""
_MAX_COMPARED = 50
"""File names that are parsed, at 0.1 ms each; few renditions of a fitting size show another crop."""
_ORIENTATIONS = (1, 6)
"""An original's EXIF, which may swap its sides, is not known here: a rendition's own size shows which one holds."""


@dataclass(frozen=True, slots=True)
class FallbackRenditions:
    """Renders pictures, and returns the nearest cached one where that takes longer than a limit."""

    renditions: Renditions
    cache: TieredCache
    after: float
    """Seconds to wait for the requested picture; 0 for however long it takes."""
    slow_pixels: int
    """Pixels above which nobody waits for a slow format where a faster one is acceptable."""
    limits: Limits
    loaded: Callable[[], bool]
    """Whether pictures wait in the queue."""
    _later: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Pictures in a slow format in the making, by the paths of their keys."""
    clock: Callable[[], float] = time.monotonic
    _failed: LRUCache[str, tuple[float, float]] = field(default_factory=lambda: LRUCache(_MOST_FAILED))
    """When those that failed are tried again, and the pause before that."""

    async def make(self, request: RenditionRequest, *, may_stand_in: bool) -> Served:
        """Return the requested picture, or a cached one while the requested one is still rendered and stored.

        Raises:
            OriginalChanged: the original has another version now; resolve the URL again.
            ImgserveError: the picture cannot be rendered.
        """
        if may_stand_in and request.sooner and self._is_slow(request):
            if await self.cache.recheck(request.key, on_disk=True) is None:
                return await self._make_sooner(request, *request.sooner)
            # It was stored since the caller looked.
            if served := await self.renditions.cached(request.key, request.original):
                return served
        work = self.renditions.make(
            request.original,
            request.transform,
            request.key,
            negotiated=request.negotiated,
            earlier=request.earlier,
        )
        unknown = request.earlier or request.transform.trim is not None  # which part is shown
        if unknown or not (self.after and may_stand_in and request.original.megapixels):
            return await work
        started, found, making = time.perf_counter(), None, asyncio.create_task(work)
        # Nobody reads the result once a fallback was returned or the client has left.
        making.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            if request.transform.format == SLOW_FORMAT and len(request.formats) > 1 and self.loaded():
                found = await self._find(request, min_share=1.0)
            if found is None:
                await asyncio.wait({making}, timeout=self.after)
                if not making.done() or _is_refused(making):
                    found = await self._find(request, min_share=_MIN_SHARE)
            if found is None or (making.done() and not _is_refused(making)):
                return await making
            self.renditions.finish(request.key)
        finally:
            making.cancel()
        key, served = found
        waited = time.perf_counter() - started
        return Served(served.rendition, "stand_in", seconds={"wait": waited}, fallback_key=key)

    def _is_slow(self, request: RenditionRequest) -> bool:
        """Return whether a picture that can be stored takes long to encode."""
        if request.earlier or not self.renditions.is_settled(request.original):
            return False
        return self.renditions.output_pixels(request.original, request.transform) > self.slow_pixels

    async def _make_sooner(self, request: RenditionRequest, transform: Transform, key: RenditionKey) -> Served:
        """Return a picture in a faster format, and begin to make the requested one when nothing else waits."""
        path = request.key.path
        again, _ = self._failed.get(path, (0.0, 0.0))
        pause = max(0.0, again - self.clock())
        if path not in self._later and not pause:
            self._later[path] = task = asyncio.create_task(self._make_later(request))
            task.add_done_callback(lambda _: self._later.pop(path, None))
        served = await self.renditions.cached(key) or await self.renditions.make(
            request.original, transform, key, earlier=request.earlier
        )
        lasts = max(FALLBACK_SECONDS, math.ceil(pause))
        return Served(served.rendition, "stand_in", seconds=served.seconds, fallback_key=key, lasts=lasts)

    async def _make_later(self, request: RenditionRequest) -> None:
        try:
            await self.renditions.warm(
                request.original, request.transform, request.key, earlier=request.earlier, blames_file=False
            )
        except ImgserveError as error:
            if not isinstance(error, Unavailable):
                _, pause = self._failed.get(request.key.path, (0.0, _PAUSE / 2))
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._failed[request.key.path] = self.clock() + pause, pause
            _logger.debug("%s of %s has to wait: %r", request.key.canonical, request.original.image_id, error)

    async def _find(self, request: RenditionRequest, *, min_share: float) -> tuple[RenditionKey, Served] | None:
        """Return the best cached picture of at least a share of the requested width, or None."""
        siblings = await self.cache.siblings(request.key)
        sibling = await to_thread.run_sync(self._best, request, siblings, min_share)
        served = None if sibling is None else await self.renditions.cached(sibling.key)
        return None if sibling is None or served is None else (sibling.key, served)

    def _best(self, request: RenditionRequest, siblings: list[Sibling], min_share: float) -> Sibling | None:
        """Return the nearest in size, preferring the requested format."""
        plans = self._plans(request.original, request.transform)
        formats = {FORMATS[name].extensions[0]: name for name in request.formats}
        sized = [
            sibling
            for sibling in siblings
            if sibling.key.extension in formats and any(_fits(sibling, plan.size, min_share) for plan in plans.values())
        ]
        sized.sort(key=lambda one: (-one.width * one.height, formats[one.key.extension] != request.transform.format))
        same = (sibling for sibling in sized[:_MAX_COMPARED] if self._shows_same(request, sibling, plans, min_share))
        return next(same, None)

    def _shows_same(
        self, request: RenditionRequest, sibling: Sibling, plans: Mapping[int, Plan], min_share: float
    ) -> bool:
        form = request.original.format
        try:
            parsed = parse_query(sibling.key.canonical, strict=True, max_side=self.limits.output_side)
        except BadTransform:
            return False  # not a file name of ours
        transform = parsed.transform
        if parsed.earlier or likeness(transform, form) != likeness(request.transform, form):
            return False
        own = self._plans(request.original, transform)
        return any(
            own[orientation].size == Size(sibling.width, sibling.height)
            and _fits(sibling, plans[orientation].size, min_share)
            and shows_same_part(plans[orientation], own[orientation])
            for orientation in plans.keys() & own.keys()
        )

    def _plans(self, original: Original, transform: Transform) -> dict[int, Plan]:
        """Return the plan of a rendition for each orientation that its original may have."""
        size, vector, plans = Size(original.width, original.height), original.format.name == "svg", {}
        for orientation in _ORIENTATIONS:
            try:
                uncapped = plan(size, transform, orientation=orientation, vector=vector)
            except BadTransform:
                continue  # a rect outside this orientation
            plans[orientation] = uncapped.capped(self.limits.output_side, self.limits.output_pixels)
        return plans


def _is_refused(making: asyncio.Task[Served]) -> bool:
    return making.done() and not making.cancelled() and isinstance(making.exception(), Busy)


def _fits(sibling: Sibling, requested: Size, min_share: float) -> bool:
    return min_share * requested.width <= sibling.width <= requested.width and sibling.height <= requested.height
