"""The outermost middleware: request id, access log, metrics, errors."""

import itertools
import logging
import secrets
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgserve.errors import BadHost, ImgserveError
from imgserve.http.hosts import check_host
from imgserve.http.problem import Headers, problem
from imgserve.metrics import Metrics
from imgserve.web.access_log import AccessLog, AccessRecord
from imgserve.web.metrics import RequestMetrics


class RequestIds:
    """Request ids of one process: a random prefix and a counter."""

    # A random id for each request would cost as much as a memory hit.
    def __init__(self) -> None:
        """Create a random prefix."""
        self.start = secrets.token_hex(4)
        self.numbers: Iterator[int] = itertools.count()

    def draw(self) -> str:
        """Return the next id."""
        return f"{self.start}{next(self.numbers):08x}"


_LITTLE = 65_536
"""Unread bytes that are discarded to keep the connection open."""
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

    async def refuse(self, status: int, headers: Headers, body: bytes, send: Send) -> None:
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


def may_have_body(scope: Scope) -> bool:
    """Return whether the method of a request allows a body."""
    return scope["method"] not in {"GET", "HEAD", "OPTIONS"}


_logger = logging.getLogger("imgserve.web")
KEY = "imgserve.exchange"
_CLIENT_GONE = 499
"""The status that nginx logs if the client has disconnected."""
_PROBES = {"/healthz", "/readyz"}
_ANY_HOST = ("*",)
"""Health checks use the address, whatever hosts are allowed."""


@dataclass(slots=True)
class RequestRecord:
    """The record of a request that the inner layers fill in."""

    request_id: str
    route: str = "other"
    outcome: str = ""
    status: int = 0
    sent: int = 0
    extra_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Added to every response, errors included."""
    private: bool = False
    """No part of the response may be cached, not even a 404."""


class RequestMiddleware:
    """Assigns a request id, converts errors to problems, and counts and logs responses."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        figures: RequestMetrics,
        ids: RequestIds,
        access_log: AccessLog,
        allowed_hosts: Collection[str],
        not_found_max_age: int,
    ) -> None:
        """Wrap an application; `allowed_hosts` as in the settings, `*` for any."""
        self._app = app
        self._metrics = metrics
        self._figures = figures
        self._ids = ids
        self._access_log = access_log
        self._allowed_hosts = allowed_hosts
        self._not_found_max_age = not_found_max_age

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of scope pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, arrived = time.perf_counter(), time.time()
        exchange = RequestRecord(self._ids.draw())
        scope[KEY] = exchange
        tail = (b"x-request-id", exchange.request_id.encode())
        head = scope["method"] == "HEAD"
        body = RequestBody(scope, receive) if may_have_body(scope) else None

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *exchange.extra_headers, tail]
            elif not head:
                exchange.sent += len(message.get("body", b""))
            await send(message)

        try:
            allowed = _ANY_HOST if scope["path"] in _PROBES else self._allowed_hosts
            check_host(scope["headers"], scope["http_version"], allowed)
            await self._app(scope, receive if body is None else body.receive, observed)
        except ImgserveError as error:
            await self._refuse(error, scope, exchange, observed, body)
        except Exception:
            _logger.exception("request %s failed", exchange.request_id)
            await self._refuse(ImgserveError(), scope, exchange, observed, body)
        finally:
            self._record(scope, exchange, arrived, time.perf_counter() - started)

    async def _refuse(
        self, error: ImgserveError, scope: Scope, exchange: RequestRecord, send: Send, request_body: RequestBody | None
    ) -> None:
        exchange.outcome = error.code
        self._metrics.rejected.labels(error.code).inc()
        if exchange.status:
            # Half a response was sent; only closing the connection signals that the rest is missing.
            raise error
        status, headers, body = problem(
            error,
            instance=scope["path"],
            request_id=exchange.request_id,
            not_found_max_age=0 if exchange.private else self._not_found_max_age,
        )
        if isinstance(error, BadHost):
            headers.append((b"connection", b"close"))
        if request_body is not None and request_body.much_unread:
            await request_body.refuse(status, headers, body, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _record(self, scope: Scope, exchange: RequestRecord, arrived: float, seconds: float) -> None:
        status = exchange.status or _CLIENT_GONE
        self._figures.count(exchange.route, status, exchange.outcome or "ok", seconds, exchange.sent)
        if self._access_log.enabled:
            self._access_log.write(access_record(scope, exchange, arrived, seconds, status))


def access_record(scope: Scope, exchange: RequestRecord, arrived: float, seconds: float, status: int) -> AccessRecord:
    """Return the access log record of a request."""
    headers = dict(scope["headers"])
    query: bytes = scope["query_string"]
    target: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    client = scope.get("client")
    return AccessRecord(
        time=arrived,
        method=scope["method"],
        path=(target + b"?" + query if query else target).decode("latin-1"),
        status=status,
        bytes=exchange.sent,
        duration=seconds,
        outcome=exchange.outcome or "ok",
        referrer=headers.get(b"referer", b"").decode("latin-1"),
        user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
        remote=client[0] if client else "",
        request_id=exchange.request_id,
    )
