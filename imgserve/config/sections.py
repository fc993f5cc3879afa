"""The sections of the settings about access, catalog, caches in front, serving and uploads."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from imgserve.config.values import (
    WHOLE_DURATION,
    WORDS_SCHEMA,
    Duration,
    HostPatterns,
    ListeningHost,
    Networks,
    Numbers,
    Rates,
    Section,
    Size,
    WebOrigins,
    WholeDuration,
    Words,
    each,
    split_words,
)
from imgserve.transform.hints import HINTS
from imgserve.validation import expected, stated

_KEY = r"[\x21-\x7e]{16,500}"


def hidden(pattern: str, expected: str) -> AfterValidator:
    """Return a validator of a secret, or a URL with one, that may be empty; its error does not repeat the value."""

    def check(value: str | SecretStr) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and not re.fullmatch(pattern, text):
            raise stated(f"expected {expected}")
        return value

    return AfterValidator(check)


_Key = Annotated[
    SecretStr,
    hidden(
        rf"(?!sha256:){_KEY}|sha256:[0-9a-fA-F]{{64}}",
        "at least 16 visible ASCII characters, or sha256: and 64 hexadecimal digits; it is not shown here",
    ),
]
Token = Annotated[SecretStr, hidden(_KEY, "at least 16 visible ASCII characters; the token is not shown here")]
SIGNING_RULE = "at least 16 visible ASCII characters without commas"
_SIGNING_SECRET = re.compile(r"(?!.*,)" + _KEY)


def is_signing_secret(text: str) -> bool:
    """Return whether a text can be a secret of signatures; a comma would separate two in an environment variable."""
    return bool(_SIGNING_SECRET.fullmatch(text))


def _signing_secrets(value: object) -> object:
    """Return the items of a list or of text with commas; the error repeats no secret."""
    words = split_words(value)
    items = words if isinstance(words, (list, tuple)) else [words]
    plain = [item.get_secret_value() if isinstance(item, SecretStr) else item for item in items]
    if not all(isinstance(item, str) and is_signing_secret(item) for item in plain):
        raise stated(f"expected secrets of {SIGNING_RULE}; they are not shown here")
    return items


SigningSecrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_signing_secrets), WithJsonSchema(WORDS_SCHEMA)]

Readers = Literal["everyone", "key", "loopback", "off"]
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DAYS = 400 * 86400
"""Browsers limit the age of cookies to 400 days."""


def _user_header(text: str) -> str:
    if text and (not _HEADER.fullmatch(text) or text.lower() in {"authorization", "cookie", "host", "origin"}):
        raise expected("the name of a header such as Remote-User")
    return text


class AccessConfig(Section):
    """Who may use the API, and see the server's own pages."""

    admin_key: _Key = SecretStr("")
    """Key of the API, or sha256: followed by its SHA-256 in hexadecimal; empty generates one at first start."""
    audit: Annotated[WholeDuration, Field(ge=3600)] = 90 * 86400
    """How long the audit log is stored: who changed what, when and from where."""
    welcome: Readers = "everyone"
    """Who may see the page at /: everyone, key (its password), loopback (direct requests of this machine), or off."""
    docs: Readers = "everyone"
    """The same for /docs/api and /openapi.json."""
    explain: Readers = "everyone"
    """The same for explain=1 at the URL of a picture, for those who may see the picture."""
    admin: Literal["everyone", "loopback", "off"] = "everyone"
    """From where people may sign in at /admin/: everyone, loopback (direct requests of this machine), or off."""
    session_idle: Annotated[Duration, Field(ge=60, le=_DAYS)] = 43200.0
    """A session ends when it is not used for this long."""
    session_length: Annotated[Duration, Field(ge=60, le=_DAYS)] = 604800.0
    """A session ends after this time in any case."""
    proxy_user_header: Annotated[str, AfterValidator(_user_header)] = ""
    """Header in which one of server.trusted_proxies names the person it has signed in, such as Remote-User."""
    proxy_role: Literal["none", "viewer", "editor", "admin"] = "none"
    """Role of people whom the proxy names and who have no account; none lets only those with an account in."""


UNSEEN = "; the value is not shown, because it may contain a password"
_Redis = Annotated[
    str,
    hidden(
        r"rediss?://[^\s/]+(/\S*)?|unix:///\S+",
        f"redis://user:password@host:6379/0, rediss://..., unix:///run/redis.sock, or nothing{UNSEEN}",
    ),
]


class RatesConfig(Section):
    """Rate limits, as 600/minute or 20/second; 5000/day; empty for none. Responses from a cache never count."""

    storage: Annotated[_Redis, Field(repr=False)] = ""
    """Redis URL, such as redis://host:6379/0, for limits that several nodes share; empty for limits per node."""
    new_per_client: Rates = ""
    """Pictures that a client (key, IPv4 address or IPv6 /64) may request that have to be rendered."""
    new_per_image: Rates = ""
    """Pictures of one original that may be requested and have to be rendered, by all clients together."""
    uploads: Rates = ""
    """Images that a client may upload."""
    logins: Rates = "10/minute; 50/hour"
    """Attempts to sign in from one address, and failures for one account."""
    api: Rates = ""
    """Requests that a client may send to the API."""


_Database = Annotated[
    str,
    hidden(
        r"(sqlite:///|postgres(ql)?://)/*[^/].*",
        f"sqlite:///folder/catalog.sqlite, postgresql://user:password@host/name, or nothing{UNSEEN}",
    ),
]


class CatalogConfig(Section):
    """The catalog: records of images."""

    url: Annotated[_Database, Field(repr=False)] = ""
    """Database URL, sqlite:///file or postgresql://...; empty for a file in the data folder."""
    patience: Annotated[Duration, Field(gt=0, le=60)] = 5.0
    """Maximum time that a change waits for the database; pictures never wait for it."""
    near: Annotated[int, Field(ge=0, le=32)] = 10
    """Bits of the 64-bit perceptual hash that may differ in near duplicates; unrelated images differ in 22 or more."""


_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?", re.IGNORECASE)


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise expected("an address such as https://api.example.com")
    return text.rstrip("/")


def _without_slashes(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.rstrip("/") for value in values)


Address = Annotated[str, AfterValidator(_address)]
"""The URL of an API, without a slash at the end."""
Addresses = Annotated[
    Words,
    AfterValidator(each(_ADDRESS.fullmatch, "addresses such as http://127.0.0.1:6081")),
    AfterValidator(_without_slashes),
]
"""URLs of caches."""


class CloudflareConfig(Section):
    """Purges in Cloudflare by Cache-Tag."""

    zone: str = ""
    """Id of the zone; empty disables calls to Cloudflare."""
    token: SecretStr = SecretStr("")
    """API token with permission to purge the zone."""
    api: Address = "https://api.cloudflare.com/client/v4"
    """URL of the API."""


class FastlyConfig(Section):
    """Purges in Fastly by Surrogate-Key."""

    service: str = ""
    """Id of the service; empty disables calls to Fastly."""
    token: SecretStr = SecretStr("")
    """API token with permission to purge the service."""
    soft: bool = True
    """Fastly may serve stale pictures while it revalidates."""
    api: Address = "https://api.fastly.com"
    """URL of the API."""


class SigningConfig(Section):
    """Signatures of picture URLs."""

    secrets: SigningSecrets = ()
    """Secrets of signatures, newest first: the first one signs, and all verify. Empty: URLs need no signature."""
    debug: bool = False
    """Show the text that should have been signed in the 403 of a wrong signature; only while developing."""


class CdnConfig(Section):
    """Caches in front of the server."""

    tag_headers: Annotated[Words, AfterValidator(each(_HEADER.fullmatch, "names of headers such as Cache-Tag"))] = (
        "Cache-Tag",
        "Surrogate-Key",
    )
    """Headers that carry the cache tags of a picture; an empty list for none."""
    cloudflare: CloudflareConfig = CloudflareConfig()
    fastly: FastlyConfig = FastlyConfig()
    varnish_urls: Addresses = ()
    """Varnish servers that receive BAN requests on purges, such as http://127.0.0.1:6081."""
    purge_urls: Addresses = ()
    """Other caches that receive PURGE requests for the paths of pictures, such as http://127.0.0.1:8080."""
    give_up: Annotated[Duration, Field(le=86400)] = 3600.0
    """How long a failed purge call is retried."""


_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_RESERVED = {"admin", "api", "docs", "healthz", "metrics", "openapi.json", "readyz", "system-check"}
_YEAR = 365 * 86400
_Timeout = Annotated[Duration, Field(gt=0, le=30)]
"""At most 30 s, or a few hundred idle clients could occupy every connection."""
_MOST_WORKERS = 256


def _prefix(text: str) -> str:
    path = text.rstrip("/")
    first = path.removeprefix("/").partition("/")[0]
    if not _PREFIX.fullmatch(path) or first in {".", ".."}:
        raise expected("a path such as /img, or / for none")
    if first.lower() in _RESERVED:
        raise expected(f"a path other than /{first}, which imgserve uses itself")
    return path


def _public(text: str) -> str:
    return _address(text) if text else ""


class UrlsConfig(Section):
    """The URLs of pictures."""

    prefix: Annotated[str, AfterValidator(_prefix)] = "/img"
    """Path before the image id; / for none."""
    public: Annotated[str, AfterValidator(_public)] = ""
    """Address of this server for everybody, such as https://img.example.com; empty uses that of each request."""
    originals: bool = False
    """Serve untouched originals, with all their metadata, at the URLs of pictures with format=original."""
    client_hints: Annotated[Words, AfterValidator(each(HINTS.__contains__, f"hints among {', '.join(HINTS)}"))] = ()
    """Client hints that decide what the URL leaves open: dpr, width, viewport-width, save-data; empty for none."""
    placeholders: bool = False
    """Serve placeholder pictures at placeholder/640x360 below the prefix, where no original is served then."""
    strict: bool = False
    """Reject unknown parameters with 400 instead of ignoring them."""
    sizes: Numbers = ()
    """The only widths that URLs can request, such as 320, 640, 1280; others round up, presets excepted. Empty: any."""


class HttpConfig(Section):
    """Response headers for browsers and caches."""

    max_age: Annotated[WholeDuration, Field(le=_YEAR)] = 3600
    """How long browsers and caches may reuse a picture without revalidation."""
    s_maxage: Annotated[Annotated[int, Field(le=_YEAR)] | None, WHOLE_DURATION] = None
    """The same for shared caches such as a CDN; empty uses max_age."""
    stale_while_revalidate: Annotated[WholeDuration, Field(le=_YEAR)] = 86400
    """How much longer they may reuse it while they revalidate; 0 for never."""
    stale_if_error: Annotated[WholeDuration, Field(le=_YEAR)] = 86400
    """How much longer they may reuse it while imgserve is unreachable; 0 for never."""
    immutable: bool = False
    """Declare that a picture never changes under its URL; browsers then skip revalidation on reload."""
    not_found_max_age: Annotated[WholeDuration, Field(le=_YEAR)] = 10
    """How long caches may remember that a picture does not exist."""
    cors_origins: WebOrigins = ("*",)
    """Web origins whose scripts may read pictures; "*" for all, an empty list for none."""
    cors_max_age: Annotated[WholeDuration, Field(le=_YEAR)] = 86400
    """How long browsers may cache the response to a CORS preflight."""
    timing_header: bool = True
    """Send Server-Timing and Cache-Status: the source of a response and how long it took."""


def _workers(value: object) -> object:
    if value != "auto" and not (str(value).isdecimal() and 1 <= int(str(value)) <= _MOST_WORKERS):
        raise expected(f"auto or a whole number from 1 to {_MOST_WORKERS}")
    return value


class ServerConfig(Section):
    """Listening address, time limits and connections."""

    host: ListeningHost = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every IPv4 address, :: for every address."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port to listen on; 0 for any free one."""
    workers: Annotated[Literal["auto"] | int, BeforeValidator(_workers)] = "auto"
    """Server processes; auto for about one per four processor cores."""
    allowed_hosts: HostPatterns = ("*",)
    """Host names accepted in requests; *.example.com accepts subdomains, "*" accepts any."""
    header_timeout: _Timeout = 15.0
    """Time limit for the request headers."""
    body_timeout: _Timeout = 20.0
    """Longest pause within a request body."""
    keep_alive: _Timeout = 15.0
    """How long an idle connection stays open."""
    slow_reader_timeout: _Timeout = 25.0
    """Longest time in which a client reads nothing of its response."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Open connections per server process."""
    grace: Annotated[Duration, Field(le=3600)] = 20.0
    """Time to finish running requests after SIGTERM."""
    trusted_proxies: Networks = ("127.0.0.1",)
    """Addresses of proxies whose X-Forwarded headers are trusted."""


class UploadsConfig(Section):
    """Uploads, and downloads of URLs that clients name. limits.original_bytes limits the size of one file."""

    duplicates: Literal["existing", "refuse"] = "existing"
    """An upload of bytes that exist already: existing returns the existing image, refuse responds with 409."""
    files: Annotated[int, Field(ge=1, le=1000)] = 100
    """Maximum number of files or URLs in one request."""
    request_bytes: Annotated[Size, Field(gt=0)] = 2_000_000_000
    """Maximum size of one request with all its files."""
    fetch: bool = True
    """Download pictures from URLs that clients name."""
    fetch_networks: Networks = ()
    """Private networks, such as 10.1.0.0/16, that downloads may reach in addition to the public Internet."""
    fetch_ports: Numbers = (80, 443)
    """Ports that downloads may use."""
    fetch_timeout: Annotated[Duration, Field(gt=0, le=3600)] = 60.0
    """Time limit for one download, from the name lookup to the last byte."""
    fetch_min_rate: Annotated[Size, Field(ge=0)] = 4_000
    """Bytes per second that the server of a download has to send, measured every five seconds; 0 for any."""
