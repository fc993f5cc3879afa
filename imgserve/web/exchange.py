"""One request and its answer as the outermost layer sees them: id, outcome, bytes. Knows no routes and no pictures."""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgserve.errors import BadHost, ImgserveError
from imgserve.metrics import Metrics
from imgserve.web.access_log import AccessLog, AccessRecord
from imgserve.web.figures import RequestFigures
from imgserve.web.hosts import check_host
from imgserve.web.problem import problem
from imgserve.web.request_body import RequestBody, may_have_body
from imgserve.web.request_ids import RequestIds

_logger = logging.getLogger("imgserve.web")

KEY = "imgserve.exchange"
_CLIENT_GONE = 499
"""Not a status of HTTP; nginx writes it where nobody was left to answer."""


_PROBES = {"/healthz", "/readyz"}
_ANY_HOST = ("*",)
"""Machines ask for health by address, whatever names the server answers to."""


@dataclass(slots=True)
class Exchange:
    """What the layers below tell of the request they answer."""

    request_id: str
    route: str = "other"
    outcome: str = ""
    status: int = 0
    sent: int = 0
    extra_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Added to whatever is answered, errors included."""
    private: bool = False
    """Nothing of it is for a cache, not even that something is absent."""


class ExchangeMiddleware:
    """Gives each request an id, turns errors into problems, counts and logs the answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        figures: RequestFigures,
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
        """Answer one request; other kinds of scope pass by."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, arrived = time.perf_counter(), time.time()
        exchange = Exchange(self._ids.draw())
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
        self, error: ImgserveError, scope: Scope, exchange: Exchange, send: Send, request_body: RequestBody | None
    ) -> None:
        exchange.outcome = error.code
        self._metrics.rejected.labels(error.code).inc()
        if exchange.status:
            # Half an answer is out; only a closed connection tells the client that the rest will not come.
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

    def _record(self, scope: Scope, exchange: Exchange, arrived: float, seconds: float) -> None:
        status = exchange.status or _CLIENT_GONE
        self._figures.count(exchange.route, status, exchange.outcome or "ok", seconds, exchange.sent)
        if self._access_log.enabled:
            self._access_log.write(access_record(scope, exchange, arrived, seconds, status))


def access_record(scope: Scope, exchange: Exchange, arrived: float, seconds: float, status: int) -> AccessRecord:
    """Write down one request and what became of it."""
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
