"""The document of the API and its page, as addresses that need no key."""

import json
import string
from collections.abc import Collection
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from imgserve.web.api.document_page import body_of, contents_of
from imgserve.web.api.endpoint import JSON, Endpoint
from imgserve.web.api.openapi import openapi
from imgserve.web.pages import PAGE_HEADERS

_FRESH = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}


class ApiDocument:
    """Serves what is said of the API: to programs, and to people."""

    def __init__(self, endpoints: Collection[Endpoint], static: Path, *, version: str) -> None:
        """Take the endpoints, the static folder and the version of the server."""
        self.document = openapi(endpoints, version=version)
        self._json = json.dumps(self.document, indent=1).encode()
        template = string.Template((static / "api.html").read_text(encoding="utf-8"))
        self._page = template.safe_substitute(contents=contents_of(self.document), body=body_of(self.document))

    @property
    def routes(self) -> list[BaseRoute]:
        """Give the routes."""
        return [Route("/openapi.json", self.json), Route("/docs/api", self.page)]

    async def json(self, _request: Request) -> Response:
        """Answer with the document."""
        return Response(self._json, headers=_FRESH, media_type=JSON)

    async def page(self, _request: Request) -> Response:
        """Answer with the page."""
        return HTMLResponse(self._page, headers=PAGE_HEADERS)
