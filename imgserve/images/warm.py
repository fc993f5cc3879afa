"""Render ahead of requests, in idle time."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from imgserve.catalog import ImageSearch, Selection
from imgserve.errors import ImgserveError, OriginalChanged
from imgserve.images.batches import count, each, in_order, retry_transient
from imgserve.images.locate import Locator
from imgserve.images.renditions import Renditions
from imgserve.images.resolve import RenditionRequest, Resolver


@dataclass(frozen=True, slots=True)
class Progress:
    """How far warming has come: a line for each query of each image, and one at the end."""

    done: int
    """Of `total`, those that failed among them."""
    total: int
    """Queries times images; more where images came meanwhile."""
    failed: int
    made: int
    """Pictures made by now; a query with `auto=format` means up to three, and what was there is not made again."""
    image_id: str = ""
    error: ImgserveError | None = None
    """Why this one could not be made."""
    finished: bool = False


@dataclass(frozen=True, slots=True)
class _Warmed:
    image_id: str
    made: int
    error: ImgserveError | None = None


class Warmer:
    """Warms. What is there already is passed over, so that whoever was interrupted begins again."""

    def __init__(
        self, finder: Locator, meaning: Resolver, renditions: Renditions, search: ImageSearch, *, at_once: int
    ) -> None:
        """Take who finds originals, knows what queries mean, has pictures, lists images; and how much goes at once."""
        self._finder = finder
        self._meaning = meaning
        self._renditions = renditions
        self._search = search
        self._at_once = at_once

    def queries(self, presets: Sequence[str], transforms: Sequence[str]) -> list[str]:
        """Write down what is to be made of each image, each once.

        Raises:
            BadTransform: a preset does not exist, or a transform cannot be understood.
        """
        for transform in transforms:
            self._meaning.read(transform)
        return list(dict.fromkeys([*map(self._meaning.preset_query, presets), *transforms]))

    async def total(self, selection: Selection, queries: Sequence[str]) -> int:
        """Count what is to be done.

        Raises:
            CatalogUnavailable: the images cannot be counted now.
        """
        return len(queries) * await count(selection, self._search)

    async def warm(
        self, selection: Selection, queries: Sequence[str], *, total: int = 0
    ) -> AsyncGenerator[Progress, None]:
        """Make what `queries` listed of each image; closing it ends the work.

        Raises:
            CatalogUnavailable: the images cannot be listed now, or no more.
        """
        done = failed = made = 0
        total = total or await self.total(selection, queries)
        images = in_order(
            each(selection, self._search), lambda image_id: self._image(image_id, queries), at_once=self._at_once
        )
        async with contextlib.aclosing(images):
            async for warmed in images:
                for one in warmed:
                    done, made, failed = done + 1, made + one.made, failed + (one.error is not None)
                    total = max(total, done)
                    yield Progress(done, total, failed, made, one.image_id, one.error)
        yield Progress(done, done, failed, made, finished=True)

    async def _image(self, image_id: str, queries: Sequence[str]) -> list[_Warmed]:
        # One after the other: the first may have the mezzanine made that the others start from.
        return [await self._query(image_id, query) for query in queries]

    async def _query(self, image_id: str, query: str) -> _Warmed:
        try:
            return _Warmed(image_id, await retry_transient(lambda: self._pictures(image_id, query)))
        except ImgserveError as error:
            return _Warmed(image_id, 0, error)

    async def _pictures(self, image_id: str, query: str) -> int:
        found = await self._finder.find_exactly(image_id)
        return sum([await self._picture(one) for one in self._meaning.for_everyone(found, query)])

    async def _picture(self, meant: RenditionRequest) -> bool:
        try:
            return await self._renditions.warm(meant.original, meant.transform, meant.key)
        except OriginalChanged:
            self._finder.forget(meant.original.image_id)
            raise
