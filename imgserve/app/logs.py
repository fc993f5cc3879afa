"""Logging of a server process: lines for people on a terminal, JSON for programs, and no secrets in either."""

import json
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import quote, urlsplit

import structlog
from pydantic import BaseModel, SecretStr
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, WrappedLogger

from imgserve.config import Config
from imgserve.tracing import current_trace
from imgserve.web.access_log import mask_query
from imgserve.web.middleware import request_id_of_context

_FIRST = ("time", "level", "logger", "message", "request_id")
_HIDDEN = "***"
_SHORTEST_SECRET = 6
"""A shorter secret would hide parts of words."""
_HEADERS = "authorization|proxy-authorization|cookie|set-cookie|x-api-key"
_NAMES = r"\w*(?:password|passwd|secret|token|api_?key|admin_?key|signing_?key)\w*"
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<=\?)[^\s\"'<>]+"), lambda found: mask_query(found[0])),
    (re.compile(r"(://[^/\s:@]*:)[^/\s]+@"), rf"\1{_HIDDEN}@"),
    (
        re.compile(
            rf"\b((?:{_HEADERS})(?:['\"]\s*,\s*|['\"]?\s*[:=]\s*))(b?\"[^\"]*\"|b?'[^']*'|[^\r\n]+)", re.IGNORECASE
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{12,}", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (
        re.compile(rf"\b({_NAMES}['\"]?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&)}}\]<>'\"]+)", re.IGNORECASE),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\bimg_[\w-]{20,}"), f"img_{_HIDDEN}"),
)
"""Values after names that announce a secret, in URLs, headers and settings, and API keys wherever they are."""
_SENSITIVE = re.compile(rf"{_HEADERS}|{_NAMES}|signature", re.IGNORECASE)
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in {"\t", "\n"}
}


class SecretMask:
    """A processor that hides secrets in all values of a log line."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        """Hide these values too, as they are and escaped for URLs."""
        spelled = {form for one in secrets if len(one) >= _SHORTEST_SECRET for form in (one, quote(one, safe=""))}
        longest_first = sorted(spelled, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if spelled else None

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return the line without secrets."""
        return {name: self._hidden(name, value) for name, value in event.items()}

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if self._known is not None:
            text = self._known.sub(_HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def _hidden(self, name: str, value: Any) -> Any:
        if value and _SENSITIVE.fullmatch(name):
            return _HIDDEN
        return self.text(value) if isinstance(value, str) else value


def secrets_of(value: object) -> Iterator[str]:
    """Yield every secret of the settings, also the passwords of URLs."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for _, part in value:
                yield from secrets_of(part)
        case str() if "://" in value and "@" in value:
            yield urlsplit(value).password or ""
        case Mapping():
            for part in value.values():
                yield from secrets_of(part)
        case list() | tuple() | set() | frozenset():
            for part in value:
                yield from secrets_of(part)


def configure_logging(config: Config, stream: TextIO | None = None) -> None:
    """Log to standard error in the format of the settings; a program that has configured logging keeps its own."""
    stream = stream or sys.stderr
    console = stream.isatty() if config.log.format == "auto" else config.log.format == "console"
    handler = logging.StreamHandler(stream)
    colors = console and stream.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(formatter(console=console, colors=colors, secrets=set(secrets_of(config))))
    logging.basicConfig(level=config.log.level.upper(), handlers=[handler])
    events, plain = logging.getLogger("imgserve.security"), logging.StreamHandler(stream)
    plain.setFormatter(logging.Formatter("%(message)s"))  # lines of JSON, for programs
    events.handlers, events.propagate = [plain], False
    for library in ("alembic", "httpx2", "watchfiles"):
        # They log every step at the level at which we log events of the server.
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))


def formatter(*, console: bool, colors: bool = False, secrets: Collection[str] = ()) -> ProcessorFormatter:
    """Return a formatter for records of every logger."""
    last: tuple[structlog.typing.Processor, ...] = (
        (_for_people, ConsoleRenderer(colors=colors, exception_formatter=plain_traceback, event_key="message"))
        if console
        else (_in_order, structlog.processors.JSONRenderer(json.dumps, separators=(",", ":")))
    )
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, add_logger_name, ExtraAdder(), _add_time_and_request],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            SecretMask(secrets),
            *last,
        ],
    )


def _add_time_and_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["time"] = event["_record"].created
    if request_id := request_id_of_context.get():
        event["request_id"] = request_id
    if (trace := current_trace.get()) is not None:
        event["trace_id"] = trace.trace_id
    event.pop("color_message", None)  # uvicorn's second spelling of its message
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    moment = datetime.fromtimestamp(event["time"], UTC)
    event["time"] = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    return {name: event[name] for name in (*_FIRST, *event) if name in event}


def _for_people(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return a short line: the local time, and names of loggers without our prefix; it cannot control the terminal."""
    event["timestamp"] = datetime.fromtimestamp(event.pop("time")).astimezone().strftime("%H:%M:%S")
    event["logger"] = event["logger"].removeprefix("imgserve.")
    shown = {name: value.translate(_CONTROL) if isinstance(value, str) else value for name, value in event.items()}
    # Further lines of a message, such as a traceback that uvicorn logs, are indented: none can pass for a line of ours.
    head, _, rest = shown["message"].partition("\n")
    below = [textwrap.indent(rest, "  ").rstrip(), shown.pop("exception", "")]
    fields = {name: value.replace("\n", "\\n") if isinstance(value, str) else value for name, value in shown.items()}
    return {**fields, "message": head} | ({"exception": text} if (text := "\n".join(filter(None, below))) else {})
