"""A real server whose originals are managed: started with a key, asked over kept connections, its work counted."""

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

from benchmarks.ask import counted
from benchmarks.programs import PYTHON, Program, log_of, serving

_KEY = "benchmark-" + "0" * 32
_SETTINGS = {"IMGSERVE_LOG__ACCESS": "off", "IMGSERVE_ACCESS__ADMIN_KEY": _KEY}
_PATIENCE = 900.0
_HOUR = 3600
_IDLE = 2.0


@dataclass(frozen=True)
class Api:
    """The API of a server, for threads that each keep a connection of their own."""

    program: Program
    _kept: threading.local = field(default_factory=threading.local)

    def call(self, method: str, path: str, body: bytes = b"", expected: Sequence[int] = (200,)) -> dict[str, Any]:
        """Ask once and read the answer whole; anything but what is expected ends the benchmark."""
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
        """Ask once; tell how many milliseconds it took."""
        began = time.perf_counter()
        self.call(*given, **named)
        return (time.perf_counter() - began) * 1000

    def images(self) -> int:
        """Count what is recorded."""
        return int(self.call("GET", "/api/stats")["images"])

    def until(self, reached: Callable[[], bool], every: float = 0.25) -> float:
        """Wait for something; tell the seconds."""
        began = time.perf_counter()
        while not reached():
            assert time.perf_counter() - began < _PATIENCE, "gave up waiting"
            time.sleep(every)
        return time.perf_counter() - began

    def kept(self) -> float:
        """Count the mezzanines that were kept."""
        return counted(self.program.address, "imgserve_mezzanines_total", result="kept")


@dataclass(frozen=True)
class Cost:
    """Processor seconds of a server so far: its own, and those of its rendering processes."""

    server: float
    rendering: float

    def since(self, before: "Cost") -> "Cost":
        """Tell the difference."""
        return Cost(self.server - before.server, self.rendering - before.rendering)


def cost(program: Program) -> Cost:
    """Tell what a server took so far; rendering processes that were replaced meanwhile count too."""
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
    """Have clients make calls; tell how many were made a second, and what each took."""
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
    """Have a file look old: of one that may still be written, nothing would be kept."""
    os.utime(path, (time.time() - _HOUR,) * 2)
