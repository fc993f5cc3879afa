"""Generate the OpenAPI 3.1 document from the declarations of the endpoints."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from imgserve.errors import (
    BadRequest,
    BadTransform,
    BodyTooLarge,
    Busy,
    CatalogUnavailable,
    Forbidden,
    IdempotencyConflict,
    ImageNotFound,
    ImgserveError,
    LimitExceeded,
    OriginalChanged,
    OriginalUnsettled,
    PreconditionFailed,
    RangeNotSatisfiable,
    RenderCrashed,
    RenderTimeout,
    TooLarge,
    Unauthorized,
    UnreadableImage,
    UnsupportedContent,
    UnsupportedImage,
)
from imgserve.formats import FORMATS
from imgserve.transform import MAX_SIDE, PARAMETERS
from imgserve.validation import DescribedSchema
from imgserve.web.api.endpoint import JSON, Answer, Body, Endpoint, Model
from imgserve.web.api.messages import JSON_BYTES, ErrorOut

Document = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_ALWAYS: tuple[type[ImgserveError], ...] = (BadRequest, Unauthorized, Forbidden, CatalogUnavailable)
_OF_BODIES: tuple[type[ImgserveError], ...] = (BodyTooLarge, UnsupportedContent)
_OF_PICTURES: tuple[type[ImgserveError], ...] = (
    *(BadTransform, ImageNotFound, PreconditionFailed, RangeNotSatisfiable, UnsupportedImage, UnreadableImage),
    *(LimitExceeded, RenderTimeout, RenderCrashed, TooLarge, Busy, OriginalUnsettled, OriginalChanged),
)
_PICTURES = "picture URLs"
_INTRODUCTION = f"""\
Pictures are served without a key. Everything else manages originals and their records.

Every other request needs a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Responses are JSON, errors
`application/problem+json` with a stable `code`. Times are RFC 3339 in UTC.

An image id is the end of a path. Its slashes are written as they are or as `%2F`, bytes that are not UTF-8 as `%XX`.

In earlier versions, actions followed the image id. For one release, those paths redirect with 308:
`POST /api/images/ID/purge` and `/transform` always, since a record has no `POST`; `GET /api/images/ID/similar` and
`/convert/EXT` unless there is an image with this whole id. `PUT`, `PATCH` and `DELETE /api/images/ID` never redirect,
and neither does an id whose last slashes are written as `%2F`.

JSON bodies have at most {JSON_BYTES:,} bytes. A `POST` with an `Idempotency-Key` header is done once: the same request
within a day gets the first response, with `Idempotent-Replayed: true`. An error releases the key.
"""
_TEXT = {"type": "string", "minLength": 1}
_WRITABLE = [extension for form in FORMATS.values() if form.writable for extension in form.extensions]
_PATH_PARAMETERS: Mapping[str, Document] = {
    "image_id": {
        "description": "Image id; its slashes as they are or as %2F.",
        "schema": _TEXT,
        "example": "shoes/red.jpg",
    },
    "item": {"description": "Name of an item in the trash.", "schema": _TEXT},
    "key_id": {"description": "Id of an API key.", "schema": _TEXT},
    "name": {"description": "Name of an account or a preset.", "schema": _TEXT},
    "job": {"description": "Id of an import.", "schema": _TEXT},
    "product": {"description": "Name of a product.", "schema": _TEXT},
    "kind": {"description": "Format of the table.", "schema": {"type": "string", "enum": ["csv", "xlsx", "json"]}},
    "delivery": {"description": "Id of a delivery of a webhook.", "schema": _TEXT},
    "ext": {
        "description": "An extension such as webp.",
        "schema": {"type": "string", "enum": _WRITABLE},
        "example": "webp",
    },
}
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Unique text for each new request; a request with the same key is not repeated.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class _Schema(DescribedSchema):
    """Omits titles that repeat the name, and keeps the order of declaration."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the signature of pydantic
        return False

    def sort(self, value: Any, parent_key: str | None = None) -> Any:  # noqa: ARG002  the signature of pydantic
        return value


def openapi(endpoints: Collection[Endpoint], *, prefix: str, version: str) -> Document:
    """Return the document of the endpoints and of pictures, whose paths start with the prefix."""
    references, components = _schemas(endpoints)
    paths: dict[str, Document] = defaultdict(dict)
    paths[f"{prefix}/{{image_id}}"]["get"] = _picture(references)
    for one in endpoints:
        paths[one.path][one.method.lower()] = _operation(one, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "imgserve", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys([_PICTURES, *(one.tag for one in endpoints)])],
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
    """Return the references to all models, and their schemas."""
    models: dict[tuple[Model, JsonSchemaMode], None] = {(ErrorOut, "serialization"): None}
    for one in endpoints:
        bodies = [one.body, *(body.schema for body in one.bodies if body.file is None)]
        models |= dict.fromkeys((model, "validation") for model in bodies if isinstance(model, type))
        answers = [answer.model for answer in one.answers.values()]
        models |= dict.fromkeys((model, "serialization") for model in answers if model is not None)
    references, definitions = models_json_schema(list(models), ref_template=_REFERENCE, schema_generator=_Schema)
    named = {(model, mode): _renamed(references[model, mode]) for model, mode in models}
    components: Document = {}
    for name, schema in definitions.get("$defs", {}).items():
        public = _public(name)
        if public in components:
            raise ValueError(f"two models are named {public} in the document")
        components[public] = _renamed(schema)
    return named, components


def _public(name: str) -> str:
    """Return the public name of a model."""
    return name.removesuffix("Out").removesuffix("In")


def _renamed(schema: Any) -> Any:
    """Return a schema whose references have public names."""
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
    parameters: list[Document] = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS[name]} for name in one.path_parameters
    ]
    if one.query is not None:
        schema = one.query.model_json_schema(schema_generator=_Schema, ref_template=_REFERENCE)
        required = schema.get("required", [])
        parameters += [_parameter(name, dict(field), required) for name, field in schema["properties"].items()]
    parameters += [{"name": name, "in": "header", **field} for name, field in _headers(one.headers).items()]
    parameters += [_KEY_HEADER] if one.repeatable else []
    if parameters:
        operation["parameters"] = parameters
    if body := _body(one, references):
        operation["requestBody"] = body
    answers = {str(status): _answer(answer, references) for status, answer in one.answers.items()}
    kinds = {*_ALWAYS, *one.errors, *(_OF_BODIES if one.body or one.bodies else ())}
    kinds |= {IdempotencyConflict} if one.repeatable else set()
    return operation | {"responses": answers | _errors(kinds, references, answers)}


def _picture(references: References) -> Document:
    """Return the operation of picture URLs, from the table of their parameters."""
    parameters: list[Document] = [{"name": "image_id", "in": "path", "required": True, **_PATH_PARAMETERS["image_id"]}]
    for row in PARAMETERS:
        aliases = "".join(f", `{alias}`" for alias in row.aliases)
        expects = row.kind.expects.replace("{max_side}", str(MAX_SIDE))
        text = f"{row.meaning} Expects {expects}."
        text += "" if row.default == "-" else f" Default: {row.default}."
        text += f" Also{aliases.removeprefix(',')}." if aliases else ""
        schema = {"type": "string"}
        parameters.append(
            {"name": row.name, "in": "query", "description": text, "schema": schema, "example": row.example}
        )
    media_types = sorted(form.media_type for form in FORMATS.values() if form.writable)
    responses: Document = {
        "200": {
            "description": "The picture, or the document about it that `format`, `palette` or `explain` names.",
            "content": {kind: {} for kind in (*media_types, JSON, "text/css", "text/plain")},
        },
        "206": {"description": "A part of the picture, if the request has a `Range`."},
        "304": {"description": "The client has the picture: `If-None-Match` or `If-Modified-Since`."},
    }
    return {
        "operationId": "picture",
        "tags": [_PICTURES],
        "summary": "Get a picture",
        "description": "Return the picture that the parameters describe. No key is needed.",
        "security": [],
        "parameters": parameters,
        "responses": responses | _errors(_OF_PICTURES, references, responses),
    }


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


def _headers(described: Mapping[str, str]) -> Document:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in described.items()}


def _body(one: Endpoint, references: References) -> Document:
    content: Document = {}
    if one.body is not None:
        content[JSON] = {"schema": references[one.body, "validation"]}
        if one.example is not None:
            content[JSON]["example"] = one.example
    for body in one.bodies:
        schema = _schema(body, references)
        content[body.media_type] = {"schema": schema} | ({} if body.example is None else {"example": body.example})
    return {"required": True, "content": content} if content else {}


def _schema(body: Body, references: References) -> Mapping[str, Any]:
    if not isinstance(body.schema, type):
        return body.schema
    if body.file is None:
        return references[body.schema, "validation"]
    fields = body.schema.model_json_schema(schema_generator=_Schema)["properties"]
    return {
        "type": "object",
        "properties": {"file": body.file, **fields},
        "required": ["file"],
        "additionalProperties": False,
    }


def _answer(answer: Answer, references: References) -> Document:
    schema = {} if answer.model is None else {"schema": references[answer.model, "serialization"]}
    written: Document = {"description": answer.description}
    if answer.headers:
        written["headers"] = _headers(answer.headers)
    if answer.media_types:
        written["content"] = {kind: schema if "json" in kind else {} for kind in answer.media_types}
    return written


def _errors(kinds: Collection[type[ImgserveError]], references: References, answers: Collection[str]) -> Document:
    """Return the errors by status, as OpenAPI requires, with their codes in the descriptions."""
    by_status: dict[int, list[type[ImgserveError]]] = defaultdict(list)
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code)):
        by_status[kind.status].append(kind)
    errors: Document = {}
    for status, found in by_status.items():
        if str(status) not in answers:
            codes = [f"- `{kind.code}`: {(kind.__doc__ or '').strip()}" for kind in found]
            description = "\n".join([f"{HTTPStatus(status).phrase}.", "", *codes])
            content = {"application/problem+json": {"schema": references[ErrorOut, "serialization"]}}
            errors[str(status)] = {"description": description, "content": content}
    return errors
