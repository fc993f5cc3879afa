"""The record of each request: its id, its metrics, and its line in the access log."""

import asyncio
import itertools
import json
import logging
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_plus

from starlette.types import Scope

from imgserve.errors import ConfigError
from imgserve.http.headers import RawHeaders
from imgserve.metrics import LATENCY, Metrics

Style = Literal["json", "text"]

_SECRETS = {"s", "signature", "key", "s64", "signature64", "key64"}
_MAX_FIELD = 2048  # a line stays below the 8 KiB that one write puts into a file whole
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)} | {ord('"'): '\\"', ord("\\"): "\\\\"}
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # printable ASCII without the quote and the backslash
_QUERY_PAIR = re.compile(r"[^&#]+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """The fields of one log line."""

    time: float
    """When it arrived, in Unix seconds."""
    method: str
    path: str
    """As sent; a query is logged without its secrets."""
    status: int
    bytes: int
    """Of the body."""
    duration: float
    """Seconds."""
    outcome: str = ""
    referrer: str = ""
    user_agent: str = ""
    remote: str = ""
    request_id: str = ""


class AccessLog:
    """Writes one line per request as JSON or text, to standard output or a file; it never fails a request."""

    def __init__(self, target: str, style: Style = "json") -> None:
        self._handler = _open(target)
        self._format: Callable[[AccessRecord], str] = {"json": _json_line, "text": _text_line}[style]

    @property
    def enabled(self) -> bool:
        """Return whether lines are written, so that callers can skip creating records."""
        return self._handler is not None

    def write(self, record: AccessRecord) -> None:
        """Write one line; a failure loses the line and is reported once."""
        if self._handler is not None:
            line = self._format(record)
            self._handler.handle(logging.LogRecord("access", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Flush and close a file; standard output stays open."""
        if self._handler is not None:
            self._handler.close()
            self._handler = None


class _Forgiving(logging.Handler):
    """Reports only the first of consecutive failures."""

    failing = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  the name and arguments of logging
        if not self.failing:
            _log.error("cannot write the access log: %s", sys.exception())
        self.failing = True

    def flush(self) -> None:
        super().flush()
        self.failing = False


class _Output(_Forgiving, logging.StreamHandler):  # type: ignore[type-arg]  # not generic at run time in 3.11
    """Standard output."""


class _File(_Forgiving, WatchedFileHandler):
    """A file that is reopened after rotation; checking for rotation can fail as well."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # a full disk may still refuse the last lines
            _log.error("cannot write the end of the access log: %s", error)


def _open(target: str) -> logging.Handler | None:
    if target == "off":
        return None
    if target == "stdout":
        return _Output(sys.stdout)
    try:
        return _File(Path(target), encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"access log: cannot write to {target}: {error.strerror}"]) from error


def _fields(record: AccessRecord) -> dict[str, str | int | float]:
    moment = datetime.fromtimestamp(record.time, UTC).isoformat(timespec="milliseconds")
    return {
        "time": moment.replace("+00:00", "Z"),
        "method": record.method,
        "path": _printable(_mask(record.path)),
        "status": record.status,
        "bytes": record.bytes,
        "duration_ms": round(record.duration * 1000, 2),
        "outcome": record.outcome,
        "referrer": _printable(_mask(record.referrer)),
        "user_agent": _printable(record.user_agent),
        "remote": record.remote,
        "request_id": record.request_id,
    }


def _json_line(record: AccessRecord) -> str:
    return json.dumps(_fields(record), separators=(",", ":"))


def _text_line(record: AccessRecord) -> str:
    return " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())


def _quoted(value: str | float) -> str:
    """Return a value quoted so that it can neither end the line nor control a terminal."""
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value):  # nearly all are, and this is half the price of a line
        return f'"{value}"'
    return f'"{value.translate(_CONTROL).encode("ascii", "backslashreplace").decode()}"'


def _printable(text: str) -> str:
    """Return text of limited length with invalid characters escaped, so that a line is valid UTF-8."""
    shown = text if len(text) <= _MAX_FIELD else text[:_MAX_FIELD] + "..."
    return shown if shown.isascii() else shown.encode("utf-8", "backslashreplace").decode()


def _mask(url: str) -> str:
    """Return a URL with the values of secret parameters hidden."""
    path, question, query = url.partition("?")
    return path + question + _QUERY_PAIR.sub(_masked_pair, query) if question else url


def _masked_pair(pair: re.Match[str]) -> str:
    name, equals, _ = pair[0].partition("=")
    return f"{name}=***" if equals and unquote_plus(name).strip().lower() in _SECRETS else pair[0]


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
        self.write(scope, record, arrived, seconds)

    def write(self, scope: Scope, record: RequestRecord, arrived: float, seconds: float) -> None:
        """Write the access log line of a request that arrived at a Unix time and lasted some seconds."""
        if not self.access_log.enabled:
            return
        headers = dict(scope["headers"])
        query: bytes = scope["query_string"]
        target: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
        client = scope.get("client")
        self.access_log.write(
            AccessRecord(
                time=arrived,
                method=scope["method"],
                path=(target + b"?" + query if query else target).decode("latin-1"),
                status=record.status,
                bytes=record.sent,
                duration=seconds,
                outcome=record.outcome,
                referrer=headers.get(b"referer", b"").decode("latin-1"),
                user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
                remote=client[0] if client else "",
                request_id=record.request_id,
            )
        )
