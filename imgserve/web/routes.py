"""Every address of the server in one table."""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from imgserve.errors import BadRequest, ImgserveError, MethodNotAllowed, NotFound
from imgserve.web.ops import Operations
from imgserve.web.pages import Pages

_METHOD_NOT_ALLOWED = 405
_NOT_FOUND = 404


def routes(prefix: str, image: ASGIApp, ops: Operations, pages: Pages) -> list[BaseRoute]:
    """List the routes; the pictures come first, since they are asked for most, or last if they have no prefix."""
    pictures = Mount(prefix, app=image, name="image")
    # A file name may hold a line break, which a dot would not match.
    pictures.path_regex = re.compile(pictures.path_regex.pattern, re.DOTALL)
    others: list[BaseRoute] = [
        Route("/healthz", ops.alive),
        Route("/readyz", ops.ready),
        Route("/metrics", ops.metrics),
        Route("/", pages.welcome),
        Route("/docs/errors", pages.errors),
        Route("/favicon.ico", pages.favicon),
        Route("/robots.txt", pages.robots),
        Mount("/static", app=pages.files),
    ]
    return [pictures, *others] if prefix else [*others, pictures]


async def as_our_error(_request: Request, error: Exception) -> Response:
    """Raise our own error for one that the router or a library raised, so that every answer has one form."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET, HEAD")
        raise MethodNotAllowed(members={"allow": sorted(allowed.split(", "))})
    if error.status_code == _NOT_FOUND:
        raise NotFound
    raise BadRequest(error.detail) if error.status_code < 500 else ImgserveError  # noqa: PLR2004  client or server
