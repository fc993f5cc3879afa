"""Endpoints of uploads: forms, raw bodies and URLs to fetch."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from starlette.requests import Request

from imgserve import errors
from imgserve.access.access import Access
from imgserve.access.keys import Caller, Scope
from imgserve.errors import BadRequest, ImageExists, ImgserveError, PreconditionFailed, TooLarge
from imgserve.http.headers import api_path, quoted_id
from imgserve.library.ingest import IngestService
from imgserve.library.upload import Accepted, Upload, UploadReceiver
from imgserve.originals.writable import new_id
from imgserve.web.api.embedding import WIDTHS
from imgserve.web.api.endpoint import JSON, Answer, Body, Call, Model, endpoint
from imgserve.web.api.images import ImageOut, Preconditions
from imgserve.web.api.messages import (
    ErrorWithin,
    Reply,
    ResponseModel,
    body_pieces,
    error_within,
    json_value,
    media_type,
    validated,
)
from imgserve.web.api.upload_body import (
    Address,
    Addresses,
    BodyReceiver,
    Placed,
    PlacedText,
    RawReplacement,
    RawUpload,
    ReceivedFile,
    ReplacementAddress,
    TextDetails,
    ToFetch,
    UploadDetails,
    check_length,
    file_id,
    form_values,
)

FORM = "multipart/form-data"
_FORM_ROOM = 1 << 20
"""Bytes of a form in addition to its file."""
_STATUSES = {"created": 201, "replaced": 200, "existing": 200}
NOT_STORED = errors.ReadOnlyOriginals, errors.StorageFull, errors.BadImageId, errors.ImageExists, errors.DuplicateImage
"""Why an original cannot be stored."""
_ERRORS = (
    *(*NOT_STORED, errors.TooLarge, errors.BodyTooLarge, errors.UnsupportedImage, errors.UnreadableImage),
    *(errors.LimitExceeded, errors.FetchFailed, errors.AddressRefused, errors.Busy),
)


class Alike(ResponseModel):
    """An image that looks like the uploaded one."""

    id: str
    """The image id."""
    distance: Annotated[int, Field(ge=0, le=64)]
    """The number of bits, of 64, in which the perceptual hashes differ."""


class UploadedOut(ResponseModel):
    """An uploaded image, or the existing image with the same bytes."""

    image: ImageOut
    """The record."""
    outcome: Literal["created", "replaced", "existing"]
    """The result; `existing` if an image with the same bytes exists."""
    examples: dict[str, str]
    """Paths of renditions: `default`, `width_400`, `square_200`, and a `srcset`."""
    similar: list[Alike]
    """Similar images, the most similar first."""

    @classmethod
    def of(cls, accepted: Accepted, prefix: str) -> Self:
        """Return the model of an accepted image; `prefix` is the path of all pictures."""
        record = accepted.record
        return cls(
            image=ImageOut.of(record, prefix),
            outcome=accepted.outcome,
            examples=examples(f"{prefix}/{quoted_id(record.image_id)}", record.width),
            similar=[Alike(id=other.record.image_id, distance=other.distance) for other in accepted.similar],
        )


class TakenFile(UploadedOut):
    """One of several files that was accepted."""

    status: int
    """The status of a single upload."""
    name: str
    """The file name or URL."""


class RefusedFile(ResponseModel):
    """One of several files that was rejected."""

    status: int
    """The status of a single upload."""
    name: str
    """The file name or URL."""
    problem: ErrorWithin
    """The error."""


class UploadsOut(ResponseModel):
    """The results of several files."""

    results: list[TakenFile | RefusedFile]
    """In the order of the files."""


def uploaded(request: Request, accepted: Accepted, prefix: str) -> Reply:
    """Return the reply for one image."""
    location = request.scope.get("root_path", "") + api_path(accepted.record.image_id)
    status, created = _STATUSES[accepted.outcome], (accepted.record.image_id,)
    return Reply(UploadedOut.of(accepted, prefix), status, {"location": location}, created)


def examples(path: str, width: int) -> dict[str, str]:
    """Return URLs of renditions, equal to those of `ImageUrls`; the width is the upright original's, or 0."""
    url = f"{path}?auto=format"
    widths = [one for one in WIDTHS if not width or one < width] + ([width] if 0 < width <= WIDTHS[-1] else [])
    return {
        "default": path,
        "width_400": f"{url}&width=400",
        "square_200": f"{url}&fit=crop&height=200&width=200",
        "srcset": ", ".join(f"{url}&width={one} {one}w" for one in widths),
    }


_BINARY = {"type": "string", "format": "binary"}
_LOCATION = {"Location": "The path of the record."}


def _bodies(form: type[TextDetails], file: dict[str, Any], addresses: Model, **placed: str) -> Sequence[Body]:
    """Return the types of body of uploads."""
    raw = {**_BINARY, "description": "The file; its type is detected from its content, not from the header."}
    example = {"url": "https://www.example.com/shoe.jpg", **placed}
    return Body(FORM, form, file=file), Body("application/octet-stream", raw), Body(JSON, addresses, example)


_SEVERAL = {
    "type": "array",
    "items": _BINARY,
    "minItems": 1,
    "description": "One or several files, with any field name; each has its own result.",
}
_UPLOAD_BODIES = _bodies(PlacedText, _SEVERAL, ToFetch, folder="shoes")
_ONE = {**_BINARY, "description": "The file, with any field name."}
_REPLACEMENT_BODIES = _bodies(TextDetails, _ONE, ReplacementAddress)
_CREATED = Answer("The image is new.", UploadedOut, headers=_LOCATION)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of one request."""

    files: int
    request_bytes: int


@dataclass(frozen=True, slots=True)
class Uploads:
    """Endpoints of uploads."""

    access: Access
    ingest: IngestService
    preconditions: Preconditions
    receiving: UploadReceiver
    limits: UploadLimits
    prefix: str

    @endpoint(
        "POST",
        "/api/images",
        Scope.UPLOAD,
        "Upload images",
        limited=True,
        bodies=_UPLOAD_BODIES,
        answers={
            200: Answer("An image with the same bytes exists.", UploadedOut, headers=_LOCATION),
            201: _CREATED,
            207: Answer("Several files, each with its result.", UploadsOut),
        },
        errors=_ERRORS,
    )
    async def create(self, query: RawUpload, call: Call) -> Reply:
        """Upload one image or several: a form with files, a body that is the file, or URLs to fetch.

        Descriptive fields are part of the form or the JSON; if the body is the file, they are in the query. Tags may be
        repeated or text with commas. An image becomes visible after it was decoded.
        """
        request, caller = call.request, call.caller
        kind = _kind(request, query)
        if kind == JSON:
            return await self._create_fetched(request, caller)
        if kind == FORM:
            return await self._create_from_form(request, caller)
        self._chosen_id(query)
        check_length(request, self.receiving.max_bytes, TooLarge)
        async with self._receiver(1) as receiver:
            file = await receiver.raw(body_pieces(request), query.filename)
            return uploaded(request, await self._accept(file, query, caller), self.prefix)

    @endpoint(
        "PUT",
        "/api/images/{image_id}",
        Scope.UPLOAD,
        "Upload an image under an id",
        bodies=_REPLACEMENT_BODIES,
        answers={
            200: Answer("The image was replaced, or has these bytes already.", UploadedOut, headers=_LOCATION),
            201: _CREATED,
        },
        headers={
            "If-Match": "Replace only if the record has this ETag.",
            "If-None-Match": "`*`: only if there is no image with this id.",
        },
        errors=(*_ERRORS, PreconditionFailed),
    )
    async def replace(self, image_id: str, query: RawReplacement, call: Call) -> Reply:
        """Upload one image under an id, or replace it; descriptive fields that are not sent stay."""
        request = call.request
        replace = request.headers.get("if-none-match", "").strip() != "*"
        image_id = await self.receiving.replaceable(image_id)
        if not replace and await self.receiving.is_taken(image_id):
            raise PreconditionFailed("There is an image with this id already.")
        await self.preconditions.check(image_id, request)
        try:
            accepted = await self._put(request, image_id, query, call.caller, replace=replace)
        except ImageExists as error:
            if replace:
                raise
            raise PreconditionFailed("There is an image with this id already.") from error
        return uploaded(request, accepted, self.prefix)

    async def _put(
        self, request: Request, image_id: str, query: RawReplacement, caller: Caller, *, replace: bool
    ) -> Accepted:
        kind, details = _kind(request, query), UploadDetails()
        async with self._receiver(1) as receiver:
            if kind == JSON:
                address = validated(ReplacementAddress, (await json_value(request))[0])
                file, details = await receiver.fetched(address.url), address
            elif kind == FORM:
                check_length(request, self.receiving.max_bytes + _FORM_ROOM, TooLarge)
                await receiver.form(body_pieces(request), request.headers["content-type"])
                details = validated(TextDetails, form_values(receiver.fields))
                if not receiver.files:
                    raise BadRequest("expected a file in the form")
                file = receiver.files[0]
            else:
                check_length(request, self.receiving.max_bytes, TooLarge)
                file, details = await receiver.raw(body_pieces(request), query.filename), query
            async with self.preconditions.hold(image_id, request):
                return await self._ingest_file(file, image_id, details, caller, replace=replace)

    async def _create_from_form(self, request: Request, caller: Caller) -> Reply:
        check_length(request, self.limits.request_bytes)
        async with self._receiver(self.limits.files) as receiver:
            await receiver.form(body_pieces(request), request.headers["content-type"])
            placed, files = validated(PlacedText, form_values(receiver.fields)), receiver.files
            if not files:
                raise BadRequest("expected at least one file in the form")
            if len(files) == 1:
                return uploaded(request, await self._accept(files[0], placed, caller), self.prefix)
            if placed.id is not None:
                raise BadRequest("id: expected one file, since an id names one image; use folder for several")
            uploads = [(file.name, partial(self._accept, file, placed, caller)) for file in files]
            return await self._several(request, caller, uploads)

    async def _create_fetched(self, request: Request, caller: Caller) -> Reply:
        value, _ = await json_value(request)
        if not (isinstance(value, dict) and "items" in value):
            return uploaded(request, await self._fetch(validated(Address, value), caller), self.prefix)
        items = validated(Addresses, value).items
        if len(items) > self.limits.files:
            raise BadRequest(f"items: expected at most {self.limits.files}")
        return await self._several(request, caller, [(item.url, partial(self._fetch, item, caller)) for item in items])

    async def _several(
        self, request: Request, caller: Caller, uploads: Iterable[tuple[str, Callable[[], Awaitable[Accepted]]]]
    ) -> Reply:
        """Do several uploads one after the other and reply with the result of each."""
        results, created = list[TakenFile | RefusedFile](), list[str]()
        for number, (name, upload) in enumerate(uploads):
            try:
                if number:
                    await self.access.count_upload(caller, request.client.host if request.client else "")
                accepted = await upload()
            except ImgserveError as error:
                results.append(RefusedFile(status=error.status, name=name, problem=error_within(error, request)))
            else:
                single = dict(UploadedOut.of(accepted, self.prefix))
                results.append(TakenFile(**single, status=_STATUSES[accepted.outcome], name=name))
                created.append(accepted.record.image_id)
        return Reply(UploadsOut(results=results), 207, created=tuple(created))

    async def _fetch(self, address: Address, caller: Caller) -> Accepted:
        self._chosen_id(address)
        async with self._receiver(1) as receiver:
            return await self._accept(await receiver.fetched(address.url), address, caller)

    async def _accept(self, file: ReceivedFile, placed: Placed, caller: Caller) -> Accepted:
        image_id = self._chosen_id(placed) if placed.folder is None else file_id(placed.folder, file.name)
        return await self._ingest_file(file, image_id, placed, caller, replace=False)

    async def _ingest_file(
        self, file: ReceivedFile, image_id: str | None, details: UploadDetails, caller: Caller, *, replace: bool
    ) -> Accepted:
        upload = Upload(
            file.take(),
            image_id,
            details.details(),
            caller.name,
            replace=replace,
            name=file.name,
            within=caller.prefixes,
        )
        return await self.ingest.accept(upload)

    def _chosen_id(self, placed: Placed) -> str | None:
        """Return the valid id that the client chose, or None; whether it is free is checked later, with the bytes."""
        if placed.id is None:
            return None
        image_id = new_id(placed.id)
        self.receiving.check_id(image_id)
        return image_id

    def _receiver(self, files: int) -> BodyReceiver:
        return BodyReceiver(self.receiving, files=files, request_bytes=self.limits.request_bytes)


def _kind(request: Request, query: UploadDetails) -> str:
    """Return the type of the body; only a body that is the file itself allows a query."""
    kind = media_type(request)
    if kind in {JSON, FORM} and query.model_fields_set:
        raise BadRequest("expected no query here: the fields of an image belong into the form or the JSON")
    return kind
