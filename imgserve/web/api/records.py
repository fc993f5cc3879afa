"""The endpoints of images: found, told, changed, deleted."""

from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.catalog import Images, ImageSearch
from imgserve.errors import (
    BadCursor,
    ImageNotFound,
    PreconditionFailed,
    ReadOnlyOriginals,
    StorageFull,
)
from imgserve.library.ingest import IngestService
from imgserve.model import ImageRecord
from imgserve.web.api.asked import Changes, Likeness, Listing, Paging
from imgserve.web.api.endpoint import Answer, endpoint
from imgserve.web.api.frame import Call
from imgserve.web.api.matching import Matching, etag
from imgserve.web.api.mistakes import bad_request
from imgserve.web.api.models import DuplicatesOut, ImageOut, ImagesOut, SimilarOne, SimilarOut
from imgserve.web.api.paths import moved
from imgserve.web.api.reply import Reply
from imgserve.web.api.upkeep_models import DeletedOne, DeletedOut, TagOut, TagsOut

_ETAG = {"ETag": "Changes with the record."}
_IF_MATCH = {"If-Match": "Do this only while the record has this ETag."}
_TAGS = 1000


class Records:
    """Tells and changes records."""

    def __init__(
        self, images: Images, search: ImageSearch, ingest: IngestService, matching: Matching, *, prefix: str
    ) -> None:
        """Take where records are, who finds and who changes them, who heeds If-Match, and where pictures are served."""
        self._images = images
        self._search = search
        self._ingest = ingest
        self._prefix = prefix
        self._matching = matching

    @endpoint("GET", "/api/images", scope=Scope.READ, summary="List images", errors=[BadCursor])
    async def list(self, query: Listing) -> ImagesOut:
        """Find images by what is true of all of them, page by page.

        What comes or goes between two pages moves nothing else.
        """
        page = await self._search.page(
            query.query(), sort=query.key, descending=query.descending, limit=query.limit, cursor=query.cursor
        )
        return ImagesOut(images=[self._told(record) for record in page.records], next=page.cursor)

    @endpoint(
        "GET",
        "/api/images/{image_id}",
        scope=Scope.READ,
        summary="Get the record of an image",
        errors=[ImageNotFound],
        answers={
            200: Answer("The record.", ImageOut, headers=_ETAG),
            308: Answer("An action at its old address; there is no image with this id.", media_types=[]),
        },
    )
    async def get(self, image_id: str, call: Call) -> Reply | Response:
        """Tell what is known of an image."""
        record = await self._images.get(image_id)
        if record is None and (redirect := moved(call.request.scope)):
            return redirect
        if call.request.scope["query_string"]:
            raise bad_request(["expected no query here"])
        if record is None:
            raise ImageNotFound
        return self._reply(record)

    @endpoint(
        "PATCH",
        "/api/images/{image_id}",
        scope=Scope.WRITE,
        summary="Change the record of an image",
        errors=[ImageNotFound, PreconditionFailed],
        headers=_IF_MATCH,
        answers={200: Answer("The record as it is then.", ImageOut, headers=_ETAG)},
        example={"title": "Red shoe", "tags": ["shoe", "summer"], "focal_point": {"x": 0.5, "y": 0.4}},
    )
    async def change(self, image_id: str, body: Changes, call: Call) -> Reply:
        """Change what people say of an image; pictures follow a new focal point at once."""
        async with self._matching.hold(image_id):
            known = await self._expected(image_id, call.request)
            return self._reply(await self._ingest.change(image_id, body.fields(dict(known.metadata))))

    @endpoint(
        "DELETE",
        "/api/images/{image_id}",
        scope=Scope.DELETE,
        summary="Delete an image",
        errors=[ImageNotFound, PreconditionFailed, ReadOnlyOriginals, StorageFull],
        headers=_IF_MATCH,
    )
    async def delete(self, image_id: str, call: Call) -> DeletedOut:
        """Move an original to the trash, with all that is known of it; where there is no trash it is gone for good."""
        async with self._matching.hold(image_id):
            if "if-match" in call.request.headers:
                await self._expected(image_id, call.request)
            return DeletedOut(deleted=[DeletedOne.of(await self._ingest.delete(image_id))])

    @endpoint(
        "GET",
        "/api/similar/{image_id}",
        scope=Scope.READ,
        summary="Find images that look like one",
        errors=[ImageNotFound],
    )
    async def similar(self, image_id: str, query: Likeness) -> SimilarOut:
        """Compare the perceptual hash of an image with all others; it finds the same picture in other sizes."""
        record = await self._known(image_id)
        if record.perceptual_hash is None:
            return SimilarOut(images=[])
        # One more than wanted, for the image itself is among them.
        found = await self._search.similar(record.perceptual_hash, distance=query.distance, limit=query.limit + 1)
        others = [one for one in found if one.record.image_id != image_id][: query.limit]
        return SimilarOut(images=[SimilarOne(distance=one.distance, image=self._told(one.record)) for one in others])

    @endpoint("GET", "/api/duplicates", scope=Scope.READ, summary="List images of the same bytes", errors=[BadCursor])
    async def duplicates(self, query: Paging) -> DuplicatesOut:
        """List groups of images whose originals are the same, byte by byte."""
        found = await self._search.duplicates(limit=query.limit, cursor=query.cursor)
        return DuplicatesOut(groups=[[self._told(one) for one in group] for group in found.groups], next=found.cursor)

    @endpoint("GET", "/api/tags", scope=Scope.READ, summary="List the tags in use")
    async def tags(self) -> TagsOut:
        """Tell the thousand tags that most images have, and how many have each."""
        counts = await self._search.tag_counts(_TAGS)
        return TagsOut(tags=[TagOut(tag=tag, images=number) for tag, number in counts.items()])

    def _told(self, record: ImageRecord) -> ImageOut:
        return ImageOut.of(record, self._prefix)

    def _reply(self, record: ImageRecord) -> Reply:
        return Reply(self._told(record), headers={"etag": etag(record)})

    async def _known(self, image_id: str) -> ImageRecord:
        record = await self._images.get(image_id)
        if record is None:
            raise ImageNotFound
        return record

    async def _expected(self, image_id: str, request: Request) -> ImageRecord:
        """Read a record that is about to change, if it is as the caller requires."""
        record = await self._matching.expected(image_id, request)
        if record is None:
            raise ImageNotFound
        return record
