"""Serve the OpenAPI document, and the same as an HTML page."""

import functools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import to_thread
from markupsafe import escape
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from imgserve.access.access import Access
from imgserve.web.api.endpoint import JSON, Endpoint
from imgserve.web.api.openapi import Document, openapi
from imgserve.web.documents import HTML, Readers, address, document, page_templates, restricted

_METHODS = ("get", "post", "put", "patch", "delete")
_ADDRESS = "https://images.example.com"
"""Stands for the address of the server."""
_BY_FORMAT = {"date-time": "2026-01-31T12:00:00Z", "binary": "..."}
_BY_TYPE: Mapping[str, Any] = {"string": "text", "integer": 1, "number": 0.5, "boolean": False, "null": None}


@dataclass(frozen=True)
class ApiDocument:
    """The OpenAPI document and its page, both written at the first request: that takes most of the time of a start."""

    endpoints: Collection[Endpoint]
    static: Path
    """The folder of static files, with the template."""
    prefix: str
    """The path of all pictures."""
    version: str

    @functools.cached_property
    def _document(self) -> Document:
        return openapi(self.endpoints, prefix=self.prefix, version=self.version)

    @functools.cached_property
    def _json(self) -> bytes:
        return json.dumps(self._document, indent=1).encode()

    @functools.cached_property
    def _page(self) -> str:
        return page(self._document, self.static)

    def routes(self, access: Access, readers: Readers) -> list[BaseRoute]:
        """Return the routes of both."""
        return [
            Route("/openapi.json", restricted(self.json, readers, access)),
            Route("/docs/api", restricted(self.page, readers, access)),
        ]

    async def json(self, request: Request) -> Response:
        """Return the document."""
        return document(request, await to_thread.run_sync(lambda: self._json), JSON)

    async def page(self, request: Request) -> Response:
        """Return the page; its examples have the address that the client used."""
        page = await to_thread.run_sync(lambda: self._page)
        return document(request, page.replace(_ADDRESS, str(escape(address(request)))).encode(), HTML)


def page(document: Document, static: Path) -> str:
    """Return an OpenAPI document as HTML without scripts; all its text is escaped."""
    environment = page_templates(static)
    environment.filters |= {"slug": _slug, "errors": _errors}
    return environment.get_template("api.html").render(
        document=document,
        groups=dict(_groups(document)),
        schemas=document["components"]["schemas"],
        curl=lambda *operation: _curl(document, *operation),
        example=lambda schema: json.dumps(_example(document, schema), indent=2, ensure_ascii=False),
    )


def _groups(document: Document) -> Iterator[tuple[str, list[tuple[str, str, Document]]]]:
    """Yield each tag with its operations: path, method and declaration."""
    operations = [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    for tag in document["tags"]:
        yield tag["name"], [found for found in operations if tag["name"] in found[2]["tags"]]


def _slug(tag: str) -> str:
    return "tag-" + re.sub(r"\W+", "-", tag)


def _errors(description: str) -> list[str]:
    """Return the codes in the description of an error."""
    return [line.removeprefix("- ") for line in description.splitlines() if line.startswith("- ")]


def _curl(document: Document, path: str, method: str, operation: Document) -> str:
    """Return a command that calls an operation."""
    values = {one["name"]: one.get("example", "NAME") for one in operation.get("parameters", []) if one["in"] == "path"}
    path = re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), path)
    lines = [f"curl{'' if method == 'get' else f' -X {method.upper()}'}"]
    if "x-scope" in operation:
        lines[0] += ' -H "Authorization: Bearer $IMGSERVE_KEY"'
    for media_type, content in list(operation.get("requestBody", {}).get("content", {}).items())[:1]:
        lines.append(f'  -H "Content-Type: {media_type}"')
        if media_type.endswith("json"):
            example = content.get("example", _example(document, content["schema"]))
            lines.append(f"  -d '{json.dumps(example, ensure_ascii=False)}'")
        else:
            lines.append("  --data-binary @photo.jpg")
    url = f"{_ADDRESS}{path}"
    return (
        " \\\n".join([*lines, f"  {url}"])
        if "x-scope" in operation
        else f"curl -o picture '{url}?width=400&auto=format'"
    )


def _example(document: Document, schema: Mapping[str, Any]) -> Any:
    """Return a value that fits a schema; lists have one item."""
    if reference := schema.get("$ref"):
        return _example(document, document["components"]["schemas"][reference.rpartition("/")[2]])
    if examples := schema.get("examples"):
        return examples[0]
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if choices := schema.get("anyOf"):
        return _example(document, choices[0])
    return _example_by_type(document, schema)


def _example_by_type(document: Document, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type", "object")
    if kind == "array":
        return [_example(document, schema.get("items", {}))]
    if kind == "object":
        names = schema.get("required") or schema.get("properties", {})
        return {name: _example(document, schema["properties"][name]) for name in names}
    return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE[kind])
