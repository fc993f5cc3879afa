"""What every request passes through: its record, metrics and log line, errors as problems, the dispatch to pictures."""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgserve.access.abuse import AbuseWatch, Finished
from imgserve.errors import BadHost, BadRequest, Forbidden, ImgserveError, MethodNotAllowed, NotFound
from imgserve.http.headers import RawHeaders, check_host, with_one_vary
from imgserve.http.problem import problem
from imgserve.metrics import LATENCY, Metrics, PictureTally
from imgserve.tracing import Tracing
from imgserve.web.access_log import AccessLog
from imgserve.web.respond import send_response

QuickOutcome = Literal["memory", "disk", "not_modified"]
STATUSES: Mapping[QuickOutcome, int] = {"memory": 200, "disk": 200, "not_modified": 304}
"""Outcomes that are counted quickly, and their status."""
_PICTURES = "image"
"""The route of quickly counted requests."""
_FOLD_AFTER = 0.02
"""Seconds until quickly counted requests reach the metrics."""


@dataclass(slots=True)
class _Batch:
    """Requests of one outcome, all within the first bucket."""

    number: int = 0
    seconds: float = 0.0
    sent: int = 0


class RequestMetrics:
    """Counts responses, their duration and their bytes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._labeled: dict[tuple[str, int, str], _Labeled] = {}
        self._batches: dict[QuickOutcome, _Batch] = {outcome: _Batch() for outcome in STATUSES}
        self._pictures: dict[str, PictureTally] = {}
        self._due = False

    def pictures(self, extension: str) -> PictureTally:
        """Return where the bytes of whole pictures of a format are counted, for `fold`."""
        return self._pictures.setdefault(extension, PictureTally())

    def count(self, route: str, status: int, outcome: str, seconds: float, sent: int, *, trace_id: str = "") -> None:
        """Count one request; its trace is an exemplar of its duration."""
        labeled = self._of(route, status, outcome).add(1, sent)
        if trace_id:
            labeled.observe(seconds, {"trace_id": trace_id})
        else:
            labeled.observe(seconds)

    def count_error(self, code: str) -> None:
        """Count one rejected or failed request by its machine code."""
        self._metrics.rejected.labels(code).inc()

    def count_picture(self, extension: str, sent: int, original: int) -> None:
        """Count the bytes of whole pictures of a format, and of their originals."""
        self._metrics.picture_bytes.labels(extension).inc(sent)
        self._metrics.picture_original_bytes.labels(extension).inc(original)

    def count_site(self, site: str, outcome: str) -> None:
        """Count one picture request of a site."""
        self._metrics.site_requests.labels(site, outcome).inc()

    def count_quickly(self, outcome: QuickOutcome, seconds: float, sent: int, loop: asyncio.AbstractEventLoop) -> None:
        """Count one picture request in plain integers, at a tenth of the cost; `fold` adds them to the metrics."""
        if seconds > LATENCY[0]:
            self.count(_PICTURES, STATUSES[outcome], outcome, seconds, sent)
            self._fold_pictures()
            return
        batch = self._batches[outcome]
        batch.number += 1
        batch.seconds += seconds
        batch.sent += sent
        if not self._due:
            self._due = True
            loop.call_later(_FOLD_AFTER, self.fold)

    def fold(self) -> None:
        """Add what was counted quickly to the metrics."""
        self._due = False
        for outcome, batch in self._batches.items():
            if batch.number:
                labeled = self._of(_PICTURES, STATUSES[outcome], outcome).add(batch.number, batch.sent)
                labeled.observe_low(batch.number, batch.seconds)
                self._batches[outcome] = _Batch()
        self._fold_pictures()

    def _fold_pictures(self) -> None:
        for extension, tally in self._pictures.items():
            if tally.sent:
                self.count_picture(extension, tally.sent, tally.original)
                tally.sent = tally.original = 0

    def _of(self, route: str, status: int, outcome: str) -> "_Labeled":
        """Return the cached labeled metrics; a lookup by labels costs more than a memory hit."""
        known = self._labeled.get((route, status, outcome))
        if known is None:
            known = self._labeled[route, status, outcome] = _Labeled(self._metrics, route, status, outcome)
        return known


class _Labeled:
    """The metrics of one kind of request."""

    def __init__(self, metrics: Metrics, route: str, status: int, outcome: str) -> None:
        self._requests = metrics.requests.labels(route, str(status), outcome)
        self._bytes = metrics.response_bytes.labels(route)
        seconds = metrics.request_seconds.labels(outcome)
        self.observe = seconds.observe
        self.observe_low = seconds.observe_low

    def add(self, number: int, sent: int) -> "_Labeled":
        self._requests.inc(number)
        self._bytes.inc(sent)
        return self


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


request_id_of_context: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being handled, for log lines; empty outside of requests."""
KEY = "imgserve.record"
"""The key of the request's record in its ASGI scope."""
REQUEST_ID = "imgserve.request_id"
"""The key of a trusted proxy's X-Request-Id in the request state."""
STOPPING = "imgserve.stopping"
"""The key in the request state that is set when the server stops: a response without an end has to end."""
FROM_PROXY = "imgserve.from_proxy"
"""The key in the request state of whether the connection is from a trusted proxy."""
_CLIENT_GONE = 499
"""The status that nginx logs if the client has disconnected."""


@dataclass(slots=True)
class RequestRecord:
    """The record of a request that the inner layers fill in."""

    request_id: str
    route: str = "other"
    outcome: str = ""
    status: int = 0
    sent: int = 0
    extra_headers: RawHeaders = field(default_factory=list)
    """Added to every response, errors included."""
    image_id: str = ""
    """The path of a picture; empty if it is none, or not permitted."""
    picture: tuple[str, int] | None = None
    """The extension of a picture that is sent, and the bytes of its original."""
    site: str = ""
    """The site of a picture; empty for none."""
    caller: str = ""
    """The caller whose API key was valid; empty for none."""
    private: bool = False
    """No part of the response may be cached, not even a 404."""
    error_picture: tuple[RawHeaders, bytes] | None = None
    """Replaces the body of an error, and the headers about it."""


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Numbers, counts and logs requests; shared by the hot path and the middleware."""

    metrics: RequestMetrics
    access_log: AccessLog
    ids: RequestIds = field(default_factory=RequestIds)
    abuse: AbuseWatch | None = None
    """Counts the requests of the ordinary path."""

    def finish(
        self, scope: Scope, record: RequestRecord, arrived: float, seconds: float, *, trace_id: str = ""
    ) -> None:
        """Count a request, with its trace as the exemplar of its duration, and write its access log line."""
        record.status = record.status or _CLIENT_GONE
        record.outcome = record.outcome or "ok"
        self.metrics.count(record.route, record.status, record.outcome, seconds, record.sent, trace_id=trace_id)
        if record.site:
            self.metrics.count_site(record.site, record.outcome)
        if record.picture is not None and record.status == HTTPStatus.OK and record.sent:
            extension, original = record.picture
            self.metrics.count_picture(extension, record.sent, original)
        headers = dict(scope["headers"])
        query: bytes = scope["query_string"]
        path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        client = scope.get("client")
        address = client[0] if client else ""
        if self.abuse is not None:
            referrer = headers.get(b"referer") or headers.get(b"origin", b"")
            finished = Finished(
                record.outcome,
                address,
                referrer,
                record.image_id,
                record.site,
                record.caller,
                record.request_id,
                path,
                record.sent,
            )
            self.abuse.note(finished)
        what = scope["method"], path + b"?" + query if query else path, record.status, record.sent
        who = record.outcome, headers.get(b"referer", b""), headers.get(b"user-agent", b""), address
        self.access_log.write(what, who, record.request_id.encode(), arrived, seconds)


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


@dataclass(frozen=True, slots=True)
class RequestMiddleware:
    """Assigns a request id, converts errors to problems, and counts and logs responses."""

    app: ASGIApp
    requests: RequestLog
    allowed_hosts: Collection[str]
    not_found_max_age: int
    tracing: Tracing | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other kinds of scope pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, arrived = time.perf_counter(), time.time()
        record = RequestRecord(scope.get("state", {}).get(REQUEST_ID) or self.requests.ids.draw())
        scope[KEY] = record
        request_id_of_context.set(record.request_id)  # each request has a context of its own
        trace = None if self.tracing is None else self.tracing.begin(scope)
        tail = (b"x-request-id", record.request_id.encode())
        head = scope["method"] == "HEAD"
        body = None if scope["method"] in {"GET", "HEAD", "OPTIONS"} else RequestBody(scope, receive)

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers, more = with_one_vary(message["headers"], record.extra_headers)
                message["headers"] = [*headers, *more, tail]
            elif head:
                message = {**message, "body": b""}
            else:
                record.sent += len(message.get("body", b""))
            await send(message)

        try:
            # Health checks use the address, whatever hosts are allowed.
            allowed = ("*",) if scope["path"] in {"/healthz", "/readyz"} else self.allowed_hosts
            check_host(scope["headers"], scope["http_version"], allowed)
            await self.app(scope, receive if body is None else body.receive, observed)
        except ImgserveError as error:
            await self._refuse(error, scope, record, observed, body)
        except Exception:
            _logger.exception("request %s failed", record.request_id)
            await self._refuse(ImgserveError(), scope, record, observed, body)
        finally:
            seconds = time.perf_counter() - started
            self.requests.finish(scope, record, arrived, seconds, trace_id="" if trace is None else trace.trace_id)
            if trace is not None and self.tracing is not None:
                self.tracing.finish(trace, scope)

    async def _refuse(
        self, error: ImgserveError, scope: Scope, record: RequestRecord, send: Send, request_body: RequestBody | None
    ) -> None:
        record.outcome = error.code
        if isinstance(error, Forbidden) and error.caller:
            record.caller = error.caller
        self.requests.metrics.count_error(error.code)
        if record.status:
            # Half a response was sent; only closing the connection signals that the rest is missing.
            raise error
        status, headers, body = problem(
            error,
            instance=scope["path"],
            request_id=record.request_id,
            not_found_max_age=0 if record.private else self.not_found_max_age,
        )
        if record.error_picture is not None:
            about, body = record.error_picture
            names = {name for name, _ in about}
            headers = [*(header for header in headers if header[0] not in names), *about]
        if isinstance(error, BadHost):
            headers.append((b"connection", b"close"))
        if request_body is not None and request_body.much_unread:
            await request_body.refuse(status, headers, body, send)
            return
        await send_response(send, status, headers, body)


@dataclass(frozen=True, slots=True)
class PictureDispatch:
    """Passes picture requests, the vast majority, to their endpoint without the router."""

    app: ASGIApp
    prefix: str
    pictures: ASGIApp
    others: Collection[BaseRoute]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a picture request, or pass the request to the router."""
        if scope["type"] != "http":
            picture = False
        elif self.prefix:
            picture = scope["path"].startswith(f"{scope.get('root_path', '')}{self.prefix}/")
        else:
            picture = not any(route.matches(scope)[0] is Match.FULL for route in self.others)
        await (self.pictures if picture else self.app)(scope, receive, send)


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
