"""Timeouts and the connection limit."""

import asyncio
from dataclasses import dataclass

from imgserve.errors import ImgserveError
from imgserve.http.problem import problem

_LINGER = 1.0
"""Seconds for a rejected client to read the response."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits for clients, in seconds."""

    headers: float = 15.0
    """From connecting, or the first byte of a further request, to the complete head."""
    body_idle: float = 20.0
    """Between two parts of a request body."""
    keep_alive: float = 15.0
    """Between a response and the next request."""
    slow_reader: float = 25.0
    """Without reading a noticeable part of the response."""

    @property
    def interval(self) -> float:
        """Seconds between two checks of all connections; every limit may be exceeded by this much."""
        return min(1.0, min(self.headers, self.body_idle, self.keep_alive, self.slow_reader) / 4)


class Gate:
    """Limits the number of connections and rejects those above it."""

    def __init__(self, timeouts: Timeouts, max_connections: int) -> None:
        self.timeouts = timeouts
        self.max_connections = max_connections
        self._lingering: set[asyncio.Transport] = set()

    def dismiss(self, transport: asyncio.Transport, date: list[tuple[bytes, bytes]], error: ImgserveError) -> None:
        """Send an error, and close after the client has read it.

        Closing at once while the client is still sending would reset the connection, and the response would be lost.
        """
        transport.set_protocol(_Lingering(transport, self._lingering))
        if len(self._lingering) > self.max_connections:  # a flood gets no last words
            transport.abort()
            return
        transport.write(_answer(error, date))
        if transport.can_write_eof():
            transport.write_eof()


class _Lingering(asyncio.Protocol):
    """Discards received bytes until the client closes or the time is over."""

    def __init__(self, transport: asyncio.Transport, lingering: set[asyncio.Transport]) -> None:
        self._transport = transport
        self._lingering = lingering
        lingering.add(transport)
        self._timer = asyncio.get_running_loop().call_later(_LINGER, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the signature of asyncio
        self._timer.cancel()
        self._lingering.discard(self._transport)


def _answer(error: ImgserveError, date: list[tuple[bytes, bytes]]) -> bytes:
    status, headers, body = problem(error, instance="", request_id="")
    lines = [b"%s: %s\r\n" % header for header in [*date, *headers, (b"connection", b"close")]]
    return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, _PHRASES[status], b"".join(lines), body)


_PHRASES = {400: b"Bad Request", 503: b"Service Unavailable"}
