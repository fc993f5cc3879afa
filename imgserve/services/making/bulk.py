"""Pictures of many images: as addresses, as new originals, or in one archive."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from imgserve.catalog import ImageSearch, Selection
from imgserve.errors import BadRequest, ImgserveError
from imgserve.services.in_order import in_order
from imgserve.services.ingest import Accepted
from imgserve.services.making.archive import zipped
from imgserve.services.making.making import Made, Making
from imgserve.services.making.steps import Steps
from imgserve.services.patience import patiently
from imgserve.services.selected import count, each
from imgserve.web.negotiate import AcceptClass

T = TypeVar("T")


class BulkMaking:
    """Makes pictures of many images, several at once; one that fails spoils no other."""

    def __init__(self, making: Making, search: ImageSearch, *, at_once: int, most: int) -> None:
        """Take who makes one, who lists images, how many are worked on at once, and how many may be asked for."""
        self._making = making
        self._search = search
        self._at_once = at_once
        self._most = most

    async def check(self, selection: Selection) -> None:
        """Refuse more images than one call may transform.

        Raises:
            BadRequest: there are too many.
            CatalogUnavailable: they cannot be counted now.
        """
        number = await count(selection, self._search)
        if number > self._most:
            raise BadRequest(f"expected at most {self._most} images, the limit bulk_images, but {number} are meant")

    async def queries(self, selection: Selection, steps: Steps) -> list[tuple[str, str | ImgserveError]]:
        """Write the query of each picture, as `Making.query` does."""
        found = self._each(selection, lambda image_id: self._making.query(image_id, steps))
        return [one async for one in found]

    async def originals(
        self, selection: Selection, steps: Steps, *, who: str
    ) -> list[tuple[str, Accepted | ImgserveError]]:
        """Keep each picture as a new original, named by its content."""
        kept = self._each(selection, lambda image_id: self._making.original(image_id, steps, new_id=None, who=who))
        return [one async for one in kept]

    async def archive(
        self, selection: Selection, steps: Steps, accepted: AcceptClass = ()
    ) -> AsyncGenerator[bytes, None]:
        """Give a ZIP of the pictures while they are made; closing it ends the work."""
        pictures: AsyncGenerator[tuple[str, Made | ImgserveError], None] = self._each(
            selection, lambda image_id: self._making.picture(image_id, steps, accepted)
        )
        async with contextlib.aclosing(pictures):
            async for piece in zipped(pictures):
                yield piece

    def _each(
        self, selection: Selection, work: Callable[[str], Awaitable[T]]
    ) -> AsyncGenerator[tuple[str, T | ImgserveError], None]:
        async def one(image_id: str) -> tuple[str, T | ImgserveError]:
            try:
                return image_id, await patiently(lambda: work(image_id))
            except ImgserveError as error:
                return image_id, error

        return in_order(each(selection, self._search), one, at_once=self._at_once)
