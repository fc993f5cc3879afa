"""HTTP connections with time limits, and the limit of their number."""

import asyncio
import fcntl
import logging
import struct
import termios
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from imgserve.errors import BadRequest, ImgserveError, Unavailable
from imgserve.http.headers import RawHeaders
from imgserve.http.problem import problem
from imgserve.server.hot import HotPath, from_proxy, proxy_request_id
from imgserve.web.hot_table import TARGET
from imgserve.web.middleware import FROM_PROXY, REQUEST_ID, STOPPING
from imgserve.web.respond import DATE, lines

MAX_HEAD_BYTES = 65_536
"""Limit of a request head that arrives in several parts; the parser itself has none."""
_NOTICEABLE = 16_384
"""Bytes of a response that a client must read within the time limit for slow readers: about 5 kbit/s."""
_REFUSED = (type(None), httptools.HttpParserError, ValueError)
"""The causes of a parser error for which the request is to blame, not our callbacks."""
_PHRASES = {400: b"Bad Request", 503: b"Service Unavailable"}
_log = logging.getLogger(__name__)
_DISCARD: deque[tuple[bytes, bytes]] = deque(maxlen=0)  # drops everything that is appended
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
    """Limits the number of connections and their silence: rejects those above the limit, closes overdue ones."""

    def __init__(self, timeouts: Timeouts, max_connections: int) -> None:
        self.timeouts = timeouts
        self.max_connections = max_connections
        self._lingering: set[asyncio.Transport] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connections: Collection[asyncio.Protocol]) -> None:
        """Check the connections once per interval, as long as there are any."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.timeouts.interval, self._check, connections, loop)

    def _check(self, connections: Collection[asyncio.Protocol], loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if connections:
            self.watch(connections)  # first, so that an error below cannot end the checks
        for connection in list(connections):
            if isinstance(connection, TimedHttpProtocol):
                connection.close_if_overdue(loop.time())

    def dismiss(self, transport: asyncio.Transport, date: RawHeaders, error: ImgserveError) -> None:
        """Send an error, and close after the client has read it.

        Closing at once while the client is still sending would reset the connection, and the response would be lost.
        """
        transport.set_protocol(_LingeringProtocol(transport, self._lingering))
        if len(self._lingering) > self.max_connections:  # during a flood the response is not sent
            transport.abort()
            return
        status, headers, body = problem(error, instance="", request_id="")
        head = lines([*date, *headers, (b"connection", b"close")])
        transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, _PHRASES[status], head, body))
        if transport.can_write_eof():
            transport.write_eof()


class _LingeringProtocol(asyncio.Protocol):
    """Discards received bytes until the client closes or the time is over."""

    def __init__(self, transport: asyncio.Transport, lingering: set[asyncio.Transport]) -> None:
        self._transport = transport
        self._lingering = lingering
        lingering.add(transport)
        self._timer = asyncio.get_running_loop().call_later(_LINGER, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the signature of asyncio
        self._timer.cancel()
        self._lingering.discard(self._transport)


class TimedHttpProtocol(HttpToolsProtocol):
    """A connection with time limits for each phase."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        gate: Gate,
        hot_path: HotPath | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.gate = gate
        self._hot_path = hot_path
        self._waiting: tuple[str, int] = ("", 0)
        self._since = 0.0
        self._heads = 0
        """Number of complete request heads."""
        self._in_head = True
        """A request head has started, or the first one is awaited."""
        self._begun = False
        self._moved = False
        """Bytes were received or sent since the last check."""
        self._unsent = 0
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Accept a connection, or reject it if the server is full."""
        if len(self.connections) >= self.gate.max_connections:
            full = Unavailable("The server has as many connections as it can serve.", retry_after=1)
            self.gate.dismiss(transport, self.server_state.default_headers, full)
            return
        super().connection_made(transport)
        self.gate.watch(self.connections)
        self._waiting = ("head", 0)
        self._since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Parse bytes. Unlike uvicorn's method, this does not log every mistake of a client."""
        self._unset_keepalive_if_required()
        self._begun = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not isinstance(error.__context__, _REFUSED):
                _log.error("a request could not be started", exc_info=error.__context__)
            self.send_400_response("The request is not valid HTTP/1.1.")
        except httptools.HttpParserUpgrade:  # declined: the request is handled as an ordinary one
            self._finish_after(self.cycle)
        else:
            self._head_bytes += len(data) if self._in_head and not self._begun else 0
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"The request head is larger than {MAX_HEAD_BYTES} bytes.")

    def send_400_response(self, msg: str) -> None:
        """Reject a malformed request without interrupting a response in progress."""
        cycle = self._newest
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # responses to earlier requests are in progress
                self._finish_after(cycle)
                return
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
        self.gate.dismiss(self.transport, self.server_state.default_headers, BadRequest(msg))
        self.connection_lost(
            ConnectionAbortedError(msg)
        )  # the gate owns the transport now: end the request, drop the rest

    def on_message_begin(self) -> None:
        """Start a request head; the ASGI scope is built only if the application is called."""
        self._begun = self._in_head = True
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header field."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Respond from the hot path or start the application; trailers are discarded."""
        headers, self.headers = self.headers, _DISCARD  # type: ignore[assignment]  # else they would join its headers
        self._in_head = False
        self._head_bytes = 0
        self._heads += 1
        cycle = self._newest
        answered = cycle is None or cycle.response_complete
        # A response may be written now if the previous one is complete and the client reads.
        free = answered and not self.flow.write_paused and not self.transport.is_closing()
        if not (free and self._hot_path is not None and self._hot_path.respond(self, headers)):
            self._start(headers)

    def _start(self, headers: RawHeaders) -> None:
        """Start the application."""
        url = self.url
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        self.scope["state"][FROM_PROXY] = from_proxy(self)
        given = [value for name, value in headers if name == b"x-request-id"]
        if len(given) == 1 and (request_id := proxy_request_id(self, given[0])):
            self.scope["state"][REQUEST_ID] = request_id.decode("ascii")
        if self._hot_path is not None:
            self.scope["state"][TARGET] = url
            self.scope["state"][DATE] = self._hot_path.date(self.server_state.default_headers)
        super().on_headers_complete()
        self.headers = _DISCARD  # type: ignore[assignment]  # as above

    def on_message_complete(self) -> None:
        """Note that the request is complete, unless its response is complete already."""
        cycle = self._newest
        if cycle is not None and not cycle.response_complete:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body."""
        self._moved = True
        super().on_body(body)

    def shutdown(self) -> None:
        """Close the connection after its response, and announce the stop to one without an end, such as of events."""
        if self.cycle is not None:
            self.cycle.scope["state"][STOPPING] = True
        super().shutdown()

    def resume_writing(self) -> None:
        """Continue after the client has read the pending bytes."""
        self._moved = True
        super().resume_writing()

    @property
    def _newest(self) -> RequestResponseCycle | None:
        """The latest request; None on a new connection, although uvicorn's types do not say so."""
        return self.cycle

    def close_if_overdue(self, now: float) -> None:
        """Close the connection if its client exceeds a time limit."""
        kind, limit = self._waits_for()
        if (kind, self._heads) != self._waiting or self._progressed(kind):
            self._waiting = (kind, self._heads)
            self._since = now
        elif limit and now - self._since >= limit:
            # close() would wait for the client to read
            (self.transport.abort if kind == "reading" else self.transport.close)()

    def _waits_for(self) -> tuple[str, float]:
        """Return what the client must do and its time limit; ("", 0) while the server is busy."""
        timeouts, cycle = self.gate.timeouts, self._newest
        if self.flow.write_paused or self.transport.is_closing():
            return "reading", timeouts.slow_reader
        if cycle is not None and not cycle.response_complete:
            return ("body", timeouts.body_idle) if cycle.more_body and not self.flow.read_paused else ("", 0.0)
        if self._in_head:
            return "head", timeouts.headers
        # uvicorn's keep-alive timer ends with the first byte, be it an empty line or the rest of an ignored body.
        return "next", timeouts.keep_alive

    def _progressed(self, kind: str) -> bool:
        moved, self._moved = self._moved, False
        if kind == "body":
            return moved
        if kind == "reading":
            unsent, before = self._unsent_bytes(), self._unsent
            if moved or unsent <= before - _NOTICEABLE:
                self._unsent = unsent
                return True
            self._unsent = max(before, unsent)
        return False

    def _unsent_bytes(self) -> int:
        """Return the unread bytes in our buffer and in the kernel's, which refills in large steps."""
        waiting = self.transport.get_write_buffer_size()
        try:
            queued = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # closed meanwhile, or unsupported: use our buffer alone
            return waiting
        return waiting + int(struct.unpack("i", queued)[0])

    def _finish_after(self, cycle: RequestResponseCycle) -> None:
        """Close the connection after this response."""
        cycle.keep_alive = False
        if cycle.response_complete:
            self.transport.close()
