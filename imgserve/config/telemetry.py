"""The sections of the settings about log, metrics and traces."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from imgserve.config.sections import Token
from imgserve.config.values import Duration, Section, Words, each, is_network
from imgserve.validation import expected


def _access(text: str) -> str:
    if not text.strip():
        raise expected("off, stdout or the path of a file")
    return text


class LogConfig(Section):
    """Logging."""

    access: Annotated[str, AfterValidator(_access)] = "stdout"
    """Access log, one line per request: off, stdout or the path of a file."""
    access_style: Literal["text", "json"] = "text"
    """Format of the access log: text or json."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log messages on stderr: debug, info, warning or error."""
    format: Literal["auto", "console", "json"] = "auto"
    """Format of log messages: console, json (one object per line), or auto: console on a terminal, json otherwise."""
    slow_render: Duration = 5.0
    """Renderings of at least this time are logged with image and transform; 0 for none."""


def _is_metrics_reader(text: str) -> bool:
    return text in {"loopback", "everyone"} or is_network(text)


class MetricsConfig(Section):
    """Prometheus metrics at /metrics."""

    enabled: bool = True
    """Collect metrics and serve them at /metrics."""
    open_to: Annotated[
        Words,
        AfterValidator(each(_is_metrics_reader, "loopback, everyone, or IP addresses and networks such as 10.0.0.0/8")),
    ] = ("loopback",)
    """Who may read them: loopback (direct requests of this machine), networks such as 10.0.0.0/8, or everyone."""
    token: Token = SecretStr("")
    """Bearer token that opens /metrics to its holders, also through a proxy; empty for none."""


def _collector(text: str) -> str:
    parts = urlsplit(text)
    if text and not (parts.scheme in {"http", "https"} and parts.hostname):
        raise expected("the URL of a collector such as http://127.0.0.1:4318")
    return text


class TracingConfig(Section):
    """Traces of requests, sent over OTLP/HTTP; needs imgserve[otel]."""

    endpoint: Annotated[str, AfterValidator(_collector)] = ""
    """URL of the collector, such as http://127.0.0.1:4318; empty for no traces. Hits of the hot path are not traced."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Part of the requests that is traced, unless the caller's traceparent decides."""
