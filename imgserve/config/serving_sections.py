"""The sections about serving: addresses, answers, the listening server, its log and its metrics."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from imgserve.config.units import WHOLE_DURATION, Duration, WholeDuration
from imgserve.config.values import HostPatterns, ListeningHost, Networks, Section, Sides, WebOrigins, mistake

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_TAKEN = {"admin", "api", "docs", "healthz", "metrics", "openapi.json", "readyz", "system-check"}
_YEAR = 365 * 86400
_Timeout = Annotated[Duration, Field(gt=0, le=30)]
"""A client may hold a connection idle for 30 s at most, or a few hundred of them keep all others out."""


def _prefix(text: str) -> str:
    path = text.rstrip("/")
    first = path.removeprefix("/").partition("/")[0]
    if not _PREFIX.fullmatch(path) or first in {".", ".."}:
        raise mistake("a path such as /img, or / for none")
    if first.lower() in _TAKEN:
        raise mistake(f"a path other than /{first}, which imgserve itself answers")
    return path


def _access(text: str) -> str:
    if not text.strip():
        raise mistake("off, stdout or the path of a file")
    return text


class UrlsConfig(Section):
    """How the addresses of pictures look."""

    prefix: Annotated[str, AfterValidator(_prefix)] = "/img"
    """What stands before the image id in an address; / for nothing."""
    strict: bool = False
    """Refuse unknown parameters with 400 instead of ignoring them."""
    sizes: Sides = ()
    """The only widths and heights made, such as 320, 640, 1280: others become the next larger; empty for any."""


class HttpConfig(Section):
    """What answers tell browsers and caches."""

    max_age: Annotated[WholeDuration, Field(le=_YEAR)] = 3600
    """How long browsers and caches may show a picture without asking again."""
    s_maxage: Annotated[Annotated[int, Field(le=_YEAR)] | None, WHOLE_DURATION] = None
    """The same for shared caches such as a CDN; empty for the same time."""
    stale_while_revalidate: Annotated[WholeDuration, Field(le=_YEAR)] = 86400
    """How much longer they may show it while they ask again; 0 for not at all."""
    stale_if_error: Annotated[WholeDuration, Field(le=_YEAR)] = 86400
    """How much longer they may show it while imgserve cannot be reached; 0 for not at all."""
    immutable: bool = False
    """Promise that a picture never changes under its address: browsers then skip asking on reload."""
    not_found_max_age: Annotated[WholeDuration, Field(le=_YEAR)] = 10
    """How long caches may remember that there is no such picture."""
    cors_origins: WebOrigins = ("*",)
    """Web origins whose scripts may read pictures; "*" for all, an empty list for none."""
    cors_max_age: Annotated[WholeDuration, Field(le=_YEAR)] = 86400
    """How long browsers may remember the answer to a CORS preflight."""
    timing_header: bool = True
    """Tell in Server-Timing and Cache-Status where an answer came from and how long it took."""


class ServerConfig(Section):
    """Where the server listens and how patient it is."""

    host: ListeningHost = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every IPv4 address, :: for every address."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port to listen on; 0 for any free one."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Server processes."""
    allowed_hosts: HostPatterns = ("*",)
    """Host names that requests may name, *.example.com for all below; "*" for any."""
    header_timeout: _Timeout = 15.0
    """Time that a client has to send its request headers."""
    body_timeout: _Timeout = 20.0
    """Longest pause in a request body."""
    keep_alive: _Timeout = 15.0
    """How long an idle connection is kept."""
    slow_reader_timeout: _Timeout = 25.0
    """Longest time without a client taking any of its answer."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Open connections of each server process."""
    grace: Annotated[Duration, Field(le=3600)] = 20.0
    """Time to finish running requests after SIGTERM."""
    trusted_proxies: Networks = ("127.0.0.1",)
    """Addresses of proxies whose X-Forwarded headers are believed."""


class LogConfig(Section):
    """What is written down."""

    access: Annotated[str, AfterValidator(_access)] = "stdout"
    """One line per request: off, stdout or the path of a file."""
    access_style: Literal["text", "json"] = "text"
    """How that line looks: text or json."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least serious message that is logged, on stderr: debug, info, warning or error."""


class MetricsConfig(Section):
    """Figures for Prometheus at /metrics."""

    enabled: bool = True
    """Count and answer at /metrics."""
    open_to: Literal["loopback", "everyone"] = "loopback"
    """Who may read them: loopback for this machine alone, everyone for all who reach the server."""
