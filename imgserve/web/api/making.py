"""Endpoints that make pictures for programs: converted, transformed in steps, of one image or of many."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.client.address import quoted_id
from imgserve.errors import (
    BadImageId,
    DuplicateImage,
    ImageExists,
    ImageNotFound,
    ImgserveError,
    ReadOnlyOriginals,
    StorageFull,
    TooLarge,
    Unavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.formats import FORMATS
from imgserve.http.headers import content_disposition, file_name_for
from imgserve.http.negotiation import AcceptClass, accept_class
from imgserve.library.archive import BulkConverter, archive_name
from imgserve.library.convert import Converter, Made
from imgserve.library.results import Accepted
from imgserve.model import Rendition
from imgserve.web.api.endpoint import JSON, Answer, endpoint
from imgserve.web.api.error_models import error_within
from imgserve.web.api.frame import Call
from imgserve.web.api.making_models import (
    MadeManyOut,
    MadeOriginal,
    MadeUrl,
    NotMade,
    TransformedOut,
    TransformMany,
    TransformOne,
    UrlOut,
)
from imgserve.web.api.models import ImageOut
from imgserve.web.api.reply import Reply
from imgserve.web.api.streams import Streamed
from imgserve.web.api.upload_answers import UploadAnswers
from imgserve.web.api.upload_models import UploadedOut
from imgserve.web.respond import picture_headers

_ZIP = "application/zip"
_PICTURES = sorted(form.media_type for form in FORMATS.values() if form.writable)
_NOT_MADE = (ImageNotFound, TooLarge, UnsupportedImage, UnreadableImage, Unavailable)
_NOT_KEPT = (ReadOnlyOriginals, BadImageId, ImageExists, DuplicateImage, StorageFull)


class MakingPictures:
    """Makes pictures."""

    def __init__(self, making: Converter, bulk: BulkConverter, *, prefix: str) -> None:
        """Take who makes pictures of one image and of many, and where pictures are served."""
        self._making = making
        self._bulk = bulk
        self._prefix = prefix
        self._answers = UploadAnswers(prefix)

    @endpoint(
        "GET",
        "/api/convert/{ext}/{image_id}",
        scope=Scope.READ,
        summary="Convert an image",
        tag="pictures",
        errors=_NOT_MADE,
        answers={200: Answer("The picture.", media_types=_PICTURES)},
    )
    async def convert(self, image_id: str, ext: str, call: Call) -> Response:
        """Make a picture in the format of an extension; the query takes the parameters of a picture's URL.

        It is kept as if its URL had been asked for.
        """
        query = call.request.scope["query_string"].decode("latin-1")
        made = await self._making.convert(image_id, ext, query, _accepted(call.request))
        return _picture(made)

    @endpoint(
        "POST",
        "/api/transform/{image_id}",
        scope=Scope.WRITE,
        summary="Transform an image in steps",
        tag="pictures",
        errors=[*_NOT_MADE, *_NOT_KEPT],
        answers={
            200: Answer(
                "The picture, or its address; or the original that has these bytes already.",
                TransformedOut,
                [JSON, *_PICTURES],
            ),
            201: Answer("The new original.", UploadedOut, headers={"Location": "Where its record is."}),
        },
        example={"steps": ["rect=0.1,0.1,0.8,0.8", "width=400&format=webp"], "output": "picture"},
    )
    async def transform(self, image_id: str, body: TransformOne, call: Call) -> Reply | Response:
        """Make a picture in one step or several, of which the last decides format and quality.

        The picture of several steps is not kept.
        """
        steps = self._making.read(body.steps)
        if body.output == "url":
            return Reply(UrlOut(url=self._url(image_id, await self._making.query(image_id, steps))))
        if body.output == "picture":
            return _picture(await self._making.picture(image_id, steps, _accepted(call.request)))
        accepted = await self._making.original(image_id, steps, new_id=body.id, who=call.caller.name)
        return self._answers.one(call.request, accepted)

    @endpoint(
        "POST",
        "/api/transform",
        scope=Scope.WRITE,
        summary="Transform many images",
        tag="pictures",
        errors=[ReadOnlyOriginals, StorageFull],
        answers={
            200: Answer("What was made, of each image by itself; or a ZIP.", MadeManyOut, media_types=[JSON, _ZIP])
        },
        example={"query": {"prefix": "shoes/"}, "steps": ["width=1200&format=jpg"], "output": "zip"},
    )
    async def transform_many(self, body: TransformMany, call: Call) -> Reply | Response:
        """Make pictures of many images; one that fails spoils no other.

        A ZIP comes while it is made. Its names are those of the images with other extensions; what could not be made
        is told in an `errors.json` at its end.
        """
        steps, request = self._making.read(body.steps), call.request
        await self._bulk.check(body.selection)
        if body.output == "zip":
            pieces = self._bulk.archive(body.selection, steps, _accepted(request))
            return Streamed(pieces, _ZIP, {"content-disposition": content_disposition("attachment", archive_name())})
        if body.output == "urls":
            found = await self._bulk.queries(body.selection, steps)
            return Reply(MadeManyOut(results=self._addresses(request, found)))
        kept = await self._bulk.originals(body.selection, steps, who=call.caller.name)
        return Reply(MadeManyOut(results=self._originals(request, kept)))

    def _addresses(self, request: Request, found: Iterable[tuple[str, str | ImgserveError]]) -> list[MadeUrl | NotMade]:
        return [
            NotMade(id=image_id, problem=error_within(query, request))
            if isinstance(query, ImgserveError)
            else MadeUrl(id=image_id, url=self._url(image_id, query))
            for image_id, query in found
        ]

    def _originals(
        self, request: Request, kept: Iterable[tuple[str, Accepted | ImgserveError]]
    ) -> list[MadeOriginal | NotMade]:
        return [
            NotMade(id=image_id, problem=error_within(accepted, request))
            if isinstance(accepted, ImgserveError)
            else MadeOriginal(id=image_id, image=ImageOut.of(accepted.record, self._prefix), outcome=accepted.outcome)
            for image_id, accepted in kept
        ]

    def _url(self, image_id: str, query: str) -> str:
        path = f"{self._prefix}/{quoted_id(image_id)}"
        return f"{path}?{query}" if query else path


def _accepted(request: Request) -> AcceptClass:
    return accept_class(", ".join(request.headers.getlist("accept")))


def _picture(made: Made) -> Response:
    rendition: Rendition = made.rendition
    name = file_name_for(made.original.image_id, made.extension)
    response = Response(rendition.data)
    response.raw_headers += picture_headers(rendition, content_disposition("inline", name), made.notes)
    return response
