"""Endpoints that move images to other ids."""

from dataclasses import dataclass
from typing import Self

from imgserve.access.keys import Scope
from imgserve.catalog import ImageQuery, ImageSearch
from imgserve.errors import (
    BadImageId,
    Forbidden,
    ImageExists,
    ImageNotFound,
    ImgserveError,
    PreconditionFailed,
    ReadOnlyOriginals,
    StorageFull,
)
from imgserve.http.headers import quoted_id
from imgserve.images.batches import each
from imgserve.images.convert import BulkConverter
from imgserve.library.ingest import IngestService
from imgserve.model import ImageRecord
from imgserve.web.api.endpoint import Answer, Call, endpoint
from imgserve.web.api.images import ETAG, IF_MATCH, ImageOut, Preconditions, etag
from imgserve.web.api.messages import ErrorWithin, Reply, ResponseModel, error_within
from imgserve.web.api.requests import ImageId, Prefix, RequestModel

_NOT_MOVED = [BadImageId, ReadOnlyOriginals, StorageFull]


class Destination(RequestModel):
    """Where an image is moved to."""

    to: ImageId
    """The new image id. Its extension stays, or becomes one of the format."""


class FolderMove(RequestModel):
    """The images that are moved, and where to."""

    prefix: Prefix
    """Images whose id starts with this, such as `shoes/`."""
    to: ImageId
    """What their ids start with afterwards, such as `archive/shoes/`."""

    def confined(self, prefixes: tuple[str, ...]) -> Self | None:
        """Return the request if both prefixes are within these; see `RequestModel.confined`."""
        return self if self.prefix.startswith(prefixes) and self.to.startswith(prefixes) else None


class MovedOne(ResponseModel):
    """A moved image."""

    id: str
    """The earlier id."""
    image: ImageOut
    """The record under the new id."""


class NotMoved(ResponseModel):
    """An image that could not be moved."""

    id: str
    """The id, which stays."""
    problem: ErrorWithin
    """The error."""


class MovedOut(ResponseModel):
    """The results of moving many images."""

    results: list[MovedOne | NotMoved]
    """One for each image, in the order of the earlier ids."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Endpoints that move images."""

    ingest: IngestService
    search: ImageSearch
    bulk: BulkConverter
    preconditions: Preconditions
    prefix: str

    @endpoint(
        "POST",
        "/api/move/{image_id}",
        Scope.MANAGE,
        "Move an image",
        errors=[ImageNotFound, ImageExists, PreconditionFailed, *_NOT_MOVED],
        headers=IF_MATCH,
        answers={
            200: Answer(
                "The record under the new id.",
                ImageOut,
                headers={**ETAG, "Content-Location": "The path of the record."},
            )
        },
        example={"to": "shoes/summer/red.jpg"},
    )
    async def move(self, image_id: str, body: Destination, call: Call) -> Reply:
        """Move an image to another id. Its record follows, and its old URLs redirect to the new ones for a time."""
        if not call.caller.covers(body.to):
            raise Forbidden("This API key is for other images.")
        async with self.preconditions.locks.hold(image_id):
            await self.preconditions.check(image_id, call.request)
            record = await self.ingest.move(image_id, body.to)
        path = f"{call.request.scope.get('root_path', '')}/api/images/{quoted_id(record.image_id)}"
        return Reply(ImageOut.of(record, self.prefix), headers={"etag": etag(record), "content-location": path})

    @endpoint(
        "POST",
        "/api/move",
        Scope.MANAGE,
        "Move many images",
        tag="many images",
        errors=_NOT_MOVED,
        example={"prefix": "shoes/", "to": "archive/shoes/"},
    )
    async def move_many(self, body: FolderMove, call: Call) -> MovedOut:
        """Move all images with a prefix, such as a folder, to another one; an error of one does not affect the others.

        After an interruption, the same request moves the remaining images.
        """
        query, start = ImageQuery(prefix=body.prefix), len(body.prefix)
        await self.bulk.check(query)
        # All of them first: a moved image may have the prefix again.
        ids = [image_id async for image_id in each(query, self.search)]
        moved = self.bulk.each(ids, lambda image_id: self.ingest.move(image_id, body.to + image_id[start:]))
        return MovedOut(results=[self._result(call, *one) async for one in moved])

    def _result(self, call: Call, image_id: str, result: ImageRecord | ImgserveError) -> MovedOne | NotMoved:
        if isinstance(result, ImgserveError):
            return NotMoved(id=image_id, problem=error_within(result, call.request))
        return MovedOne(id=image_id, image=ImageOut.of(result, self.prefix))
