"""A real server with an admin key, its API over persistent connections, and its processor time."""

import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pyvips

from benchmarks.fetch import counted
from benchmarks.programs import PYTHON, Program, log_of, serving

_KEY = "benchmark-" + "0" * 32
_SETTINGS = {"IMGSERVE_LOG__ACCESS": "off", "IMGSERVE_ACCESS__ADMIN_KEY": _KEY}
_PATIENCE = 900.0
_HOUR = 3600
_IDLE = 2.0


@dataclass(frozen=True)
class Api:
    """The API of a server; each thread has its own persistent connection."""

    program: Program
    _kept: threading.local = field(default_factory=threading.local)

    def call(self, method: str, path: str, body: bytes = b"", expected: Sequence[int] = (200,)) -> dict[str, Any]:
        """Return the JSON of a response; any status that is not expected stops the benchmark."""
        if time.monotonic() > getattr(self._kept, "until", 0.0):  # the server closes what is not used
            parts = urlsplit(self.program.address)
            self._kept.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
        headers = {"Authorization": f"Bearer {_KEY}"}
        if body:
            headers["Content-Type"] = "application/octet-stream"
        self._kept.connection.request(method, path, body or None, headers)
        answer = self._kept.connection.getresponse()
        text = answer.read()
        self._kept.until = time.monotonic() + _IDLE
        assert answer.status in expected, (method, path, answer.status, text[:500])
        found: dict[str, Any] = json.loads(text) if answer.headers["content-type"].endswith("json") else {}
        return found

    def timed(self, *given: Any, **named: Any) -> float:
        """Send a request; return the milliseconds until the response is complete."""
        began = time.perf_counter()
        self.call(*given, **named)
        return (time.perf_counter() - began) * 1000

    def images(self) -> int:
        """Return the number of records."""
        return int(self.call("GET", "/api/stats")["images"])

    def until(self, reached: Callable[[], bool], every: float = 0.25) -> float:
        """Wait for a condition; return the seconds."""
        began = time.perf_counter()
        while not reached():
            assert time.perf_counter() - began < _PATIENCE, "gave up waiting"
            time.sleep(every)
        return time.perf_counter() - began

    def kept(self) -> float:
        """Return the number of mezzanines that were stored."""
        return counted(self.program.address, "imgserve_mezzanines_total", result="kept")


@dataclass(frozen=True)
class Cost:
    """Processor seconds of a server so far: its own, and those of its rendering processes."""

    server: float
    rendering: float

    def since(self, before: "Cost") -> "Cost":
        """Return the difference."""
        return Cost(self.server - before.server, self.rendering - before.rendering)


def cost(program: Program) -> Cost:
    """Return the processor time so far, including that of rendering processes that were replaced."""
    own = sum(psutil.Process(program.process).cpu_times()[:2])
    return Cost(own, program.processor_seconds() - own)


@contextlib.contextmanager
def managed(place: Path, **settings: str) -> Iterator[Api]:
    """Run `imgserve serve` over `place/originals`, with defaults but for these settings."""
    (place / "originals").mkdir(parents=True, exist_ok=True)
    command = [*PYTHON, "imgserve", "serve", str(place / "originals"), "--cache", str(place / "cache"), "--port", "0"]
    log_of(command, place).unlink(missing_ok=True)  # of an earlier start, at another address
    with serving(command, place, {**_SETTINGS, **settings}) as program:
        yield Api(program)


def at_once(calls: Sequence[Callable[[], float]], clients: int) -> tuple[float, list[float]]:
    """Make calls from several clients; return the calls per second, and the time of each."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        took = list(pool.map(lambda call: call(), calls))
    return len(calls) / (time.perf_counter() - began), took


def stamped(jpeg: bytes, number: int) -> bytes:
    """Make the bytes of a JPEG those of no other, by a comment; its pixels stay."""
    text = f"number {number} of {time.time_ns()}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def drawn(number: int, width: int = 400, height: int = 300) -> bytes:
    """Draw a small JPEG that looks like no other."""
    noise = [pyvips.Image.gaussnoise(6, 5, mean=128, sigma=60, seed=3 * number + band) for band in range(3)]
    picture = noise[0].bandjoin(noise[1:]).cast("uchar").copy(interpretation="srgb")
    return bytes(picture.resize(width / 6, vscale=height / 5).write_to_buffer(".jpg", Q=80))


def settle(path: Path) -> None:
    """Set the times of a file to an hour ago: renditions of a file that may still be written are not cached."""
    os.utime(path, (time.time() - _HOUR,) * 2)
