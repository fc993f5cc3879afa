"""Endpoints that convert, transform and warm pictures."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, RootModel, model_validator
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.access import Access
from imgserve.access.keys import Caller, Scope
from imgserve.errors import (
    ImageNotFound,
    ImgserveError,
    MarkNotFound,
    OriginalChanged,
    PreconditionFailed,
    RangeNotSatisfiable,
    ReadOnlyOriginals,
    StorageFull,
    TooLarge,
    Unavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.formats import FORMATS
from imgserve.http.headers import AcceptClass, accept_class, content_disposition, file_name_for, quoted_id
from imgserve.images.archive import archive_name, zipped
from imgserve.images.convert import MOST_STEPS, BulkConverter, Converted, Converter, Steps
from imgserve.images.warm import Warmer
from imgserve.library.ingest import IngestService
from imgserve.library.upload import Accepted, Upload, UploadReceiver
from imgserve.records import Warmed
from imgserve.validation import stated
from imgserve.web.api.endpoint import JSON, Answer, Call, endpoint
from imgserve.web.api.images import ImageOut
from imgserve.web.api.messages import NDJSON, ErrorWithin, Reply, ResponseModel, bad_request, error_within
from imgserve.web.api.requests import SELECTED, RequestModel, Selected
from imgserve.web.api.uploads import NOT_STORED, UploadedOut, uploaded
from imgserve.web.original import Streamed, original_response
from imgserve.web.respond import picture_headers, timing_headers

picture_endpoint = partial(endpoint, tag="pictures")
_ZIP = "application/zip"
PICTURES = sorted(form.media_type for form in FORMATS.values() if form.writable)
_ORIGINALS = sorted(form.media_type for form in FORMATS.values())
NOT_CONVERTED = (ImageNotFound, MarkNotFound, TooLarge, UnsupportedImage, UnreadableImage, Unavailable)
_Query = Annotated[str, Field(max_length=4096)]


class Transforming(RequestModel):
    """The steps of a transform."""

    steps: Annotated[list[_Query], Field(min_length=1, max_length=MOST_STEPS)]
    """Parameters as in a URL; each step transforms the result of the previous one without loss.

    The single step `format=original` stands for the untouched original.
    """


class TransformOne(Transforming):
    """The steps and the output of a transform."""

    output: Literal["url", "picture", "original"] = "picture"
    """The URL of the picture, the picture itself, or a new original."""
    id: Annotated[str, Field(max_length=1000)] | None = None
    """The image id of the new original; by default it is derived from the content."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.id is not None and self.output != "original":
            raise stated('id: is only allowed with "output": "original"')
        return self


class TransformMany(Transforming, Selected):
    """A selection of images, and the steps and the output of their transform."""

    output: Literal["urls", "originals", "zip"] = "zip"
    """URLs, new originals with ids derived from the content, or a ZIP of the pictures."""


class WarmWhat(Selected):
    """A selection of images, and the renditions to make."""

    model_config = ConfigDict(
        json_schema_extra={
            **SELECTED,
            "anyOf": [
                {"required": [name], "properties": {name: {"minItems": 1}}} for name in ("presets", "transforms")
            ],
        }
    )

    presets: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=100)
    """Names of presets."""
    transforms: list[_Query] = Field(default=[], max_length=100)
    """Parameters as in a URL, such as `w=400&auto=format`."""

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not (self.presets or self.transforms):
            raise stated("expected presets or transforms")
        return self


class UrlOut(ResponseModel):
    """The URL of a picture."""

    url: str
    """The path and the shortest query."""


class TransformedOut(RootModel[UrlOut | UploadedOut]):
    """The URL of a picture, or the new original."""


class MadeOne(ResponseModel):
    """The result of one of several images."""

    id: str
    """The id of the original."""


class MadeUrl(UrlOut, MadeOne):
    """The URL of one of several pictures."""


class MadeOriginal(MadeOne):
    """One of several new originals."""

    image: ImageOut
    """The record of the new original."""
    outcome: Literal["created", "replaced", "existing"]
    """The result; `existing` if an image with the same bytes exists."""


class NotMade(MadeOne):
    """An image that could not be transformed."""

    problem: ErrorWithin
    """The error."""


class MadeManyOut(ResponseModel):
    """The results of a transform of many images."""

    results: list[MadeUrl | MadeOriginal | NotMade]
    """One for each image."""


class WarmedLine(ResponseModel, record=Warmed):
    """The progress of warming."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: str = ""
    problem: ErrorWithin | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Conversions:
    """Endpoints that make pictures of one image or of many."""

    converter: Converter
    bulk: BulkConverter
    ingest: IngestService
    receiving: UploadReceiver
    access: Access
    prefix: str

    @picture_endpoint(
        "GET",
        "/api/convert/{ext}/{image_id}",
        Scope.READ,
        "Convert an image",
        errors=NOT_CONVERTED,
        answers={200: Answer("The picture.", media_types=PICTURES)},
    )
    async def convert(self, image_id: str, ext: str, call: Call) -> Response:
        """Return a picture in the format of an extension; the query has the parameters of a picture URL.

        The picture is cached as for a request of its URL.
        """
        query = call.request.scope["query_string"].decode("latin-1")
        settings, count, sees = self.access.of_call(call.caller, image_id, call.address)
        accepted = accepted_formats(call.request)
        return picture_response(
            await self.converter.convert(image_id, ext, query, accepted, settings=settings, count=count, sees=sees)
        )

    @picture_endpoint(
        "GET",
        "/api/original/{image_id}",
        Scope.READ,
        "Download an original",
        errors=[
            *(ImageNotFound, UnsupportedImage, OriginalChanged, Unavailable),
            *(PreconditionFailed, RangeNotSatisfiable),
        ],
        answers={
            200: Answer("The bytes as supplied, with all metadata.", media_types=_ORIGINALS),
            206: Answer("The requested range of bytes.", media_types=_ORIGINALS),
            304: Answer("The original is the one that the client has.", media_types=[]),
        },
    )
    async def original(self, image_id: str, call: Call) -> Response:
        """Return the untouched original as an attachment, which no browser runs."""
        if call.request.scope["query_string"]:
            raise bad_request(["expected no query here"])
        original = await self.converter.original(image_id)
        disposition = content_disposition("attachment", original.image_id.rpartition("/")[2])

        async def read(first: int, last: int) -> AsyncGenerator[bytes]:
            return await self.converter.read_bytes(original, first, last)

        return await original_response(call.request.scope, original, read, {"content-disposition": disposition})

    @picture_endpoint(
        "POST",
        "/api/transform/{image_id}",
        Scope.MANAGE,
        "Transform an image in steps",
        errors=[*NOT_CONVERTED, *NOT_STORED],
        answers={
            200: Answer(
                "The picture or its URL; or the existing original with the same bytes.",
                TransformedOut,
                [JSON, *PICTURES],
            ),
            201: Answer("The new original.", UploadedOut, headers={"Location": "The path of the record."}),
        },
        example={"steps": ["rect=0.1,0.1,0.8,0.8", "width=400&format=webp"], "output": "picture"},
    )
    async def transform(self, image_id: str, body: TransformOne, call: Call) -> Reply | Response:
        """Transform an image in one step or several; the last one defines format and quality.

        A picture of several steps is not cached.
        """
        steps = self.converter.read(body.steps)
        if body.output == "url":
            return Reply(UrlOut(url=self._url(image_id, await self.converter.query(image_id, steps))))
        if body.output == "picture":
            return picture_response(
                await self.converter.picture(image_id, steps, call.caller.covers, accepted_formats(call.request))
            )
        accepted = await self._store(image_id, steps, body.id, call.caller)
        return uploaded(call.request, accepted, self.prefix)

    @picture_endpoint(
        "POST",
        "/api/transform",
        Scope.MANAGE,
        "Transform many images",
        errors=[ReadOnlyOriginals, StorageFull],
        answers={200: Answer("The result of each image, or a ZIP.", MadeManyOut, media_types=[JSON, _ZIP])},
        example={"query": {"prefix": "shoes/"}, "steps": ["width=1200&format=jpg"], "output": "zip"},
    )
    async def transform_many(self, body: TransformMany, call: Call) -> Reply | Response:
        """Transform many images; an error of one image does not affect the others.

        A ZIP is sent while it is made. Its file names are those of the images with other extensions; errors are in an
        `errors.json` at its end.
        """
        steps, request, selection = self.converter.read(body.steps), call.request, body.selection
        await self.bulk.check(selection)
        if body.output == "zip":
            accepted, sees = accepted_formats(request), call.caller.covers
            pictures = self.bulk.each(
                selection, lambda image_id: self.converter.picture(image_id, steps, sees, accepted)
            )
            disposition = content_disposition("attachment", archive_name())
            return Streamed(zipped(pictures), _ZIP, {"content-disposition": disposition})

        async def made(image_id: str) -> str | Accepted:
            if body.output == "urls":
                return await self.converter.query(image_id, steps)
            return await self._store(image_id, steps, None, call.caller)

        results = [self._result(request, *one) async for one in self.bulk.each(selection, made)]
        return Reply(MadeManyOut(results=results))

    def _result(
        self, request: Request, image_id: str, result: str | Accepted | ImgserveError
    ) -> MadeUrl | MadeOriginal | NotMade:
        if isinstance(result, ImgserveError):
            return NotMade(id=image_id, problem=error_within(result, request))
        if isinstance(result, str):
            return MadeUrl(id=image_id, url=self._url(image_id, result))
        return MadeOriginal(id=image_id, image=ImageOut.of(result.record, self.prefix), outcome=result.outcome)

    async def _store(self, image_id: str, steps: Steps, new_id: str | None, caller: Caller) -> Accepted:
        """Store a picture as a new original; without an id, its id is derived from the content."""
        if new_id is not None:
            self.receiving.check_id(new_id)
        converted = await self.converter.picture(image_id, steps, caller.covers)
        async with self.receiving.file() as writer:
            await writer.write(converted.rendition.data)
            incoming = await writer.hand_over()
        stem = image_id.rpartition("/")[2].rpartition(".")[0]
        details = {"metadata": {"made_from": image_id, "steps": list(steps.queries)}}
        name = f"{stem}.{converted.extension}"
        return await self.ingest.accept(
            Upload(incoming, new_id, details, caller.name, name=name, within=caller.prefixes)
        )

    def _url(self, image_id: str, query: str) -> str:
        path = f"{self.prefix}/{quoted_id(image_id)}"
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class Warming:
    """The endpoint that warms the cache."""

    warmer: Warmer

    @picture_endpoint(
        "POST",
        "/api/warm",
        Scope.MANAGE,
        "Make renditions ahead of requests",
        answers={200: Answer("Lines of JSON as work proceeds, the last with `finished`.", WarmedLine, [NDJSON])},
        example={"query": {"prefix": "shoes/"}, "presets": [], "transforms": ["w=400&auto=format"]},
    )
    async def warm(self, body: WarmWhat, call: Call) -> Response:
        """Make renditions for all classes of browsers, whenever no request is waiting.

        Cached renditions are skipped, so the same request continues after an interruption. Warming stops when the
        caller disconnects.
        """
        queries = self.warmer.queries(body.presets, body.transforms)
        total = await self.warmer.total(body.selection, queries)
        progress = self.warmer.warm(body.selection, queries, total=total)
        return Streamed(_progress_lines(progress, call.request), NDJSON, {})


async def _progress_lines(progress: AsyncGenerator[Warmed], request: Request) -> AsyncGenerator[bytes]:
    async for one in progress:
        line: dict[str, Any] = {"done": one.done, "total": one.total, "failed": one.failed, "made": one.made}
        line |= {"finished": True} if one.finished else {"id": one.image_id}
        if one.error is not None:
            line["problem"] = error_within(one.error, request)
        # Without the fields that are not set.
        yield json.dumps(WarmedLine.model_validate(line).model_dump(mode="json", exclude_unset=True)).encode() + b"\n"


def accepted_formats(request: Request) -> AcceptClass:
    """Return the modern formats that a client accepts."""
    return accept_class(", ".join(request.headers.getlist("accept")))


def picture_response(converted: Converted) -> Response:
    """Return the response with a picture."""
    name = file_name_for(converted.original.image_id, converted.extension)
    response = Response(converted.rendition.data)
    response.raw_headers += picture_headers(converted.rendition, content_disposition("inline", name), converted.notes)
    if converted.served is not None:
        response.raw_headers += timing_headers(converted.served)
    return response
