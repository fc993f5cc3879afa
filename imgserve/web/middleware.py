"""What every request passes through: the record, errors as problems, and the dispatch to the picture endpoint."""

import logging
import time
from collections.abc import Collection
from http import HTTPStatus

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgserve.errors import BadHost, BadRequest, ImgserveError, MethodNotAllowed, NotFound
from imgserve.http.headers import RawHeaders, check_host
from imgserve.http.problem import problem
from imgserve.web.request_log import KEY, REQUEST_ID, RequestLog, RequestRecord
from imgserve.web.respond import send_response

_LITTLE = 65_536
"""Unread bytes that are discarded so that the connection stays open."""
_LINGER = 5.0
"""Seconds for a client that is still sending to notice the response."""
_SILENCE = 1.0


class RequestBody:
    """A request body that counts its unread bytes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._over = False
        self._read = 0
        length = dict(scope["headers"]).get(b"content-length", b"")
        self._length = int(length) if length.isdigit() else None

    async def receive(self) -> Message:
        """Return the next message."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._over = not message.get("more_body", False)
        else:
            self._over = True
        return message

    @property
    def much_unread(self) -> bool:
        """Return whether so much is unread that closing the connection is cheaper."""
        return not self._over and (self._length is None or self._length - self._read > _LITTLE)

    async def refuse(self, status: int, headers: RawHeaders, body: bytes, send: Send) -> None:
        """Respond to a client that is still sending, wait until it can notice, and close the connection."""
        headers = [*headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        with anyio.move_on_after(_LINGER):
            silent = False
            while not (self._over or silent):
                with anyio.move_on_after(_SILENCE) as waiting:
                    await self.receive()
                silent = waiting.cancelled_caught
        await send({"type": "http.response.body", "body": b""})


_logger = logging.getLogger("imgserve.web")


class RequestMiddleware:
    """Assigns a request id, converts errors to problems, and counts and logs responses."""

    def __init__(
        self, app: ASGIApp, *, requests: RequestLog, allowed_hosts: Collection[str], not_found_max_age: int
    ) -> None:
        self._app = app
        self._requests = requests
        self._allowed_hosts = allowed_hosts
        self._not_found_max_age = not_found_max_age

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of scope pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, arrived = time.perf_counter(), time.time()
        record = RequestRecord(scope.get("state", {}).get(REQUEST_ID) or self._requests.ids.draw())
        scope[KEY] = record
        tail = (b"x-request-id", record.request_id.encode())
        head = scope["method"] == "HEAD"
        body = None if scope["method"] in {"GET", "HEAD", "OPTIONS"} else RequestBody(scope, receive)

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], *record.extra_headers, tail]
            elif head:
                message = {**message, "body": b""}
            else:
                record.sent += len(message.get("body", b""))
            await send(message)

        try:
            # Health checks use the address, whatever hosts are allowed.
            allowed = ("*",) if scope["path"] in {"/healthz", "/readyz"} else self._allowed_hosts
            check_host(scope["headers"], scope["http_version"], allowed)
            await self._app(scope, receive if body is None else body.receive, observed)
        except ImgserveError as error:
            await self._refuse(error, scope, record, observed, body)
        except Exception:
            _logger.exception("request %s failed", record.request_id)
            await self._refuse(ImgserveError(), scope, record, observed, body)
        finally:
            self._requests.finish(scope, record, arrived, time.perf_counter() - started)

    async def _refuse(
        self, error: ImgserveError, scope: Scope, record: RequestRecord, send: Send, request_body: RequestBody | None
    ) -> None:
        record.outcome = error.code
        self._requests.metrics.count_error(error.code)
        if record.status:
            # Half a response was sent; only closing the connection signals that the rest is missing.
            raise error
        status, headers, body = problem(
            error,
            instance=scope["path"],
            request_id=record.request_id,
            not_found_max_age=0 if record.private else self._not_found_max_age,
        )
        if isinstance(error, BadHost):
            headers.append((b"connection", b"close"))
        if request_body is not None and request_body.much_unread:
            await request_body.refuse(status, headers, body, send)
            return
        await send_response(send, status, headers, body)


class PictureDispatch:
    """Passes picture requests, the vast majority, to their endpoint without the router."""

    def __init__(self, app: ASGIApp, *, prefix: str, pictures: ASGIApp, others: Collection[BaseRoute]) -> None:
        self._app = app
        self._prefix = prefix
        self._pictures = pictures
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a picture request, or pass the request to the router."""
        if scope["type"] != "http":
            picture = False
        elif self._prefix:
            picture = scope["path"].startswith(f"{scope.get('root_path', '')}{self._prefix}/")
        else:
            picture = not any(route.matches(scope)[0] is Match.FULL for route in self._others)
        await (self._pictures if picture else self._app)(scope, receive, send)


async def as_our_error(_request: Request, error: Exception) -> Response:
    """Raise our own error for one of the router or a library, so that every error has the same form."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET, HEAD")
        raise MethodNotAllowed(members={"allow": sorted(allowed.split(", "))})
    if error.status_code == HTTPStatus.NOT_FOUND:
        raise NotFound
    raise BadRequest(error.detail) if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR else ImgserveError
