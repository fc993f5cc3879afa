"""Request headers: Host (RFC 9112, section 3.2), Accept (RFC 9110, section 12.5.1) and API keys."""

import base64
import contextlib
import itertools
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Literal

from imgserve.errors import BadHost, Unauthorized
from imgserve.formats import FORMATS

# A name, an IPv4 address or a bracketed IPv6 address, with an optional port (RFC 3986, 3.2.2, without pct-encoding).
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]*)(?::[0-9]{0,5})?")


def check_host(headers: Iterable[tuple[bytes, bytes]], http_version: str, allowed: Collection[str]) -> None:
    """Check that Host is present once, well formed and allowed.

    Raises:
        BadHost: it is not.
    """
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

    Raises:
        Unauthorized: there are several different ones.
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
        raise Unauthorized("Several API keys came with this request; one is expected.")
    return next(iter(keys), None)


AcceptClass = tuple[Literal["avif", "jxl", "webp"], ...]
"""Modern formats that a client prefers to the web-safe fallback, best first."""
_ALL: AcceptClass = ("avif", "jxl", "webp")  # best first: ties go to the earlier
_MODERN: AcceptClass = tuple(name for name in _ALL if not FORMATS[name].missing_extra)
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
