"""Cross-origin answers by the Fetch standard, section 3.2. Written so that a shared cache can never mix them up."""

from collections.abc import Collection
from dataclasses import dataclass

RawHeaders = list[tuple[bytes, bytes]]

_EXPOSED = b"Cache-Status, Content-Disposition, ETag, Server-Timing, X-Image-Adjusted, X-Request-Id"


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages may read the pictures from script; showing them in an `<img>` needs no permission."""

    origins: Collection[str]
    """`*` for any page; empty for none."""
    max_age: int = 86_400

    @property
    def uniform(self) -> bool:
        """Whether an answer is the same with and without Origin."""
        return not self.origins or "*" in self.origins

    def headers(self, origin: str | None) -> RawHeaders:
        """Give the headers of a plain answer; for `*` they are the same with and without Origin."""
        allowed = self._allowed(origin)
        if allowed is None:
            return self._vary()
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", _EXPOSED),
            *self._vary(),
        ]

    def preflight(self, origin: str | None) -> RawHeaders:
        """Give the headers of the answer to OPTIONS."""
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
        """Say on every answer that it depends on the Origin header, also on one to a request without it."""
        return [] if self.uniform else [(b"vary", b"Origin")]

    def _allowed(self, origin: str | None) -> bytes | None:
        if "*" in self.origins:
            return b"*"
        return origin.encode("latin-1") if origin is not None and origin in self.origins else None
