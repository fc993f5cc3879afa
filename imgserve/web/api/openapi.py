"""The OpenAPI 3.1 document, made of what the endpoints declare. Nothing about single endpoints."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from imgserve.errors import (
    BadRequest,
    BodyTooLarge,
    CatalogUnavailable,
    Forbidden,
    IdempotencyConflict,
    ImgserveError,
    Unauthorized,
    UnsupportedContent,
)
from imgserve.formats import FORMATS
from imgserve.web.api.endpoint import JSON, Answer, Endpoint, Model
from imgserve.web.api.error_models import ErrorOut
from imgserve.web.api.reading import JSON_BYTES

Document = dict[str, Any]

PROBLEM_JSON = "application/problem+json"
_REFERENCE = "#/components/schemas/{model}"
_ALWAYS: tuple[type[ImgserveError], ...] = (BadRequest, Unauthorized, Forbidden, CatalogUnavailable)
_OF_BODIES: tuple[type[ImgserveError], ...] = (BodyTooLarge, UnsupportedContent)
_INTRODUCTION = f"""\
Everything about originals and their records. Pictures themselves are served without a key, at other addresses.

Every call needs a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Answers are JSON, errors
`application/problem+json` with a `code` that stays the same. Times are RFC 3339 in UTC.

In an address, the image id comes last. Its slashes are written as they are or as `%2F`, bytes that are not UTF-8 as
`%XX`.

Earlier releases had actions after the image id. For one release, those addresses redirect with 308:
`POST /api/images/ID/purge` and `/transform` always, since a record has no `POST`; `GET /api/images/ID/similar` and
`/convert/EXT` unless there is an image with this whole id. `PUT`, `PATCH` and `DELETE /api/images/ID` are never
redirected, and neither is an id whose last slashes are written as `%2F`.

JSON bodies hold at most {JSON_BYTES:,} bytes. A `POST` with an `Idempotency-Key` header is done once: sent again within
a day, it gets the first answer, with `Idempotent-Replayed: true`. An error frees the key.
"""
_DESCRIBED = {
    "image_id": "Image id; its slashes as they are or as %2F.",
    "item": "Name of an item of the trash.",
    "ext": "An extension such as webp.",
}
_EXAMPLES = {"image_id": "shoes/red.jpg", "ext": "webp"}
_WRITABLE = [extension for form in FORMATS.values() if form.writable for extension in form.extensions]
_SCHEMAS = {"ext": {"type": "string", "enum": _WRITABLE}}
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text that is new for every new request; sent again, the request is not done again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class _Schema(GenerateJsonSchema):
    """Leaves out titles that only repeat the name, and leaves everything in the order in which it is declared."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the signature of pydantic
        return False

    def sort(self, value: Any, parent_key: str | None = None) -> Any:  # noqa: ARG002  the signature of pydantic
        return value


def openapi(endpoints: Collection[Endpoint], *, version: str) -> Document:
    """Write the document."""
    references, components = _schemas(endpoints)
    paths: dict[str, Document] = defaultdict(dict)
    for one in endpoints:
        paths[one.path][one.method.lower()] = _operation(one, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "imgserve", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(one.tag for one in endpoints)],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


References = Mapping[tuple[Model, JsonSchemaMode], Document]


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[References, Document]:
    """Write every model once, and how it is referred to."""
    wanted: dict[tuple[Model, JsonSchemaMode], None] = {(ErrorOut, "serialization"): None}
    for one in endpoints:
        taken = [one.body, *(body.schema for body in one.bodies)]
        wanted |= dict.fromkeys((model, "validation") for model in taken if isinstance(model, type))
        told = [answer.model for answer in one.answers.values()]
        wanted |= dict.fromkeys((model, "serialization") for model in told if model is not None)
    references, definitions = models_json_schema(list(wanted), ref_template=_REFERENCE, schema_generator=_Schema)
    named = {(model, mode): _renamed(references[model, mode]) for model, mode in wanted}
    return named, {_public(name): _renamed(schema) for name, schema in definitions.get("$defs", {}).items()}


def _public(name: str) -> str:
    """Name a model for others, who know no other side of it."""
    return name.removesuffix("Out").removesuffix("In")


def _renamed(schema: Any) -> Any:
    """Have references follow the names."""
    if isinstance(schema, list):
        return [_renamed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _public(one) if name == "$ref" else _renamed(one) for name, one in schema.items()}


def _operation(one: Endpoint, references: References) -> Document:
    operation: Document = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "description": one.description,
        "x-scope": one.scope.value,
    }
    if parameters := [*_pieces(one), *_parameters(one.query), *_headers(one)]:
        operation["parameters"] = parameters
    if body := _body(one, references):
        operation["requestBody"] = body
    answers = {str(status): _answer(answer, references) for status, answer in one.answers.items()}
    return operation | {"responses": answers | _errors(one, references, answers)}


def _pieces(one: Endpoint) -> list[Document]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _DESCRIBED.get(name, ""),
            "schema": _SCHEMAS.get(name, {"type": "string", "minLength": 1}),
            **({"example": _EXAMPLES[name]} if name in _EXAMPLES else {}),
        }
        for name in one.pieces
    ]


def _parameters(query: Model | None) -> list[Document]:
    if query is None:
        return []
    schema = query.model_json_schema(schema_generator=_Schema, ref_template=_REFERENCE)
    return [_parameter(name, dict(field), schema.get("required", [])) for name, field in schema["properties"].items()]


def _parameter(name: str, field: Document, required: Collection[str]) -> Document:
    description, examples = field.pop("description", ""), field.pop("examples", None)
    if "anyOf" in field:  # a parameter is left out instead of being null
        (field,) = ({**one, **field} for one in field.pop("anyOf") if one.get("type") != "null")
    if field.get("default", 0) is None or field.get("type") == "array":
        field.pop("default", None)
    parameter = {"name": name, "in": "query", "description": description, "schema": field}
    if name in required:
        parameter["required"] = True
    return parameter | ({"example": examples[0]} if examples else {})


def _headers(one: Endpoint) -> list[Document]:
    named = [
        {"name": name, "in": "header", "description": told, "schema": {"type": "string"}}
        for name, told in one.headers.items()
    ]
    return [*named, _KEY_HEADER] if one.method == "POST" else named


def _body(one: Endpoint, references: References) -> Document:
    content: Document = {}
    if one.body is not None:
        content[JSON] = {"schema": references[one.body, "validation"]}
        if one.example is not None:
            content[JSON]["example"] = one.example
    for body in one.bodies:
        schema = references[body.schema, "validation"] if isinstance(body.schema, type) else body.schema
        content[body.media_type] = {"schema": schema} | ({} if body.example is None else {"example": body.example})
    return {"required": True, "content": content} if content else {}


def _answer(answer: Answer, references: References) -> Document:
    schema = {} if answer.model is None else {"schema": references[answer.model, "serialization"]}
    told: Document = {"description": answer.description}
    if answer.headers:
        told["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    if answer.media_types:
        told["content"] = {kind: schema if "json" in kind else {} for kind in answer.media_types}
    return told


def _errors(one: Endpoint, references: References, answers: Collection[str]) -> Document:
    """Tell of errors by status, since OpenAPI has no other order; the codes stand in the description."""
    kinds = {*_ALWAYS, *one.errors, *(_OF_BODIES if one.body or one.bodies else ())}
    kinds |= {IdempotencyConflict} if one.method == "POST" else set()
    by_status: dict[int, list[type[ImgserveError]]] = defaultdict(list)
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code)):
        by_status[kind.status].append(kind)
    return {
        str(status): {
            "description": _codes(status, found),
            "content": {PROBLEM_JSON: {"schema": references[ErrorOut, "serialization"]}},
        }
        for status, found in by_status.items()
        if str(status) not in answers
    }


def _codes(status: int, kinds: Iterable[type[ImgserveError]]) -> str:
    told = [f"- `{kind.code}`: {(kind.__doc__ or '').strip()}" for kind in kinds]
    return "\n".join([f"{HTTPStatus(status).phrase}.", "", *told])
