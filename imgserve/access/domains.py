"""Which web pages may show pictures, by Referer and Origin.

Any program can send any Referer, and pages can hide it, so this keeps honest browsers from using pictures of other
sites. It is no protection of secrets: signatures and keys are.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_PATTERN = re.compile(rf"\*|(?P<sub>\*\.)?(?P<host>{_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\])(:(?P<port>\*|\d{{1,5}}))?")
_MOST_PORT = 65_535
_MEMOIZED_LENGTH = 512


@dataclass(frozen=True, slots=True)
class DomainPattern:
    """A domain, or with `*.` its subdomains, with an optional port; `*` is any domain."""

    host: str
    """In lower case and ASCII; empty for any."""
    subdomains: bool = False
    """Whether it means the subdomains, and not the domain itself."""
    port: int | None = 0
    """The port; 0 for the default port of the scheme, None for any."""

    def matches(self, scheme: str, host: str, port: int) -> bool:
        """Return whether a page of this scheme, host and port is of the domain."""
        if not self.host:
            return True
        same = host.endswith(f".{self.host}") if self.subdomains else host == self.host
        return same and (self.port is None or port == (self.port or _PORTS.get(scheme, 0)))


def parse_domain(text: str) -> DomainPattern:
    """Return the pattern of `example.com`, `*.example.com`, `localhost:3000`, `example.com:*` or `*`.

    Raises ValueError if the text is no such pattern.
    """
    wanted = text.strip().lower().rstrip(".")
    if not wanted.isascii():
        wanted = wanted.encode("idna").decode()  # UnicodeError is a ValueError
    found = _PATTERN.fullmatch(wanted)
    if not found or ((found["port"] or "").isdigit() and not 1 <= int(found["port"]) <= _MOST_PORT):
        raise ValueError(f"{text!r} is no domain")
    if not found["host"]:
        return DomainPattern("", port=None)
    port = None if found["port"] == "*" else int(found["port"] or 0)
    return DomainPattern(found["host"], bool(found["sub"]), port)


@dataclass(frozen=True, slots=True)
class DomainRules:
    """The domains whose pages may show pictures; a collection of web origins."""

    allow: tuple[DomainPattern, ...]
    deny: tuple[DomainPattern, ...] = ()
    allow_missing: bool = True
    """Whether a request without Referer and Origin is allowed."""

    def allows(self, referer: bytes, origin: bytes, host: bytes) -> bool:
        """Return whether a request with these headers is allowed; pages of the server itself are.

        An opaque Origin (`null`) counts as missing, since it names no page.
        """
        pages = [page for page in (referer, origin) if page and page != b"null"]
        return all(self.allows_page(page, host) for page in pages) if pages else self.allow_missing

    def allows_page(self, page: bytes, host: bytes = b"") -> bool:
        """Return whether a page or origin is of an allowed domain, or of the server's own."""
        place = _place_of(page)
        if place is None:
            return False
        scheme, name, port = place
        if host and _authority(place) == host.decode("latin-1").lower():
            return True
        denied = any(pattern.matches(scheme, name, port) for pattern in self.deny)
        return not denied and any(pattern.matches(scheme, name, port) for pattern in self.allow)

    def __contains__(self, origin: object) -> bool:
        return isinstance(origin, str) and origin != "null" and self.allows_page(origin.encode("latin-1", "replace"))


def _authority(place: tuple[str, str, int]) -> str:
    """Return what a browser writes into Host for a page."""
    scheme, host, port = place
    return host if port == _PORTS.get(scheme) else f"{host}:{port}"


def _place(page: bytes) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a URL; None if it has no host, such as `about:blank`."""
    try:
        parts = urlsplit(page.decode("ascii"))
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:  # not ASCII, or no valid host or port
        return None
    # Browsers send no user, and end the host at a backslash.
    if not host or scheme not in _PORTS or "@" in parts.netloc or "\\" in parts.netloc:
        return None
    host = host.rstrip(".")
    return scheme, f"[{host}]" if ":" in host else host, port or _PORTS[scheme]


_memoized = lru_cache(4096)(_place)


def _place_of(page: bytes) -> tuple[str, str, int] | None:
    return _memoized(page) if len(page) <= _MEMOIZED_LENGTH else _place(page)


def page_host(page: bytes) -> str:
    """Return the host of the page in a Referer; empty if it names none."""
    place = _place_of(page)
    return "" if place is None else place[1]
