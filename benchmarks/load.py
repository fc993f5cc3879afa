"""A small load generator: keep-alive connections that send a request as soon as the last answer is in.

Checks status and length of answers, nothing else, so that it costs less than the server that it measures.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_BODILESS = {204, 304}


@dataclass
class Load:
    """What came of a run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds, in order of arrival."""
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Latency that so many percent of the answers kept."""
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]

    def expect(self, status: int) -> "Load":
        """Stop the benchmark where anything else was answered."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"expected {status} alone, but received {dict(self.statuses)}")
        return self


def request(path: str, **headers: str) -> bytes:
    """Write a GET request as a browser would, but for the headers that no server here reads."""
    named = {"host": "benchmark.test", "accept": "image/avif,image/webp,*/*", "user-agent": "benchmark"}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in (named | headers).items()]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def repeated(sent: bytes, seconds: float) -> Iterator[bytes]:
    """Give the same request again and again, for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield sent


def drive(address: str, requests: Iterable[bytes], connections: int) -> Load:
    """Send requests over so many connections, which are all open before the first request."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(address, iter(requests), connections))


async def _drive(address: str, requests: Iterator[bytes], connections: int) -> Load:
    loop, parts, load = asyncio.get_running_loop(), urlsplit(address), Load()
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    opened = [
        (await loop.create_connection(lambda: _Client(requests, load), host, port))[1] for _ in range(connections)
    ]
    started = time.perf_counter()
    for client in opened:
        client.send_next()
    await asyncio.gather(*(client.done for client in opened))
    load.seconds = time.perf_counter() - started
    for client in opened:
        client.transport.close()
    return load


class _Client(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], load: Load) -> None:
        self._requests = requests
        self._load = load
        self._head = b""
        self._missing = 0
        self._status = 0
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed before the answer was complete"))

    def send_next(self) -> None:
        sent = next(self._requests, None)
        if sent is None:
            self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self.transport.write(sent)

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            end = self._head.find(_HEAD_END)
            if end < 0:
                return
            head, body = self._head[:end], len(self._head) - end - len(_HEAD_END)
            self._head = b""
            self._status = int(head[9:12])
            self._missing = _length(head, self._status) - body
        if self._missing < 0:
            raise RuntimeError("more bytes than announced")
        if self._missing == 0:
            self._load.latencies.append(time.perf_counter() - self._sent)
            self._load.statuses[self._status] += 1
            self.send_next()


def _length(head: bytes, status: int) -> int:
    if status in _BODILESS:
        return 0
    at = head.index(_LENGTH) + len(_LENGTH)
    return int(head[at : at + 20].split(b"\r\n", 1)[0])
