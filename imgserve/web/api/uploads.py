"""Endpoints by which images come in: forms, raw bodies, addresses to fetch. What an image is decides `ingest`."""

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from imgserve.errors import BadRequest, ImageExists, PreconditionFailed
from imgserve.model import Origin
from imgserve.originals.names import new_id
from imgserve.services.ingest import Accepted, Ingest
from imgserve.services.receiving import Receiving
from imgserve.web.api.upload_answers import UploadAnswers
from imgserve.web.api.upload_body import ArrivedFile, Collector
from imgserve.web.api.upload_fields import (
    Address,
    Addresses,
    Placed,
    RawReplacement,
    RawUpload,
    ReplacementAddress,
    Said,
    checked,
    form_values,
)
from imgserve.web.api.upload_names import file_id
from imgserve.web.api.upload_request import body_of, check_length, json_of, media_type

_FORM = "multipart/form-data"
_JSON = "application/json"
_FORM_ROOM = 1 << 20
"""What a form takes beside the one file in it."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much may come in one request; how large a file may be knows who receives it."""

    files: int
    request_bytes: int


@dataclass(frozen=True, slots=True)
class Uploads:
    """Takes images in."""

    ingest: Ingest
    receiving: Receiving
    limits: UploadLimits
    answers: UploadAnswers

    async def post(self, request: Request, who: str) -> Response:
        """Take one image or many, in whatever way they come; `who` is recorded with them."""
        kind = media_type(request)
        if kind == _JSON:
            return await self._post_addresses(request, who)
        if kind == _FORM:
            return await self._post_form(request, who)
        said = checked(RawUpload, form_values(request.query_params.multi_items()))
        check_length(request, self.receiving.max_bytes)
        self._chosen_id(said)
        async with self._collector(1) as collecting:
            file = await collecting.raw(body_of(request), said.filename)
            return self.answers.one(request, await self._accept(file, said, who))

    async def put(self, request: Request, image_id: str, who: str) -> Response:
        """Take one image under an id; what is there is replaced, unless the client says `If-None-Match: *`."""
        replace = request.headers.get("if-none-match", "").strip() != "*"
        image_id = new_id(image_id)
        self.receiving.check_id(image_id)
        if not replace and await self.receiving.is_taken(image_id):
            raise PreconditionFailed("There is an image with this id already.")
        try:
            accepted = await self._put(request, image_id, who, replace=replace)
        except ImageExists as error:
            if replace:
                raise
            raise PreconditionFailed("There is an image with this id already.") from error
        return self.answers.one(request, accepted)

    async def _put(self, request: Request, image_id: str, who: str, *, replace: bool) -> Accepted:
        kind = media_type(request)
        if kind == _JSON:
            address = checked(ReplacementAddress, await json_of(request))
            async with self._collector(1) as collecting:
                file = await collecting.fetched(address.url)
                return await self._let_in(file, image_id, address, who, replace=replace)
        if kind == _FORM:
            check_length(request, self.receiving.max_bytes + _FORM_ROOM)
            async with self._collector(1) as collecting:
                collected = await collecting.form(body_of(request), request.headers["content-type"])
                said = checked(Said, form_values(collected.fields))
                if not collected.files:
                    raise BadRequest("expected a file in the form")
                return await self._let_in(collected.files[0], image_id, said, who, replace=replace)
        raw = checked(RawReplacement, form_values(request.query_params.multi_items()))
        check_length(request, self.receiving.max_bytes)
        async with self._collector(1) as collecting:
            file = await collecting.raw(body_of(request), raw.filename)
            return await self._let_in(file, image_id, raw, who, replace=replace)

    async def _post_form(self, request: Request, who: str) -> Response:
        check_length(request, self.limits.request_bytes)
        async with self._collector(self.limits.files) as collecting:
            collected = await collecting.form(body_of(request), request.headers["content-type"])
            placed = checked(Placed, form_values(collected.fields))
            files = collected.files
            if not files:
                raise BadRequest("expected at least one file in the form")
            if len(files) == 1:
                return self.answers.one(request, await self._accept(files[0], placed, who))
            if placed.id is not None:
                raise BadRequest("id: expected one file, since an id names one image; folder takes several")
            takes = [(file.name, partial(self._accept, file, placed, who)) for file in files]
            return await self.answers.several(request, takes)

    async def _post_addresses(self, request: Request, who: str) -> Response:
        value = await json_of(request)
        if not (isinstance(value, dict) and "items" in value):
            return self.answers.one(request, await self._fetch(checked(Address, value), who))
        items = checked(Addresses, value).items
        if len(items) > self.limits.files:
            raise BadRequest(f"items: expected at most {self.limits.files}")
        return await self.answers.several(request, [(item.url, partial(self._fetch, item, who)) for item in items])

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
        return await self.ingest.accept(
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
        self.receiving.check_id(image_id)
        return image_id

    def _collector(self, files: int) -> Collector:
        return Collector(self.receiving, files=files, request_bytes=self.limits.request_bytes)
