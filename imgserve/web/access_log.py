"""The access log: one line for each request, JSON or text, to standard output or a file. It never fails a request."""

import json
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_plus

from imgserve.errors import ConfigError

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
    """Writes one line per request, or nothing."""

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
