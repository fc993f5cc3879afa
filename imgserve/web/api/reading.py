"""Reads what a request brings: query and JSON body, into models. Says what is wrong; refuses nothing by itself."""

import functools
import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from imgserve.errors import BadRequest, BodyTooLarge, UnsupportedContent, quoted
from imgserve.web.api.mistakes import sentences

M = TypeVar("M", bound=BaseModel)

JSON_BYTES = 1_000_000
"""Of a JSON body: some ten thousand image ids."""
_JSON_TYPES = {"application/json", "application/merge-patch+json"}
_MOST_PARAMETERS = 1000
_WORDS = {"true": True, "false": False}


def checked(model: type[M], values: object, mistakes: list[str]) -> M | None:
    """Make a model of plain values; what is wrong is added to the mistakes."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        mistakes += sentences(error, model)
    return None


def query_values(model: type[BaseModel], query: bytes, mistakes: list[str]) -> dict[str, Any]:
    """Read a query as the JSON that it stands for: numbers where numbers belong, lists where names may be repeated."""
    kinds, values = _kinds(model), dict[str, Any]()
    try:
        # As text: of bytes Python 3.11 reads only what is ASCII. Names need not be UTF-8, so prefixes of them need not.
        pairs = parse_qsl(
            query.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        mistakes.append(f"expected at most {_MOST_PARAMETERS} parameters")
        return {}
    for name, value in pairs:
        kind = kinds.get(name, "string")
        if kind == "array":
            values.setdefault(name, []).append(value)
        elif name in values:
            mistakes.append(f"{name}: stands more than once")
        else:
            values[name] = _plain(kind, value)
    return values


async def json_value(request: Request) -> tuple[object, bytes]:
    """Read the JSON body of a request; also as it came.

    Raises:
        UnsupportedContent: the body is no JSON by its type.
        BodyTooLarge: it is larger than any that makes sense.
        BadRequest: it is no JSON, or not clearly so.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _JSON_TYPES:
        raise UnsupportedContent("Expected a body of Content-Type: application/json.")
    body = await _body(request)
    return _parsed(body), body


async def _body(request: Request) -> bytes:
    length, body = request.headers.get("content-length", ""), bytearray()
    if length.isdecimal() and int(length) > JSON_BYTES:
        raise _too_large()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > JSON_BYTES:
                raise _too_large()
    except ClientDisconnect as error:
        raise BadRequest("The body did not arrive whole.") from error
    return bytes(body)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {JSON_BYTES} bytes.")


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        detail = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise BadRequest(f"The body is no JSON: {detail}." if body.strip() else "Expected a body of JSON.") from error
    except ValueError as error:
        raise BadRequest("The body is no JSON: a number in it is too long.") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict[str, object]()
    for name, value in pairs:
        if name in values:
            raise BadRequest(f"The body says {quoted(name)} more than once in one object.")
        values[name] = value
    return values


def _no_number(name: str) -> object:
    raise BadRequest(f"The body is no JSON: {name} is no number.")


@functools.cache
def _kinds(model: type[BaseModel]) -> Mapping[str, str]:
    """Tell of what JSON type each parameter is."""
    schema = model.model_json_schema()
    return {name: _kind(one) for name, one in schema["properties"].items()}


def _kind(schema: Mapping[str, Any]) -> str:
    choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return str(choices[0].get("type", "string"))


def _plain(kind: str, text: str) -> object:
    """Read one value; what cannot be read stays text, which the model refuses."""
    if kind == "integer" and text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20:  # noqa: PLR2004  64 bits
        return int(text)
    if kind == "boolean":
        return _WORDS.get(text, text)
    return text
