"""Endpoints of image records: list, get, change, delete, similar images and duplicates."""

import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import ConfigDict, Field, JsonValue, create_model, model_validator
from starlette.requests import Request
from starlette.responses import Response

from imgserve.access.keys import Scope
from imgserve.catalog import Images, ImageSearch, Sort
from imgserve.errors import BadCursor, ImageNotFound, PreconditionFailed, ReadOnlyOriginals, StorageFull
from imgserve.formats import FORMATS
from imgserve.http.conditional import match_holds
from imgserve.http.headers import quoted_id
from imgserve.library.ingest import IngestService
from imgserve.library.record import NameLocks
from imgserve.model import Doc, Face, FocalPoint, ImageRecord, Origin, described_fields
from imgserve.records import Deleted
from imgserve.validation import stated
from imgserve.web.api.endpoint import Answer, Call, endpoint
from imgserve.web.api.messages import Next, Reply, ResponseModel, bad_request
from imgserve.web.api.requests import (
    EMPTY,
    TEXT_TYPES,
    Cursor,
    Distance,
    Filters,
    FocalPointIn,
    Limit,
    Metadata,
    Paging,
    RequestModel,
    Tags,
    editable_fields,
    merged_metadata,
)
from imgserve.web.api.router import moved, redirect

_EXAMPLE: dict[str, JsonValue] = {
    "id": "shoes/red.jpg",
    "version": "18a3f0c2b1d4e000_2f41a",
    "url": "/img/shoes/red.jpg",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "format": "jpg",
    "media_type": "image/jpeg",
    "width": 4000,
    "height": 3000,
    "frames": 1,
    "bytes": 193562,
    "alpha": False,
    "color_space": "srgb",
    "dominant_color": "#b4483a",
    "palette": ["#b4483a", "#f2efe9", "#26303a"],
    "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    "thumbhash": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    "perceptual_hash": "e1c3870e1c3870e1",
    "title": "Red shoe",
    "alt": "A red running shoe from the side",
    "description": "",
    "tags": ["shoe", "summer"],
    "metadata": {"sku": "R-17"},
    "focal_point": {"x": 0.5, "y": 0.4},
    "faces": [{"x": 0.4, "y": 0.2, "width": 0.1, "height": 0.15}],
    "origin": "upload",
    "who": "admin",
    "created": "2026-01-31T12:00:00Z",
    "changed": "2026-02-01T08:30:00Z",
}
ETAG = {"ETag": "Changes with the record."}
IF_MATCH = {"If-Match": "Only if the record has this ETag."}


class PointOut(ResponseModel):
    """The point that crops keep, as fractions of the upright image from its upper left corner."""

    x: Annotated[float, Field(ge=0, le=1)]
    """0 at the left, 1 at the right."""
    y: Annotated[float, Field(ge=0, le=1)]
    """0 at the top, 1 at the bottom."""


class FaceOut(PointOut):
    """A box around a face, as fractions of the upright image; `x` and `y` are its upper left corner."""

    width: Annotated[float, Field(ge=0, le=1)]
    height: Annotated[float, Field(ge=0, le=1)]


_DOCS = described_fields(ImageRecord, Doc)
_NAMES = {name: _DOCS[name].name for name in ("image_id", "version", *_DOCS)}
"""Names of fields in the API by those of `ImageRecord`."""
_TYPES: Mapping[object, Any] = {
    Mapping[str, Any]: dict[str, Any],
    FocalPoint | None: PointOut | None,
    Origin: Literal["upload", "watch", "import"],
    tuple[str, ...]: list[str],
    tuple[Face, ...]: list[FaceOut],
    bytes: str,
    "perceptual_hash": str | None,
}
"""Types of fields that differ from those of `ImageRecord`, by type or name."""
_DERIVED = {
    "version": ("url", (str, Field(description="The path of the picture, without parameters."))),
    "format": ("media_type", (str, Field(description="The media type of the original."))),
}
"""Fields that follow a field of the record."""


def _image_fields() -> dict[str, Any]:
    hints, model = get_type_hints(ImageRecord), dict[str, Any]()
    for name, public in _NAMES.items():
        kind = _TYPES.get(name) or _TYPES.get(hints[name], hints[name])
        model[public] = (kind, Field(description=_DOCS[name].text))
        if name in _DERIVED:
            model.update([_DERIVED[name]])
    return model


_ImageFields = create_model("_ImageFields", __base__=ResponseModel, **_image_fields())


class ImageOut(_ImageFields):
    """The record of an image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    @classmethod
    def of(cls, record: ImageRecord, prefix: str) -> Self:
        """Return the model of a record; `prefix` is the path of all pictures."""
        values = {public: getattr(record, name) for name, public in _NAMES.items()}
        point, likeness = record.focal_point, record.perceptual_hash
        values |= {
            "url": f"{prefix}/{quoted_id(record.image_id)}",
            "media_type": FORMATS[record.format].media_type if record.format in FORMATS else "application/octet-stream",
            "thumbhash": base64.b64encode(record.thumbhash).decode(),
            "perceptual_hash": None if likeness is None else f"{likeness:016x}",
            "tags": list(record.tags),
            "metadata": dict(record.metadata),
            "faces": [FaceOut(**asdict(face)) for face in record.faces],
            "focal_point": None if point is None else PointOut(x=point.x, y=point.y),
            "origin": record.origin.value,
        }
        return cls(**values)


class ImagesOut(ResponseModel):
    """A page of images."""

    images: list[ImageOut]
    """In the requested order."""
    next: Next


class SimilarOne(ResponseModel):
    """A similar image."""

    distance: Annotated[int, Field(ge=0, le=64)]
    """The number of bits, of 64, in which the perceptual hashes differ."""
    image: ImageOut
    """The similar image."""


class SimilarOut(ResponseModel):
    """Images that look alike."""

    images: list[SimilarOne]
    """The most similar first."""


class DuplicatesOut(ResponseModel):
    """A page of groups of images with the same bytes."""

    groups: list[list[ImageOut]]
    """Groups of at least two images."""
    next: Next


class DeletedOne(ResponseModel, record=Deleted):
    """A deleted image."""


class DeletedOut(ResponseModel):
    """Deleted images."""

    deleted: list[DeletedOne]
    """Each image that existed."""


class Listing(Filters):
    """Filters, order and page of a list of images."""

    sort: Literal["created", "changed", "id", "bytes", "pixels"] = "created"
    """The order of the images; equal ones are ordered by image id."""
    order: Literal["asc", "desc"] | None = None
    """The direction; by default ascending for `id` and descending for all others."""
    limit: Limit = 50
    """Maximum images of the page."""
    cursor: Cursor = None
    """The `next` of the previous page."""

    @property
    def descending(self) -> bool:
        """Whether the order is descending."""
        return self.order == "desc" if self.order else self.sort != "id"


class Likeness(RequestModel):
    """How similar images have to be."""

    distance: Distance = 10
    """The number of bits, of 64, in which the perceptual hashes may differ."""
    limit: Limit = 50
    """Maximum images."""


_CHANGE_TYPES: Mapping[object, Any] = {
    **TEXT_TYPES,
    tuple[str, ...]: Tags,
    Mapping[str, Any]: Metadata,
    FocalPoint | None: FocalPointIn,
}
_ChangeFields = create_model("_ChangeFields", __base__=RequestModel, **editable_fields(_CHANGE_TYPES, patch=True))


class Changes(_ChangeFields):
    """A JSON Merge Patch (RFC 7396) of a record: omitted fields stay, null clears a field or an entry of metadata."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise stated(f"expected something to change: {', '.join(Changes.model_fields)}")
        return self

    def fields(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed fields of a record with this metadata; raise BadRequest if that would become too long."""
        changes = {name: value for name, value in dict(self).items() if name in self.model_fields_set}
        for name, value in changes.items():
            if value is None:
                changes[name] = EMPTY[name]
            elif isinstance(value, FocalPointIn):
                changes[name] = value.point
            elif isinstance(value, dict):
                changes[name] = merged_metadata(metadata, value)
        return changes


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Checks `If-Match` on records and lets one request at a time change a record."""

    images: Images
    locks: NameLocks = field(default_factory=NameLocks)

    async def record(self, image_id: str, request: Request) -> ImageRecord | None:
        """Return the record, or None; raise PreconditionFailed if the record does not match."""
        record = await self.images.get(image_id)
        if record is not None and not match_holds(request.headers, etag(record)):
            raise PreconditionFailed("The record has changed.")
        return record

    async def check(self, image_id: str, request: Request) -> None:
        """Check the header, if there is one; raise PreconditionFailed for another record, or for none."""
        if "if-match" in request.headers and await self.record(image_id, request) is None:
            raise PreconditionFailed("There is no image with this id.")

    @contextlib.asynccontextmanager
    async def hold(self, image_id: str, request: Request) -> AsyncIterator[None]:
        """Check again, and lock the record, if the request has the header."""
        if "if-match" not in request.headers:
            yield
            return
        async with self.locks.hold(image_id):
            await self.check(image_id, request)
            yield


def etag(record: ImageRecord) -> str:
    """Return the entity tag of a record: its version and the time of its last change."""
    return f'"{record.version}-{int(record.changed.timestamp() * 1e6):x}"'


@dataclass(frozen=True, slots=True)
class Records:
    """Endpoints of image records."""

    images: Images
    search: ImageSearch
    ingest: IngestService
    preconditions: Preconditions
    prefix: str

    @endpoint("GET", "/api/images", Scope.READ, "List images", errors=[BadCursor])
    async def list(self, query: Listing) -> ImagesOut:
        """Return a page of the images that match all filters.

        Images that are added or deleted between two pages do not move others.
        """
        page = await self.search.page(
            query.query(), sort=Sort(query.sort), descending=query.descending, limit=query.limit, cursor=query.cursor
        )
        return ImagesOut(images=[ImageOut.of(record, self.prefix) for record in page.items], next=page.cursor)

    @endpoint(
        "GET",
        "/api/images/{image_id}",
        Scope.READ,
        "Get the record of an image",
        errors=[ImageNotFound],
        answers={
            200: Answer("The record.", ImageOut, headers=ETAG),
            308: Answer("The image was moved, or this is an action at its path of earlier versions.", media_types=[]),
        },
    )
    async def get(self, image_id: str, call: Call) -> Reply | Response:
        """Return the record of an image."""
        record = await self.images.get(image_id)
        target = await self.ingest.moved_to(image_id) if record is None else None
        if target and call.caller.covers(target):
            return redirect(call.request.scope, f"/api/images/{quoted_id(target)}")
        if record is None and (response := moved(call.request.scope)):
            return response
        if call.request.scope["query_string"]:
            raise bad_request(["expected no query here"])
        return self._reply(_existing(record))

    @endpoint(
        "PATCH",
        "/api/images/{image_id}",
        Scope.MANAGE,
        "Change the record of an image",
        errors=[ImageNotFound, PreconditionFailed],
        headers=IF_MATCH,
        answers={200: Answer("The changed record.", ImageOut, headers=ETAG)},
        example={"title": "Red shoe", "tags": ["shoe", "summer"], "focal_point": {"x": 0.5, "y": 0.4}},
    )
    async def change(self, image_id: str, body: Changes, call: Call) -> Reply:
        """Change the descriptive fields of an image. A new focal point takes effect at once."""
        async with self.preconditions.locks.hold(image_id):
            record = _existing(await self.preconditions.record(image_id, call.request))
            return self._reply(await self.ingest.change(image_id, body.fields(record.metadata)))

    @endpoint(
        "DELETE",
        "/api/images/{image_id}",
        Scope.MANAGE,
        "Delete an image",
        errors=[ImageNotFound, PreconditionFailed, ReadOnlyOriginals, StorageFull],
        headers=IF_MATCH,
    )
    async def delete(self, image_id: str, call: Call) -> DeletedOut:
        """Move an original with its record to the trash; without a trash it is deleted permanently."""
        async with self.preconditions.locks.hold(image_id):
            if "if-match" in call.request.headers:
                _existing(await self.preconditions.record(image_id, call.request))
            return DeletedOut.model_validate({"deleted": [await self.ingest.delete(image_id)]})

    @endpoint(
        "GET", "/api/similar/{image_id}", Scope.READ, "Find similar images", limited=False, errors=[ImageNotFound]
    )
    async def similar(self, image_id: str, query: Likeness) -> SimilarOut:
        """Compare the perceptual hash of an image with all others; this finds the same picture in other sizes."""
        record = _existing(await self.images.get(image_id))
        if record.perceptual_hash is None:
            return SimilarOut(images=[])
        # One more, since the image itself is found as well.
        found = await self.search.similar(record.perceptual_hash, distance=query.distance, limit=query.limit + 1)
        others = [one for one in found if one.record.image_id != image_id][: query.limit]
        return SimilarOut(
            images=[SimilarOne(distance=one.distance, image=ImageOut.of(one.record, self.prefix)) for one in others]
        )

    @endpoint("GET", "/api/duplicates", Scope.READ, "List duplicates", errors=[BadCursor])
    async def duplicates(self, query: Paging) -> DuplicatesOut:
        """Return groups of images whose originals have the same bytes."""
        found = await self.search.duplicates(limit=query.limit, cursor=query.cursor)
        return DuplicatesOut(
            groups=[[ImageOut.of(one, self.prefix) for one in group] for group in found.items], next=found.cursor
        )

    def _reply(self, record: ImageRecord) -> Reply:
        return Reply(ImageOut.of(record, self.prefix), headers={"etag": etag(record)})


def _existing(record: ImageRecord | None) -> ImageRecord:
    if record is None:
        raise ImageNotFound
    return record
