"""Read queries and JSON bodies into models, with every mistake in a sentence; write responses from models."""

import functools
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import get_annotations
from typing import Annotated, Any, TypeVar, get_type_hints
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from imgserve.errors import BadRequest, BodyTooLarge, ImgserveError, UnsupportedContent, quoted, suggestion
from imgserve.http.problem import problem_members
from imgserve.model import Doc, described_fields
from imgserve.validation import expectation
from imgserve.web.api.endpoint import JSON
from imgserve.web.middleware import KEY, RequestRecord

M = TypeVar("M", bound=BaseModel)

JSON_BYTES = 1_000_000
"""Maximum size of a JSON body: about ten thousand image ids."""
_JSON_TYPES = {"application/json", "application/merge-patch+json"}
_PARAMETERS = 1000
_MISTAKES = 100
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_WORDS = {"true": True, "false": False}
NDJSON = "application/x-ndjson"
_NOSNIFF = {"x-content-type-options": "nosniff"}


def bad_request(mistakes: Iterable[str]) -> BadRequest:
    """Return the error that lists mistakes."""
    listed = list(mistakes)[:_MISTAKES]
    return BadRequest("; ".join(listed), members={"mistakes": listed})


def checked(model: type[M], values: object, mistakes: list[str]) -> M | None:
    """Return a model of plain values, or None after adding to the mistakes."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        mistakes += [_sentence(one, model) for one in error.errors(include_url=False)]
    return None


def validated(model: type[M], values: object) -> M:
    """Return a model of plain values; raise BadRequest with every mistake."""
    mistakes = list[str]()
    value = checked(model, values, mistakes)
    if value is None:
        raise bad_request(mistakes)
    return value


def query_values(model: type[BaseModel], query: bytes, mistakes: list[str]) -> dict[str, Any]:
    """Return a query as JSON values of the model's types: numbers, booleans, and lists for repeatable names."""
    kinds, values = _kinds(model), dict[str, Any]()
    try:
        # As text, since Python 3.11 reads only ASCII in bytes. Image ids and prefixes of them need not be UTF-8.
        pairs = parse_qsl(
            query.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=_PARAMETERS,
        )
    except ValueError:
        mistakes.append(f"expected at most {_PARAMETERS} parameters")
        return {}
    for name, value in pairs:
        kind = kinds.get(name, "string")
        if kind == "array":
            values.setdefault(name, []).append(value)
        elif name in values:
            mistakes.append(f"{name}: appears more than once")
        # Text that does not fit stays text, which the model rejects.
        elif kind == "integer" and _INTEGER.fullmatch(value):
            values[name] = int(value)
        else:
            values[name] = _WORDS.get(value, value) if kind == "boolean" else value
    return values


def media_type(request: Request) -> str:
    """Return the type of the body in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; raise BadRequest if the client disconnected before the end."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:
        raise BadRequest("The client disconnected before the end of the body.") from error


async def json_value(request: Request) -> tuple[object, bytes]:
    """Return the JSON body of a request, parsed and as bytes.

    Raises UnsupportedContent, BodyTooLarge, or BadRequest for JSON that is invalid or ambiguous.
    """
    if media_type(request) not in _JSON_TYPES:
        raise UnsupportedContent("Expected a body of Content-Type: application/json.")
    length, body = request.headers.get("content-length", ""), bytearray()
    too_large = BodyTooLarge(f"The body is larger than {JSON_BYTES} bytes.")
    if length.isdecimal() and int(length) > JSON_BYTES:
        raise too_large
    async for piece in body_pieces(request):
        body += piece
        if len(body) > JSON_BYTES:
            raise too_large
    return _parsed(bytes(body)), bytes(body)


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_not_a_number)
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        detail = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise BadRequest(f"The body is not JSON: {detail}." if body.strip() else "Expected a JSON body.") from error
    except ValueError as error:
        raise BadRequest("The body is not JSON: it contains a number that is too long.") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict[str, object]()
    for name, value in pairs:
        if name in values:
            raise BadRequest(f"The body contains {quoted(name)} more than once in one object.")
        values[name] = value
    return values


def _not_a_number(name: str) -> object:
    raise BadRequest(f"The body is not JSON: {name} is not a number.")


@functools.cache
def _kinds(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the JSON type of each parameter."""
    kinds = dict[str, str]()
    for name, schema in model.model_json_schema()["properties"].items():
        choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        kinds[name] = choices[0].get("type", "string")
    return kinds


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind = error["type"]
    place = ".".join(map(str, error["loc"]))
    start = f"{place}: " if place else ""
    if kind == "stated":
        return start + str(error["ctx"]["sentence"])
    if kind == "missing":
        return f"{start}is missing"
    if kind == "extra_forbidden":
        known = model.model_fields if len(error["loc"]) == 1 else ()
        return f"{start}there is no such name here{suggestion(str(error['loc'][-1]), known)}"
    return f"{start}expected {expectation(error)}, but received {_received(error['input'])}"


def _received(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, (Mapping, BaseModel)):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(str(value)) if isinstance(value, str) else str(value)[:40]


class ResponseModel(BaseModel):
    """The base of all response models, which can be read from objects; later releases may add fields.

    `class KeyOut(ResponseModel, record=KeyRecord)` begins with the described fields of a dataclass, under their names
    in the API.
    """

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        validate_by_name=True,
        json_schema_serialization_defaults_required=True,
        defer_build=True,
    )

    def __init_subclass__(cls, record: type | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if record is not None:
            hints, docs = get_type_hints(record), described_fields(record, Doc)
            for name, doc in docs.items():
                default = vars(cls).get(doc.name, ...)
                setattr(cls, doc.name, Field(default, validation_alias=name, description=doc.text))
            cls.__annotations__ = {doc.name: hints[name] for name, doc in docs.items()} | get_annotations(cls)


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
    created: tuple[str, ...] = ()
    """The ids of what the call has stored, for the audit log."""

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
