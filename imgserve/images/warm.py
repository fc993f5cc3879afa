"""Render ahead of requests, in idle time."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial

from imgserve.catalog import ImageSearch, Selection
from imgserve.errors import ImgserveError, OriginalChanged
from imgserve.images.batches import count, each, map_ordered, retry_transient
from imgserve.images.locate import Locator
from imgserve.images.renditions import Renditions
from imgserve.images.resolve import Resolver
from imgserve.records import Warmed


@dataclass(frozen=True, slots=True)
class Warmer:
    """Renders pictures ahead of requests. Cached pictures are skipped, so an interrupted run can start again."""

    locator: Locator
    resolver: Resolver
    renditions: Renditions
    search: ImageSearch
    at_once: int

    def queries(self, presets: Sequence[str], transforms: Sequence[str]) -> list[str]:
        """Return the queries to render for each image, once each; raise BadTransform with every mistake."""
        queries = list(dict.fromkeys([*(f"preset={name}" for name in presets), *transforms]))
        for query in queries:
            self.resolver.parse(query)
        return queries

    async def total(self, selection: Selection, queries: Sequence[str]) -> int:
        """Return the number of queries times images, or raise CatalogUnavailable."""
        return len(queries) * await count(selection, self.search)

    async def warm(
        self, selection: Selection, queries: Sequence[str], *, total: int = 0
    ) -> AsyncGenerator[Warmed, None]:
        """Render the queries of each image and yield the progress, or raise CatalogUnavailable.

        Closing the generator ends the work.
        """
        done = failed = made = 0
        total = total or await self.total(selection, queries)
        images = map_ordered(
            each(selection, self.search), lambda image_id: self._image(image_id, queries), at_once=self.at_once
        )
        async with contextlib.aclosing(images):
            async for warmed in images:
                for image_id, result in warmed:
                    error = result if isinstance(result, ImgserveError) else None
                    done, failed = done + 1, failed + (error is not None)
                    made, total = made + (0 if isinstance(result, ImgserveError) else result), max(total, done)
                    yield Warmed(done, total, failed, made, image_id, error)
        yield Warmed(done, done, failed, made, finished=True)

    async def _image(self, image_id: str, queries: Sequence[str]) -> list[tuple[str, int | ImgserveError]]:
        """Return the number of rendered pictures, or the error, for each query."""
        results = list[tuple[str, int | ImgserveError]]()
        # One after the other: the first may write the mezzanine that the others start from.
        for query in queries:
            try:
                results.append((image_id, await retry_transient(partial(self._pictures, image_id, query))))
            except ImgserveError as error:
                results.append((image_id, error))
        return results

    async def _pictures(self, image_id: str, query: str) -> int:
        found = await self.locator.find_exactly(image_id)
        try:
            return sum(
                [
                    await self.renditions.warm(
                        request.original, request.transform, request.key, earlier=request.earlier
                    )
                    for request in await self.resolver.requests(found, query)
                ]
            )
        except OriginalChanged as error:
            self.locator.forget(error.changed or image_id)
            raise
