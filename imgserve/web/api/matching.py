"""`If-Match` on records: what a caller changes is still as that caller has read it."""

import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from imgserve.catalog import Images
from imgserve.errors import PreconditionFailed
from imgserve.http.conditional import match_holds
from imgserve.library.results import NameLocks
from imgserve.model import ImageRecord

_HEADER = "if-match"


class Matching:
    """Lets one call at a time change a record; all endpoints that do so share it."""

    def __init__(self, images: Images) -> None:
        """Take where records are."""
        self._images = images
        self._locks = NameLocks()

    def hold(self, image_id: str) -> contextlib.AbstractAsyncContextManager[None]:
        """Keep others from changing a record."""
        return self._locks.hold(image_id)

    async def expected(self, image_id: str, request: Request) -> ImageRecord | None:
        """Read a record that is about to change, if there is one.

        Raises:
            PreconditionFailed: it is not as the caller requires.
        """
        record = await self._images.get(image_id)
        if record is not None and not match_holds(request.headers, etag(record)):
            raise PreconditionFailed("The record has changed.")
        return record

    async def check(self, image_id: str, request: Request) -> None:
        """Refuse to replace what the caller requires to be otherwise.

        Raises:
            PreconditionFailed: it is, or there is nothing.
        """
        if _HEADER in request.headers and await self.expected(image_id, request) is None:
            raise PreconditionFailed("There is no image with this id.")

    @contextlib.asynccontextmanager
    async def kept(self, image_id: str, request: Request) -> AsyncIterator[None]:
        """Check again, and hold, what the caller requires; nothing is held where nothing is required."""
        if _HEADER not in request.headers:
            yield
            return
        async with self.hold(image_id):
            await self.check(image_id, request)
            yield


def etag(record: ImageRecord) -> str:
    """Write the entity tag of a record: of the moment when it last changed, which every change moves."""
    return f'"{record.version}-{int(record.changed.timestamp() * 1e6):x}"'
