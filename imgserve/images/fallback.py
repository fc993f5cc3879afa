"""Degraded renditions returned while the requested one takes long."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from anyio import to_thread

from imgserve.cache import RenditionKey, Sibling, TieredCache
from imgserve.errors import BadTransform, Busy
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan, plan, shows_same_part
from imgserve.images.renditions import Renditions, Served
from imgserve.model import Limits, Original
from imgserve.transform import Transform, likeness, parse_query

_LEAST_SHARE = 0.25
"""Of the wanted width: a browser shows less than that as a blur."""
_MOST_READ = 50
"""Names read back at 0.1 ms each; of sizes that fit, few are of another crop."""
_ORIENTATIONS = (1, 6)
"""Who looks at an original does not read its EXIF, which may swap its sides: each rendition tells by its own size."""
_SLOW_FORMAT = "avif"


@dataclass(frozen=True, slots=True)
class Wish:
    """The picture that is to be made, and what may be answered in its place."""

    original: Original
    transform: Transform
    """Settled."""
    key: RenditionKey
    formats: Collection[str]
    """Formats that the URL leaves open and the client takes, the wanted one among them."""


class FallbackRenditions:
    """Has pictures made, and answers with the nearest kept one where that takes longer than is set."""

    def __init__(
        self,
        renditions: Renditions,
        cache: TieredCache,
        *,
        after: float,
        limits: Limits,
        loaded: Callable[[], bool],
    ) -> None:
        """Take who makes pictures, where they are kept, seconds to wait (0: for ever), and who knows of a queue."""
        self._renditions = renditions
        self._cache = cache
        self._after = after
        self._limits = limits
        self._loaded = loaded

    async def make(self, wish: Wish, *, may_stand_in: bool) -> Served:
        """Have a picture made, or find a stand-in for it, behind which it is finished and kept.

        Raises:
            OriginalChanged: the original is no longer the version asked for; look again.
            ImgserveError: it cannot be rendered, now or at all.
        """
        if not (self._after and may_stand_in and wish.original.megapixels):
            return await self._renditions.make(wish.original, wish.transform, wish.key)
        making = asyncio.create_task(self._renditions.make(wish.original, wish.transform, wish.key))
        # Whoever has a stand-in, or has left, asks no more what became of it.
        making.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await self._first(wish, making)
        finally:
            making.cancel()

    async def _first(self, wish: Wish, making: asyncio.Task[Served]) -> Served:
        started = time.perf_counter()
        found = None
        if wish.transform.format == _SLOW_FORMAT and len(wish.formats) > 1 and self._loaded():
            found = await self._find(wish, least=1.0)
        if found is None:
            await asyncio.wait({making}, timeout=self._after)
            if not making.done() or _is_refused(making):
                found = await self._find(wish, least=_LEAST_SHARE)
        if found is None or (making.done() and not _is_refused(making)):
            return await making
        key, served = found
        self._renditions.finish(wish.key)
        waited = time.perf_counter() - started
        return Served(served.rendition, "stand_in", seconds={"wait": waited}, stands_in=key)

    async def _find(self, wish: Wish, *, least: float) -> tuple[RenditionKey, Served] | None:
        """Fetch the best stand-in of at least a share of the wanted width."""
        kept = await self._cache.siblings(wish.key)
        sibling = await to_thread.run_sync(self._best, wish, kept, least)
        served = None if sibling is None else await self._renditions.cached(sibling.key)
        return None if sibling is None or served is None else (sibling.key, served)

    def _best(self, wish: Wish, kept: list[Sibling], least: float) -> Sibling | None:
        """Choose the nearest in size, and of these the same format rather than another."""
        shapes = self._shapes(wish.original, wish.transform)
        formats = {self._renditions.extension(name): name for name in wish.formats}
        sized = [
            sibling
            for sibling in kept
            if sibling.key.extension in formats and any(_fits(sibling, shape.size, least) for shape in shapes.values())
        ]
        sized.sort(key=lambda one: (-one.width * one.height, formats[one.key.extension] != wish.transform.format))
        alike = (sibling for sibling in sized[:_MOST_READ] if self._shows_the_same(wish, sibling, shapes, least))
        return next(alike, None)

    def _shows_the_same(self, wish: Wish, sibling: Sibling, shapes: Mapping[int, Plan], least: float) -> bool:
        form = wish.original.format
        try:
            transform = parse_query(sibling.key.canonical, strict=True, max_side=self._limits.output_side).transform
        except BadTransform:
            return False  # a name that is none of ours
        if likeness(transform, form) != likeness(wish.transform, form):
            return False
        own = self._shapes(wish.original, transform)
        return any(
            own[orientation].size == Size(sibling.width, sibling.height)
            and _fits(sibling, shapes[orientation].size, least)
            and shows_same_part(shapes[orientation], own[orientation])
            for orientation in shapes.keys() & own.keys()
        )

    def _shapes(self, original: Original, transform: Transform) -> dict[int, Plan]:
        """Plan a rendition for each way that its original may stand."""
        size, vector, shapes = Size(original.width, original.height), original.format.name == "svg", {}
        for orientation in _ORIENTATIONS:
            try:
                shapes[orientation] = plan(size, transform, orientation=orientation, vector=vector).capped(
                    self._limits.output_side, self._limits.output_pixels
                )
            except BadTransform:
                continue  # a rect that lies outside, so it does not stand like this
        return shapes


def _is_refused(making: asyncio.Task[Served]) -> bool:
    """Tell whether there was no place in the queue: then the next request asks for it anew."""
    return making.done() and isinstance(making.exception(), Busy)


def _fits(sibling: Sibling, wanted: Size, least: float) -> bool:
    return least * wanted.width <= sibling.width <= wanted.width and sibling.height <= wanted.height
