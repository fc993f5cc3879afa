"""Endpoints by which images come in: forms, raw bodies, addresses to fetch. What an image is decides `ingest`."""

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request

from imgserve.access.keys import Scope
from imgserve.errors import (
    AddressRefused,
    BadImageId,
    BadRequest,
    BodyTooLarge,
    Busy,
    DuplicateImage,
    FetchFailed,
    ImageExists,
    LimitExceeded,
    PreconditionFailed,
    ReadOnlyOriginals,
    StorageFull,
    TooLarge,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.library.ingest import IngestService
from imgserve.library.results import Accepted
from imgserve.library.upload import UploadReceiver
from imgserve.model import Origin
from imgserve.originals.root import new_id
from imgserve.web.api.endpoint import JSON, endpoint
from imgserve.web.api.frame import Call
from imgserve.web.api.matching import Matching
from imgserve.web.api.reading import json_value
from imgserve.web.api.reply import Reply
from imgserve.web.api.upload_answers import UploadAnswers
from imgserve.web.api.upload_body import ArrivedFile, Collector
from imgserve.web.api.upload_fields import (
    Address,
    Addresses,
    Placed,
    PlacedText,
    RawReplacement,
    RawUpload,
    ReplacementAddress,
    Said,
    SaidText,
    form_values,
    read_said,
)
from imgserve.web.api.upload_kinds import REPLACEMENT_ANSWERS, REPLACEMENT_BODIES, UPLOAD_ANSWERS, UPLOAD_BODIES
from imgserve.web.api.upload_names import file_id
from imgserve.web.api.upload_request import FORM, body_of, check_length, media_type

_FORM_ROOM = 1 << 20
"""What a form takes beside the one file in it."""
_ERRORS = (
    *(
        BadImageId,
        TooLarge,
        BodyTooLarge,
        UnsupportedImage,
        UnreadableImage,
        LimitExceeded,
        DuplicateImage,
        ImageExists,
    ),
    *(FetchFailed, AddressRefused, ReadOnlyOriginals, StorageFull, Busy),
)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much may come in one request; how large a file may be knows who receives it."""

    files: int
    request_bytes: int


class Uploads:
    """Takes images in."""

    def __init__(
        self, ingest: IngestService, matching: Matching, receiving: UploadReceiver, limits: UploadLimits, *, prefix: str
    ) -> None:
        """Take the one door, who heeds If-Match, who opens files, how much may come, and where pictures are served."""
        self._ingest = ingest
        self._matching = matching
        self._receiving = receiving
        self._limits = limits
        self._answers = UploadAnswers(prefix)

    @endpoint(
        "POST",
        "/api/images",
        scope=Scope.WRITE,
        summary="Upload images",
        bodies=UPLOAD_BODIES,
        answers=UPLOAD_ANSWERS,
        errors=_ERRORS,
    )
    async def create(self, query: RawUpload, call: Call) -> Reply:
        """Take one image or many: as a form with files, as a body that is the file, or as addresses to fetch.

        What is said of a file stands in the form or the JSON, in the query where the body is the file. An image is
        decoded before anybody can see it.
        """
        request, who = call.request, call.caller.name
        kind = media_type(request)
        if kind == JSON:
            _refuse(query)
            return await self._create_fetched(request, who)
        if kind == FORM:
            _refuse(query)
            return await self._create_of_form(request, who)
        self._chosen_id(query)
        check_length(request, self._receiving.max_bytes, TooLarge)
        async with self._collector(1) as collecting:
            file = await collecting.raw(body_of(request), query.filename)
            return self._answers.one(request, await self._accept(file, query, who))

    @endpoint(
        "PUT",
        "/api/images/{image_id}",
        scope=Scope.WRITE,
        summary="Upload an image under an id",
        bodies=REPLACEMENT_BODIES,
        answers=REPLACEMENT_ANSWERS,
        headers={
            "If-Match": "Replace only while the record has this ETag.",
            "If-None-Match": "`*`: only if there is no image with this id.",
        },
        errors=(*_ERRORS, PreconditionFailed),
    )
    async def replace(self, image_id: str, query: RawReplacement, call: Call) -> Reply:
        """Take one image under an id, and replace what is there; what was said of that stays, unless said anew."""
        request = call.request
        replace = request.headers.get("if-none-match", "").strip() != "*"
        image_id = await self._receiving.replaceable(image_id)
        if not replace and await self._receiving.is_taken(image_id):
            raise PreconditionFailed("There is an image with this id already.")
        await self._matching.check(image_id, request)
        try:
            accepted = await self._put(request, image_id, query, call.caller.name, replace=replace)
        except ImageExists as error:
            if replace:
                raise
            raise PreconditionFailed("There is an image with this id already.") from error
        return self._answers.one(request, accepted)

    async def _put(
        self, request: Request, image_id: str, query: RawReplacement, who: str, *, replace: bool
    ) -> Accepted:
        kind, said = media_type(request), Said()
        async with self._collector(1) as collecting:
            if kind == JSON:
                _refuse(query)
                address = read_said(ReplacementAddress, (await json_value(request))[0])
                file, said = await collecting.fetched(address.url), address
            elif kind == FORM:
                _refuse(query)
                check_length(request, self._receiving.max_bytes + _FORM_ROOM, TooLarge)
                collected = await collecting.form(body_of(request), request.headers["content-type"])
                said = read_said(SaidText, form_values(collected.fields))
                file = _only(collected.files)
            else:
                check_length(request, self._receiving.max_bytes, TooLarge)
                file, said = await collecting.raw(body_of(request), query.filename), query
            async with self._matching.kept(image_id, request):
                return await self._let_in(file, image_id, said, who, replace=replace)

    async def _create_of_form(self, request: Request, who: str) -> Reply:
        check_length(request, self._limits.request_bytes)
        async with self._collector(self._limits.files) as collecting:
            collected = await collecting.form(body_of(request), request.headers["content-type"])
            placed = read_said(PlacedText, form_values(collected.fields))
            files = collected.files
            if not files:
                raise BadRequest("expected at least one file in the form")
            if len(files) == 1:
                return self._answers.one(request, await self._accept(files[0], placed, who))
            if placed.id is not None:
                raise BadRequest("id: expected one file, since an id names one image; folder takes several")
            takes = [(file.name, partial(self._accept, file, placed, who)) for file in files]
            return await self._answers.several(request, takes)

    async def _create_fetched(self, request: Request, who: str) -> Reply:
        value, _ = await json_value(request)
        if not (isinstance(value, dict) and "items" in value):
            return self._answers.one(request, await self._fetch(read_said(Address, value), who))
        items = read_said(Addresses, value).items
        if len(items) > self._limits.files:
            raise BadRequest(f"items: expected at most {self._limits.files}")
        return await self._answers.several(request, [(item.url, partial(self._fetch, item, who)) for item in items])

    async def _fetch(self, address: Address, who: str) -> Accepted:
        self._chosen_id(address)
        async with self._collector(1) as collecting:
            return await self._accept(await collecting.fetched(address.url), address, who)

    async def _accept(self, file: ArrivedFile, placed: Placed, who: str) -> Accepted:
        image_id = self._chosen_id(placed) if placed.folder is None else file_id(placed.folder, file.name)
        return await self._let_in(file, image_id, placed, who, replace=False)

    async def _let_in(
        self, file: ArrivedFile, image_id: str | None, said: Said, who: str, *, replace: bool
    ) -> Accepted:
        return await self._ingest.accept(
            file.taken(),
            image_id,
            details=said.details(),
            origin=Origin.UPLOAD,
            who=who,
            replace=replace,
            name=file.name,
        )

    def _chosen_id(self, placed: Placed) -> str | None:
        """Give the id that was chosen, if one was; whether it is taken shows later, since the bytes may be the same."""
        if placed.id is None:
            return None
        image_id = new_id(placed.id)
        self._receiving.check_id(image_id)
        return image_id

    def _collector(self, files: int) -> Collector:
        return Collector(self._receiving, files=files, request_bytes=self._limits.request_bytes)


def _only(files: list[ArrivedFile]) -> ArrivedFile:
    if not files:
        raise BadRequest("expected a file in the form")
    return files[0]


def _refuse(query: Said) -> None:
    """Refuse a query that would be overlooked."""
    if query.model_fields_set:
        raise BadRequest("expected no query here: what is said of an image stands in the form or in the JSON")
