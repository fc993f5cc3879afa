"""The load generator: sends a request as soon as the last response is complete, on persistent or on new connections.

Checks status and length of answers, nothing else, so that it costs less than the server that it measures.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

from benchmarks.figures import percentile
from benchmarks.programs import BenchmarkFailed

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_BODILESS = {204, 304}
_PATIENCE = 600.0
"""Seconds after which a run fails: a server that hangs must not hang the benchmark."""

HEADERS = {"host": "127.0.0.1", "accept": "image/avif,image/webp,*/*", "user-agent": "benchmark"}
"""The headers of every request. The server only shows its metrics to requests whose Host is local."""


@dataclass(slots=True)
class Load:
    """The result of a run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds, in order of arrival."""
    statuses: Counter[int] = field(default_factory=Counter)
    bytes: int = 0
    """Of bodies."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return the latency that so many percent of the responses do not exceed."""
        return percentile(self.latencies, percent)

    def expect(self, status: int) -> "Load":
        """Stop the benchmark if the status is another."""
        if set(self.statuses) != {status}:
            raise BenchmarkFailed(f"expected {status} alone, but received {dict(self.statuses)}")
        return self


def request(path: str, **headers: str) -> bytes:
    """Write a GET request as a browser would, but for the headers that no server here reads."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in (HEADERS | headers).items()]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def repeated(sent: bytes, seconds: float) -> Iterator[bytes]:
    """Yield the same request for so many seconds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield sent


def drive(address: str, requests: Iterable[bytes], connections: int, *, persistent: bool = True) -> Load:
    """Send requests, so many at a time.

    Args:
        address: the address of the server, with its scheme.
        requests: complete requests.
        connections: the number of connections open at a time.
        persistent: opens all connections before the first request and uses each for many; otherwise each request opens
            its own, so that processes that share a port share the work.
    """
    run = _over_persistent if persistent else _over_new
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(asyncio.wait_for(run(address, iter(requests), connections), _PATIENCE))
        except TimeoutError as error:
            raise BenchmarkFailed(f"{address}: no answer within {_PATIENCE:.0f} s") from error
        except OSError as error:
            raise BenchmarkFailed(f"{address}: {error}") from error


async def _open(address: str, requests: Iterator[bytes], load: Load) -> "_Client":
    parts, loop = urlsplit(address), asyncio.get_running_loop()
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    return (await loop.create_connection(lambda: _Client(requests, load), host, port))[1]


async def _over_persistent(address: str, requests: Iterator[bytes], connections: int) -> Load:
    load = Load()
    opened = [await _open(address, requests, load) for _ in range(connections)]
    started = time.perf_counter()
    for client in opened:
        client.send_next()
    await asyncio.gather(*(client.done for client in opened))
    load.seconds = time.perf_counter() - started
    for client in opened:
        client.transport.close()
    return load


async def _over_new(address: str, requests: Iterator[bytes], connections: int) -> Load:
    load = Load()

    async def one_after_the_other() -> None:
        for sent in requests:
            client = await _open(address, iter((sent,)), load)
            client.send_next()
            await client.done
            client.transport.close()

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


class _Client(asyncio.Protocol):
    """One connection; `done` completes after the last request."""

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
        """Send the next request, or finish."""
        sent = next(self._requests, None)
        if sent is None:
            if not self.done.done():
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
            self._begin(self._head[:end], len(self._head) - end - len(_HEAD_END))
        if self._missing < 0:
            raise BenchmarkFailed("more bytes than announced")
        if self._missing == 0:
            self._load.latencies.append(time.perf_counter() - self._sent)
            self._load.statuses[self._status] += 1
            self.send_next()

    def _begin(self, head: bytes, body: int) -> None:
        self._head = b""
        self._status = int(head[9:12])
        length = 0 if self._status in _BODILESS else _length(head)
        self._load.bytes += length
        self._missing = length - body


def _length(head: bytes) -> int:
    head = head.lower()
    at = head.find(_LENGTH)
    if at < 0:
        raise BenchmarkFailed("an answer without Content-Length cannot be measured")
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
