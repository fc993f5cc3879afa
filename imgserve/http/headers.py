"""Headers, read and written, and image ids in paths.

Of requests: Host (RFC 9112, section 3.2), API keys, Accept (RFC 9110, section 12.5.1). Of responses: caching,
Retry-After, Cache-Status (RFC 9211), Server-Timing, Content-Disposition (RFC 6266), tags, CORS.
"""

import base64
import contextlib
import hashlib
import itertools
import posixpath
import re
import unicodedata
from collections.abc import Collection, Container, Iterable, Mapping, Sized
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from imgserve.errors import BadHost, BadRequest
from imgserve.formats import FORMATS, MODERN

RawHeaders = list[tuple[bytes, bytes]]
"""Header fields as in ASGI."""
_NOT_A_SEGMENT = frozenset({"", ".", ".."})
_BEFORE_ACTION = re.compile(r"/(?=(?:purge|similar|transform|convert)(?:/|$))")
# A name, an IPv4 address or a bracketed IPv6 address, with an optional port (RFC 3986, 3.2.2, without pct-encoding).
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]*)(?::[0-9]{0,5})?")


def check_host(headers: Iterable[tuple[bytes, bytes]], http_version: str, allowed: Collection[str]) -> None:
    """Raise BadHost unless Host is present once, well formed and allowed."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1:
        raise BadHost("The Host header is repeated.")
    if not hosts:
        if http_version == "1.0" and "*" in allowed:
            return
        raise BadHost("The Host header is missing.")
    matched = _HOST.fullmatch(hosts[0].decode("latin-1"))
    if matched is None:
        raise BadHost("The Host header is malformed.")
    name = matched["name"].lower().rstrip(".")
    matches = (name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in allowed)
    if "*" not in allowed and not any(matches):
        raise BadHost("This server does not answer to this host.")


def api_key(headers: Iterable[tuple[bytes, bytes]], *, basic: bool = False) -> str | None:
    """Return the API key of a request: of `Authorization: Bearer` or `X-API-Key`, or the password of `Basic`.

    Several different ones raise Unauthorized.
    """
    keys = set[str]()
    for name, value in headers:
        scheme, _, credentials = value.decode("latin-1").partition(" ")
        if name == b"x-api-key":
            keys.add(value.decode("latin-1"))
        elif name == b"authorization" and scheme.lower() == "bearer":
            keys.add(credentials.strip())
        elif name == b"authorization" and scheme.lower() == "basic" and basic:
            with contextlib.suppress(ValueError):  # no valid base64
                keys.add(base64.b64decode(credentials.strip(), validate=True).decode("latin-1").partition(":")[2])
    if len(keys) > 1:
        raise BadRequest("Several API keys came with this request; one is expected.")
    return next(iter(keys), None)


AcceptClass = tuple[Literal["avif", "jxl", "webp"], ...]
"""Modern formats that a client prefers to the web-safe fallback, best first."""
_MODERN: AcceptClass = tuple(name for name in MODERN if not FORMATS[name].missing_extra)
ACCEPT_CLASSES: tuple[AcceptClass, ...] = tuple(
    names for number in range(len(_MODERN) + 1) for names in itertools.permutations(_MODERN, number)
)
"""Every class of clients."""
_FALLBACKS = ("jpg", "png", "gif")
_MAX_RANGES = 64  # browsers send fewer than ten; the rest of a hostile header costs nothing
_MEMOIZED_LENGTH = 512  # so that the memo stays small whatever is sent
# Possessive quantifiers: linear on any input. A comma inside a quoted string separates nothing.
_PART = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+"?)++')
_RANGE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
_QUALITY = re.compile(r"0?\.[0-9]{1,9}|0\.?|1\.?0{0,9}")  # `.2` is not in the grammar, but Java sends it


def accept_class(accept: str | None) -> AcceptClass:
    """Return the modern formats that the client prefers to the web-safe fallback, best first."""
    if not accept:
        return ()
    return _memoized(accept) if len(accept) <= _MEMOIZED_LENGTH else _classify(accept)


def _classify(accept: str) -> AcceptClass:
    weights = _weights(accept)
    fallback = max(_weight_of(FORMATS[name].media_type, weights) for name in _FALLBACKS)
    # Only an explicit mention counts: `*/*` says nothing about what a client decodes.
    accepted = {name: weights.get(FORMATS[name].media_type, 0.0) for name in _MODERN}
    preferred = [name for name in _MODERN if accepted[name] > 0 and accepted[name] >= fallback]
    return tuple(sorted(preferred, key=lambda name: -accepted[name]))


_memoized = lru_cache(maxsize=256)(_classify)


def _weights(accept: str) -> dict[str, float]:
    """Return the weight of each well-formed media range; the lower one if a range is repeated.

    Ranges with other parameters are ignored: `image/webp;x=1` is not the `image/webp` that is served.
    """
    weights: dict[str, float] = {}
    for part in itertools.islice(_PART.finditer(accept), _MAX_RANGES):
        media_range, *others = (piece.strip(" \t") for piece in part[0].lower().split(";"))
        parameters = [one.partition("=") for one in others if one]
        weight = parameters[-1][2] if parameters else "1"
        plain = all(name == "q" for name, _, _ in parameters)
        if plain and _RANGE.fullmatch(media_range) and _QUALITY.fullmatch(weight):
            weights[media_range] = min(float(weight), weights.get(media_range, 1.0))
    return weights


def _weight_of(media_type: str, weights: dict[str, float]) -> float:
    """Return the weight of the most specific range that covers a media type."""
    ranges = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return next((weights[one] for one in ranges if one in weights), 0.0)


Forwarded = Literal["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]
"""Why the request was forwarded, in the terms of RFC 9211, 2.2."""
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")
_NOT_IN_STRING = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long caches may store a response, in seconds; None omits a directive."""

    max_age: int
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    immutable: bool = False
    scope: Literal["public", "private", "no-store"] = "public"
    """Who may store the response: every cache, only that of the client, or none."""

    @property
    def lifetime(self) -> int:
        """The longest time for which a cache may serve the response."""
        stale = max(self.stale_while_revalidate or 0, self.stale_if_error or 0)
        return max(self.max_age, self.s_maxage or 0) + stale

    def within(self, seconds: int) -> "CachePolicy":
        """Return a policy for a response that caches may serve for so many seconds at most."""
        if self.lifetime <= seconds:
            return self
        shared = None if self.s_maxage is None else min(self.s_maxage, seconds)
        return CachePolicy(min(self.max_age, seconds), shared, scope=self.scope)


def cache_control(policy: CachePolicy) -> str:
    """Return a Cache-Control value."""
    if policy.scope == "no-store":
        return "private, no-store"
    timed = {
        "max-age": policy.max_age,
        "s-maxage": policy.s_maxage if policy.scope == "public" else None,
        "stale-while-revalidate": policy.stale_while_revalidate,
        "stale-if-error": policy.stale_if_error,
    }
    directives = [f"{name}={seconds}" for name, seconds in timed.items() if seconds is not None]
    directives += ["immutable"] if policy.immutable else []
    return ", ".join(["private", *directives] if policy.scope == "private" else directives)


def cache_status(
    fwd: Forwarded | None = None, *, stored: bool = False, collapsed: bool = False, detail: str = ""
) -> str:
    """Return our Cache-Status member: a hit, or why the request was forwarded and whether the response was stored."""
    parts = ["imgserve", "hit" if fwd is None else f"fwd={fwd}"]
    parts += ["stored"] if stored else []
    parts += ["collapsed"] if collapsed else []
    if detail and not _TOKEN.fullmatch(detail):  # then it is a string (RFC 8941, 3.3)
        escaped = _NOT_IN_STRING.sub("?", detail).replace("\\", "\\\\").replace('"', '\\"')
        detail = f'"{escaped}"'
    return "; ".join([*parts, f"detail={detail}"] if detail else parts)


def server_timing(durations: Mapping[str, float]) -> str:
    """Return a Server-Timing value from seconds per step."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in durations.items())


_NAMELESS = "image"
_MAX_STEM = 120  # characters; keeps the header small and the name within the limits of file systems
_MAX_EXTENSION = 16
# Control characters, line separators, lone surrogates, and the marks that turn the direction of text: `gpj.exe`.
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_ATTR_CHARS = "!#$&+-.^_`|~"  # attr-char of RFC 8187 besides letters and digits
_UNSAFE_ASCII = re.compile(r'["\\%]|[^\x20-\x7e]')  # `%`: some clients decode it even in the plain form


def content_disposition(kind: Literal["inline", "attachment"], filename: str) -> str:
    """Return a Content-Disposition value, with `filename*` if the name is not ASCII."""
    name = _clean(filename)
    decomposed = unicodedata.normalize("NFKD", name)
    without_accents = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = _UNSAFE_ASCII.sub("_", without_accents)
    header = f'{kind}; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def file_name_for(image_id: str, extension: str) -> str:
    """Return the file name of a rendition: the last segment of the image id with another extension."""
    stem, _ = posixpath.splitext(image_id.rstrip("/").rpartition("/")[2])
    return f"{stem or _NAMELESS}.{extension}"


def _clean(filename: str) -> str:
    """Return a safe file name without folders, shortened but with its extension."""
    last = _UNWANTED.sub("", filename).replace("\\", "/").rpartition("/")[2]
    stem, extension = posixpath.splitext(last.strip(" ").lstrip("."))
    return (stem[:_MAX_STEM].strip(" ") or _NAMELESS) + extension[:_MAX_EXTENSION].rstrip(" .")


EVERYTHING = "imgserve"
"""The tag of every picture."""


def image_tag(image_id: str) -> str:
    """Return the tag of all renditions of an image: a digest, because tags allow neither spaces nor commas."""
    return "i-" + hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def preset_tag(name: str) -> str:
    """Return the tag of all renditions of a preset."""
    return f"p-{name.lower()}"


def tags_of(*image_ids: str, presets: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the tags of a picture of an image, and of the marks on it."""
    return (EVERYTHING, *map(image_tag, image_ids), *map(preset_tag, presets))


_EXPOSED = b"Cache-Status, Content-Disposition, ETag, Server-Timing, X-Image-Adjusted, X-Image-Ignored, X-Request-Id"


def with_one_vary(headers: RawHeaders, more: RawHeaders) -> tuple[RawHeaders, RawHeaders]:
    """Return headers and further ones with at most one Vary: nginx before 1.23 regards only the last one."""
    if not any(name == b"vary" for name, _ in more) or not any(name == b"vary" for name, _ in headers):
        return headers, more
    values = b", ".join(value for name, value in (*headers, *more) if name == b"vary")
    merged = b", ".join(dict.fromkeys(values.split(b", ")))
    rest = [[header for header in some if header[0] != b"vary"] for some in (headers, more)]
    return rest[0], [*rest[1], (b"vary", merged)]


@dataclass(frozen=True, slots=True)
class Cors:
    """The web origins whose scripts may read pictures. An `<img>` needs no permission."""

    origins: Container[str]
    """`*` for any page; empty for none."""
    max_age: int = 86_400

    @property
    def uniform(self) -> bool:
        """Whether the response is the same with and without Origin."""
        empty = isinstance(self.origins, Sized) and not len(self.origins)
        return empty or "*" in self.origins

    def headers(self, origin: str | None) -> RawHeaders:
        """Return the headers of an ordinary response; for `*` they do not depend on Origin."""
        allowed = self._allowed(origin)
        if allowed is None:
            return self._vary()
        return [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED), *self._vary()]

    def preflight(self, origin: str | None) -> RawHeaders:
        """Return the headers of the response to OPTIONS."""
        allowed = self._allowed(origin)
        if allowed is None:
            return self._vary()
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-headers", b"Range, If-None-Match, If-Modified-Since, If-Range"),
            (b"access-control-max-age", b"%d" % self.max_age),
            *self._vary(),
        ]

    def _vary(self) -> RawHeaders:
        """Return Vary: Origin, also for requests without Origin, unless every response is the same."""
        return [] if self.uniform else [(b"vary", b"Origin")]

    def _allowed(self, origin: str | None) -> bytes | None:
        if "*" in self.origins:
            return b"*"
        return origin.encode("latin-1") if origin is not None and origin in self.origins else None


def encoded_id(image_id: str) -> str:
    """Return an image id percent-encoded; surrogate escapes become the bytes that they represent.

    Raises ValueError if browsers would change the path, or the id cannot be encoded.
    """
    if not _NOT_A_SEGMENT.isdisjoint(image_id.split("/")):
        raise ValueError(f'image id: expected a path without empty, "." and ".." parts, but received {image_id!r}')
    return quoted_id(image_id)


def quoted_id(image_id: str) -> str:
    """Return the id of an existing image percent-encoded."""
    return quote(image_id.encode("utf-8", "surrogateescape"))


def api_path(image_id: str) -> str:
    """Return the path of a record in the API.

    Before a segment such as `purge`, the slash is escaped: otherwise a record that does not exist would be redirected
    to the action.

    Raises ValueError as `encoded_id`.
    """
    return f"/api/images/{_BEFORE_ACTION.sub('%2F', encoded_id(image_id))}"


def retry_after_seconds(header: str, now: datetime | None = None) -> int | None:
    """Return the seconds of a Retry-After header, which is a number or a date; None if it is neither."""
    if header.strip().isdigit():
        return int(header)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  it loads sockets, which a URL builder does not need

    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0, round((aware - (now or datetime.now(UTC))).total_seconds()))
