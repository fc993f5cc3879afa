"""The record of each request: its id, its metrics, and what the access log tells of it."""

import asyncio
import itertools
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from starlette.types import Scope

from imgserve.http.headers import RawHeaders
from imgserve.metrics import LATENCY, Metrics
from imgserve.web.access_log import AccessLog

QuickOutcome = Literal["memory", "disk", "not_modified"]
STATUSES: Mapping[QuickOutcome, int] = {"memory": 200, "disk": 200, "not_modified": 304}
"""Outcomes that are counted quickly, and their status."""
_PICTURES = "image"
"""The route of quickly counted requests."""
_FOLD_AFTER = 0.02
"""Seconds until quickly counted requests reach the metrics."""


class _Batch:
    """Requests of one outcome, all within the first bucket."""

    __slots__ = ("number", "seconds", "sent")

    def __init__(self) -> None:
        self.number = 0
        self.seconds = 0.0
        self.sent = 0


class RequestMetrics:
    """Counts responses, their duration and their bytes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._labeled: dict[tuple[str, int, str], _Labeled] = {}
        self._batches: dict[QuickOutcome, _Batch] = {outcome: _Batch() for outcome in STATUSES}
        self._due = False

    def count(self, route: str, status: int, outcome: str, seconds: float, sent: int) -> None:
        """Count one request."""
        self._of(route, status, outcome).add(1, sent).observe(seconds)

    def count_error(self, code: str) -> None:
        """Count one rejected or failed request by its machine code."""
        self._metrics.rejected.labels(code).inc()

    def count_quickly(self, outcome: QuickOutcome, seconds: float, sent: int, loop: asyncio.AbstractEventLoop) -> None:
        """Count one picture request in plain integers, at a tenth of the cost; `fold` adds them to the metrics."""
        if seconds > LATENCY[0]:
            self.count(_PICTURES, STATUSES[outcome], outcome, seconds, sent)
            return
        batch = self._batches[outcome]
        batch.number += 1
        batch.seconds += seconds
        batch.sent += sent
        if not self._due:
            self._due = True
            loop.call_later(_FOLD_AFTER, self.fold)

    def fold(self) -> None:
        """Add the quickly counted requests to the metrics."""
        self._due = False
        for outcome, batch in self._batches.items():
            if batch.number:
                labeled = self._of(_PICTURES, STATUSES[outcome], outcome).add(batch.number, batch.sent)
                labeled.observe_low(batch.number, batch.seconds)
                self._batches[outcome] = _Batch()

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


KEY = "imgserve.record"
"""The key of the request's record in its ASGI scope."""
REQUEST_ID = "imgserve.request_id"
"""The key of a trusted proxy's X-Request-Id in the request state."""
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
    private: bool = False
    """No part of the response may be cached, not even a 404."""


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Numbers, counts and logs requests; shared by the hot path and the middleware."""

    metrics: RequestMetrics
    access_log: AccessLog
    ids: RequestIds = field(default_factory=RequestIds)

    def finish(self, scope: Scope, record: RequestRecord, arrived: float, seconds: float) -> None:
        """Count a request and write its access log line."""
        record.status = record.status or _CLIENT_GONE
        record.outcome = record.outcome or "ok"
        self.metrics.count(record.route, record.status, record.outcome, seconds, record.sent)
        headers = dict(scope["headers"])
        query: bytes = scope["query_string"]
        path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        client = scope.get("client")
        what = scope["method"], path + b"?" + query if query else path, record.status, record.sent
        who = record.outcome, headers.get(b"referer", b""), headers.get(b"user-agent", b""), client[0] if client else ""
        self.access_log.write(what, who, record.request_id.encode(), arrived, seconds)
