"""The Host header (RFC 9112, section 3.2) and cross-origin responses (Fetch standard, section 3.2)."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from imgserve.errors import BadHost

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
    if "*" not in allowed and not _is_allowed(matched["name"].lower().rstrip("."), allowed):
        raise BadHost("This server does not answer to this host.")


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    """Return whether a name is listed, or matches a pattern such as `*.example.com`."""
    return any(name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in allowed)


RawHeaders = list[tuple[bytes, bytes]]
_EXPOSED = b"Cache-Status, Content-Disposition, ETag, Server-Timing, X-Image-Adjusted, X-Request-Id"


@dataclass(frozen=True, slots=True)
class Cors:
    """The web origins whose scripts may read pictures. An `<img>` needs no permission."""

    origins: Collection[str]
    """`*` for any page; empty for none."""
    max_age: int = 86_400

    @property
    def uniform(self) -> bool:
        """Whether the response is the same with and without Origin."""
        return not self.origins or "*" in self.origins

    def headers(self, origin: str | None) -> RawHeaders:
        """Return the headers of an ordinary response; for `*` they do not depend on Origin."""
        allowed = self._allowed(origin)
        if allowed is None:
            return self._vary()
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", _EXPOSED),
            *self._vary(),
        ]

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
