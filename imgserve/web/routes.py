"""The routes of the server."""

from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from imgserve.errors import BadRequest, ImgserveError, MethodNotAllowed, NotFound
from imgserve.web.operations import Operations
from imgserve.web.pages import Pages

_METHOD_NOT_ALLOWED = 405
_NOT_FOUND = 404


def routes(ops: Operations, pages: Pages, *more: BaseRoute) -> list[BaseRoute]:
    """Return the routes other than pictures; `more` are those of the API."""
    return [
        *more,
        Route("/healthz", ops.alive),
        Route("/readyz", ops.ready),
        Route("/metrics", ops.metrics),
        Route("/", pages.welcome),
        Route("/docs/errors", pages.errors),
        Route("/favicon.ico", pages.favicon),
        Route("/robots.txt", pages.robots),
        Mount("/static", app=pages.files),
    ]


class PictureDispatch:
    """Passes picture requests, the vast majority, to their endpoint without the router."""

    def __init__(self, app: ASGIApp, *, prefix: str, pictures: ASGIApp, others: Collection[BaseRoute]) -> None:
        self._app = app
        self._prefix = prefix
        self._pictures = pictures
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a picture request, or pass the request to the router."""
        app = self._pictures if scope["type"] == "http" and self._is_picture(scope) else self._app
        await app(scope, receive, send)

    def _is_picture(self, scope: Scope) -> bool:
        if self._prefix:
            path: str = scope["path"]
            return path.startswith(f"{scope.get('root_path', '')}{self._prefix}/")
        return not any(route.matches(scope)[0] is Match.FULL for route in self._others)


async def as_our_error(_request: Request, error: Exception) -> Response:
    """Raise our own error for one of the router or a library, so that every error has the same form."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET, HEAD")
        raise MethodNotAllowed(members={"allow": sorted(allowed.split(", "))})
    if error.status_code == _NOT_FOUND:
        raise NotFound
    raise BadRequest(error.detail) if error.status_code < 500 else ImgserveError  # noqa: PLR2004  client or server
