"""The sections of the settings about access, catalog, caches in front, serving and uploads."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from imgserve.config.values import (
    WHOLE_DURATION,
    Duration,
    HostPatterns,
    ListeningHost,
    Networks,
    Section,
    Sides,
    Size,
    WebOrigins,
    WholeDuration,
    Words,
    mistake,
    split_words,
    stated,
)

_EXPECTED_KEY = (
    "expected at least 16 visible ASCII characters, or sha256: and 64 hexadecimal digits; it is not shown here"
)
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_KEY = re.compile(r"[\x21-\x7e]{16,500}")


def _key(secret: SecretStr) -> SecretStr:
    """Check a key without repeating it."""
    text = secret.get_secret_value()
    if text and not (_DIGEST.fullmatch(text) if text.startswith("sha256:") else _KEY.fullmatch(text)):
        raise stated(_EXPECTED_KEY)
    return secret


class AccessConfig(Section):
    """Who may use the API."""

    admin_key: Annotated[SecretStr, AfterValidator(_key)] = SecretStr("")
    """Key of the API, or sha256: and its SHA-256 in hexadecimal; empty for one made and shown at first start."""


_EXPECTED_URL = "sqlite:///folder/catalog.sqlite, postgresql://user:password@host/name, or nothing"
_BEGINNINGS = ("sqlite:///", "postgresql://", "postgres://")


def _database(text: str) -> str:
    """Check an address without repeating it, for it may hold a password."""
    if text and not (text.startswith(_BEGINNINGS) and text.partition("//")[2].strip("/")):
        raise stated(f"expected {_EXPECTED_URL}; what is there is not repeated, for it may hold a password")
    return text


class CatalogConfig(Section):
    """What is known about images beside their files."""

    url: Annotated[str, AfterValidator(_database), Field(repr=False)] = ""
    """Database of the catalog, sqlite:///file or postgresql://...; empty for a file beside the originals."""
    patience: Annotated[Duration, Field(gt=0, le=60)] = 5.0
    """How long a change may wait for the database; pictures never wait for it."""
    near: Annotated[int, Field(ge=0, le=32)] = 10
    """Bits of 64 by which the perceptual hashes of near duplicates may differ; others differ in 22 or more."""


_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?", re.IGNORECASE)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text))


def _address(text: str) -> str:
    if not _is_address(text):
        raise mistake("an address such as https://api.example.com")
    return text.rstrip("/")


def _addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_is_address, values)):
        raise mistake("addresses such as http://127.0.0.1:6081")
    return tuple(value.rstrip("/") for value in values)


def _headers(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_HEADER.fullmatch, values)):
        raise mistake("names of headers such as Cache-Tag")
    return values


Address = Annotated[str, AfterValidator(_address)]
"""Where an API is, without a slash at the end."""
Addresses = Annotated[Words, AfterValidator(_addresses)]
"""Where caches are."""


class CloudflareConfig(Section):
    """Cloudflare, told by Cache-Tag."""

    zone: str = ""
    """Id of the zone; empty for no calls to Cloudflare."""
    token: SecretStr = SecretStr("")
    """API token that may purge the zone."""
    api: Address = "https://api.cloudflare.com/client/v4"
    """Where the API is."""


class FastlyConfig(Section):
    """Fastly, told by Surrogate-Key."""

    service: str = ""
    """Id of the service; empty for no calls to Fastly."""
    token: SecretStr = SecretStr("")
    """API token that may purge the service."""
    soft: bool = True
    """Let Fastly show what it has while it asks again."""
    api: Address = "https://api.fastly.com"
    """Where the API is."""


class CdnConfig(Section):
    """Caches in front of the server."""

    tag_headers: Annotated[Words, AfterValidator(_headers)] = ("Cache-Tag", "Surrogate-Key")
    """Headers that tell caches the tags of a picture; an empty list for none."""
    cloudflare: CloudflareConfig = CloudflareConfig()
    fastly: FastlyConfig = FastlyConfig()
    varnish_urls: Addresses = ()
    """Varnish servers that are sent BAN when pictures are purged, such as http://127.0.0.1:6081."""
    purge_urls: Addresses = ()
    """Other caches that are sent PURGE with the paths of pictures, such as http://127.0.0.1:8080."""
    give_up: Annotated[Duration, Field(le=86400)] = 3600.0
    """How long a cache that does not answer is told again."""


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


_PORTS_SCHEMA = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}
_Ports = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(split_words), WithJsonSchema(_PORTS_SCHEMA)
]


class UploadsConfig(Section):
    """Pictures that clients bring, or name by an address; how large one may be says limits.original_bytes."""

    duplicates: Literal["existing", "refuse"] = "existing"
    """An upload of bytes that are here already: existing answers with the image that has them, refuse with 409."""
    files: Annotated[int, Field(ge=1, le=1000)] = 100
    """Files, or addresses, in one request."""
    request_bytes: Annotated[Size, Field(gt=0)] = 2_000_000_000
    """Most bytes of one request with all its files."""
    fetch: bool = True
    """Fetch pictures from addresses that clients name."""
    fetch_networks: Networks = ()
    """Networks of your own, such as 10.1.0.0/16, that may be fetched from beside the public Internet."""
    fetch_ports: _Ports = (80, 443)
    """Ports that may be fetched from."""
    fetch_timeout: Annotated[Duration, Field(gt=0, le=3600)] = 60.0
    """Time to fetch one picture, from the first look-up of its host to its last byte."""
