"""Response models shared by several endpoints, and the responses that carry them."""

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from imgserve.errors import ImgserveError
from imgserve.http.problem import problem_members
from imgserve.web.api.endpoint import JSON
from imgserve.web.request_log import KEY, RequestRecord

NDJSON = "application/x-ndjson"
_NOSNIFF = {"x-content-type-options": "nosniff"}


class ResponseModel(BaseModel):
    """The base of all response models, which can be read from objects; later releases may add fields."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        validate_by_name=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


Next = Annotated[str | None, Field(description="The `cursor` of the next page; null on the last page.")]


class ErrorOut(ResponseModel):
    """An error as in RFC 9457. The code is for programs, the detail for people."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str
    """Link to the documentation of the code."""
    title: str
    """The code in words."""
    status: int
    """HTTP status."""
    detail: str
    """One sentence about the cause."""
    instance: str
    """Path of the request."""
    code: str
    """Stable identifier of the error."""
    request_id: str
    """Id of the request in the log."""
    mistakes: list[str] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Every mistake in the request, one sentence each."""


class ErrorWithin(ErrorOut):
    """The error of one of several items."""

    model_config = ConfigDict(extra="allow")


def error_within(error: ImgserveError, request: Request) -> ErrorWithin:
    """Return an error as part of a response."""
    record: RequestRecord = request.scope[KEY]
    members = problem_members(error, instance=request.scope["path"], request_id=record.request_id)
    return ErrorWithin.model_validate(members)


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON response as a value that can be stored and sent again."""

    content: BaseModel | None
    """None for no body."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def body(self) -> bytes:
        """The content as JSON in ASCII; bytes of image ids that are not UTF-8 are lone surrogates."""
        if self.content is None:
            return b""
        return json.dumps(self.content.model_dump(mode="json", by_alias=True), separators=(",", ":")).encode("ascii")


def response(status: int, headers: Mapping[str, str], body: bytes) -> Response:
    """Return a JSON response that no cache stores, since it was sent to the owner of a key."""
    return Response(body, status, {**headers, "cache-control": "no-store", **_NOSNIFF}, JSON if body else None)


def as_response(reply: Reply | Response) -> Response:
    """Return the response for a reply; no cache stores it."""
    if isinstance(reply, Reply):
        return response(reply.status, reply.headers, reply.body)
    reply.headers["cache-control"] = "no-store"
    return reply


class Streamed(StreamingResponse):
    """Sends pieces as they are produced; the generator is closed if the client disconnects."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str]) -> None:
        unbuffered = {"x-accel-buffering": "no"}  # for proxies
        super().__init__(pieces, media_type=media_type, headers={**unbuffered, **_NOSNIFF, **headers})
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        """Send all pieces."""
        async with contextlib.aclosing(self._pieces):
            await super().stream_response(send)
