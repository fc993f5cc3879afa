"""Timeouts and the connection limit."""

import asyncio
from dataclasses import dataclass

from imgserve.errors import ImgserveError
from imgserve.http.problem import problem

_LINGER = 1.0
"""Seconds in which a client that is turned away may read why."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client may keep a connection waiting, in seconds."""

    headers: float = 15.0
    """From connecting, or from the first byte of a further request, until its head is complete."""
    body_idle: float = 20.0
    """Between two pieces of a request's body."""
    keep_alive: float = 15.0
    """Between an answer and the next request."""
    slow_reader: float = 25.0
    """Without taking a noticeable part of its answer."""

    @property
    def interval(self) -> float:
        """Seconds between two looks at all connections: each limit may be overdrawn by this much."""
        return min(1.0, min(self.headers, self.body_idle, self.keep_alive, self.slow_reader) / 4)


class Gate:
    """Says who may connect, and sees off those who may not."""

    def __init__(self, timeouts: Timeouts, max_connections: int) -> None:
        """Take the time limits and how many connections are served at a time."""
        self.timeouts = timeouts
        self.max_connections = max_connections
        self._lingering: set[asyncio.Transport] = set()

    def dismiss(self, transport: asyncio.Transport, date: list[tuple[bytes, bytes]], error: ImgserveError) -> None:
        """Write an error, and close once the client has read it.

        Closing at once while the client is still sending would reset the connection and destroy the answer on its way.
        """
        transport.set_protocol(_Lingering(transport, self._lingering))
        if len(self._lingering) > self.max_connections:  # a flood gets no last words
            transport.abort()
            return
        transport.write(_answer(error, date))
        if transport.can_write_eof():
            transport.write_eof()


class _Lingering(asyncio.Protocol):
    """Throws away what a client still sends, until it closes or its time is over."""

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
