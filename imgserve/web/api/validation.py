"""Read queries and JSON bodies into models, and describe every mistake in a sentence."""

import functools
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import ClientDisconnect, Request

from imgserve.errors import BadRequest, BodyTooLarge, UnsupportedContent, quoted, suggestion

M = TypeVar("M", bound=BaseModel)

JSON_BYTES = 1_000_000
"""Maximum size of a JSON body: about ten thousand image ids."""
_JSON_TYPES = {"application/json", "application/merge-patch+json"}
_PARAMETERS = 1000
_MISTAKES = 100
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_WORDS = {"true": True, "false": False}
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "model": "an object",
    "dict": "an object",
    "is": "an object",
    "none": "null",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
}
"""By the first word of pydantic's error types."""
_BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "too_long": ("max_length", "a list of at most {}"),
    "too_short": ("min_length", "a list of at least {}"),
    "string_too_long": ("max_length", "text of at most {} characters"),
    "string_too_short": ("min_length", "text of at least {} characters"),
}


def expected(description: str) -> PydanticCustomError:
    """Return a validator's error that describes the expected value."""
    return PydanticCustomError("expected", "{description}", {"description": description})


def stated(sentence: str) -> PydanticCustomError:
    """Return a validator's error with its whole sentence."""
    return PydanticCustomError("stated", "{sentence}", {"sentence": sentence})


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
    """Return a model of plain values.

    Raises:
        BadRequest: with every mistake.
    """
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
    """Yield the body as it arrives.

    Raises:
        BadRequest: the client disconnected before the end.
    """
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:
        raise BadRequest("The client disconnected before the end of the body.") from error


async def json_value(request: Request) -> tuple[object, bytes]:
    """Return the JSON body of a request, parsed and as bytes.

    Raises:
        UnsupportedContent: the type of the body is not JSON.
        BodyTooLarge: the body is too large.
        BadRequest: the body is not valid JSON, or ambiguous.
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
    kind, context = error["type"], error.get("ctx", {})
    place = ".".join(map(str, error["loc"]))
    start = f"{place}: " if place else ""
    if kind == "stated":
        return start + str(context["sentence"])
    if kind == "missing":
        return f"{start}is missing"
    if kind == "extra_forbidden":
        known = model.model_fields if len(error["loc"]) == 1 else ()
        return f"{start}there is no such name here{suggestion(str(error['loc'][-1]), known)}"
    return f"{start}expected {_expected(error, context)}, but received {_received(error['input'])}"


def _expected(error: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "expected":
        return str(context["description"])
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    if kind == "literal_error":
        literals = str(context["expected"])
        return {"True": "true", "False": "false"}.get(literals, literals.replace("'", ""))
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        number = context[bound]
        return words.format(f"{number:g}" if isinstance(number, float) else number)
    return _EXPECTED.get(kind.partition("_")[0], error["msg"])


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
