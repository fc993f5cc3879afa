"""A real server over a full cache folder: its start, its memory, and how quick it is while the ledger is made anew."""

import contextlib
import http.client
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.filling import PICTURE
from benchmarks.rounds import Rounds

_TARGET = "/img/red.png?width=1"
_SETTINGS = {
    "IMGSERVE_LOG__ACCESS": "off",
    "IMGSERVE_ORIGINALS__WATCH": "false",
    "IMGSERVE_CACHE__MEMORY_BYTES": "0",
    "IMGSERVE_CACHE__DISK_ENTRIES": "100000000",
    "IMGSERVE_CACHE__DISK_BYTES": "1TB",
    "IMGSERVE_RENDERING__PROCESSES": "1",
}
_ROOT = Path(__file__).parents[1]
_LISTENING = re.compile(r'listening on http://([^\s"]+):(\d+)')
_PATIENCE = 3600.0
_WATCH_SECONDS = 20.0


def _prepare(place: Path) -> None:
    """Put one picture into the originals and its rendition into the cache."""
    (place / "originals").mkdir()
    (place / "originals" / "red.png").write_bytes(PICTURE)
    time.sleep(2.5)
    _warm(place)


def _warm(place: Path) -> None:
    with _server(place) as server:
        _ask(server)
        assert "hit" in _ask(server)


def _first_hits(place: Path, rounds: int) -> list[float]:
    """Start the server several times; return the seconds from each start to the first hit."""
    return [_first_hit(place) for _ in range(rounds)]


@dataclass(frozen=True)
class _Running:
    """A server, and where it is."""

    address: tuple[str, int]
    process: int


@dataclass(frozen=True)
class Empty:
    """Start times and memory of a server with an empty cache."""

    starts: list[float]
    resident: int


def measure_empty(place: Path, rounds: int, figures: Rounds) -> Empty:
    """Start a server over nothing but one rendition, and watch it."""
    _prepare(place)
    starts = _first_hits(place, rounds)
    with _server(place) as server:
        return Empty(starts, _watch(server, place, 1, "empty cache", figures, seconds=_WATCH_SECONDS))


def measure(place: Path, entries: int, empty: Empty, figures: Rounds) -> None:
    """Compare starts, then lose the ledger and watch it being made anew."""
    # Gigabytes were just written, which a server that starts has no part in.
    os.sync()
    _warm(place)  # it may be among what was evicted
    full = _first_hits(place, len(empty.starts))
    figures.add("first hit after start, empty cache", "s", *empty.starts)
    figures.add(f"first hit after start, {entries:,} entries", "s", *full)
    longer = [one - other for one, other in zip(full, empty.starts, strict=True)]
    figures.add("difference", "s", *longer, wanted="<= 1")
    with _server(place) as server:
        resident = _watch(server, place, entries, "ledger kept", figures, seconds=_WATCH_SECONDS)
    figures.add("resident memory an entry", "bytes", (resident - empty.resident) / entries, wanted="< 250")
    for part in (place / "cache").glob("ledger.sqlite*"):
        part.unlink()
    started = time.perf_counter()
    with _server(place) as server:
        assert "hit" in _ask(server)
        figures.add("first hit after start, ledger lost", "s", time.perf_counter() - started)
        resident = _watch(server, place, entries, "ledger lost", figures)
        figures.add("ledger complete after its loss", "s", time.perf_counter() - started)
    figures.add("resident memory an entry after that", "bytes", (resident - empty.resident) / entries, wanted="< 250")


def _first_hit(place: Path) -> float:
    started = time.perf_counter()
    with _server(place) as server:
        answer = _ask(server)
        spent = time.perf_counter() - started
        assert "hit" in answer, answer
    return spent


def _watch(server: _Running, place: Path, entries: int, when: str, figures: Rounds, *, seconds: float = 0.0) -> int:
    """Send twenty requests a second, for some time or until the ledger is complete; return the resident memory."""
    process, waits, end = psutil.Process(server.process), list[float](), time.monotonic() + (seconds or _PATIENCE)
    before, begun = sum(process.cpu_times()[:2]), time.monotonic()
    known = 0
    while time.monotonic() < end and (seconds or known < entries):
        asked = time.perf_counter()
        _ask(server)
        waits.append((time.perf_counter() - asked) * 1000)
        time.sleep(0.05)
        known = _entries(place) if len(waits) % 20 == 0 else known
    waits.sort()
    share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begun)
    figures.add(f"disk hit over a new connection, {when}, median", "ms", waits[len(waits) // 2])
    figures.add(f"the same, 99th percentile of {len(waits)}", "ms", waits[int(len(waits) * 0.99)])
    figures.add(f"processor of the server, {when}", "cores", share)
    resident = process.memory_info().rss
    figures.add(f"resident memory of the server, {when}", "MB", resident / 1e6)
    return resident


def _entries(place: Path) -> int:
    with contextlib.closing(sqlite3.connect(place / "cache" / "ledger.sqlite", timeout=5)) as ledger:
        return int(ledger.execute("SELECT entries FROM totals").fetchone()[0])


def _ask(server: _Running) -> str:
    """Request the picture on a new connection; return Cache-Status."""
    host, port = server.address
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", _TARGET)
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("cache-status", "")
    finally:
        connection.close()


@contextlib.contextmanager
def _server(place: Path) -> Iterator[_Running]:
    folders = [str(place / "originals"), "--cache", str(place / "cache")]
    command = [sys.executable, "-m", "imgserve", "serve", *folders, "--port", "0"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMGSERVE_")}
    log = place / "server.log"
    with log.open("w", encoding="utf-8") as output:
        environment = {**kept, **_SETTINGS}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=_ROOT)
    try:
        yield _Running(_address(process, log), process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> tuple[str, int]:
    while process.poll() is None:
        if found := _LISTENING.search(log.read_text(encoding="utf-8")):
            return found[1], int(found[2])
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
