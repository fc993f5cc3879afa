"""Many files at the start, and many added at once: how soon all are recorded, and how hits are affected."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pyvips

from benchmarks.fetch import counted, fetch
from benchmarks.load import request
from benchmarks.managed import Api, cost, managed, settle, stamped
from benchmarks.rounds import Rounds
from benchmarks.steady import Generator, RepeatedRequest
from tests.library_rig import picture

_HIT = "/img/hit.jpg?width=400"
_SECONDS = 2
_MOST_ROUNDS = 5
_PACE = 0.005
_SIDE = 1200
_FOLDERS = 100

Make = Callable[[int], bytes]


def measure(place: Path, figures: Rounds, files: int, photograph: bytes) -> None:
    """Record small pictures, and photographs as large as they stand on a web page."""
    middle = pyvips.Image.thumbnail_buffer(photograph, _SIDE).write_to_buffer(".jpg", Q=82, interlace=True)
    kinds: dict[str, tuple[str, Make]] = {
        "40x30 PNG": ("png", picture),
        f"{_SIDE} wide JPEG": ("jpg", lambda number: stamped(middle, number)),
    }
    for kind, (extension, make) in kinds.items():
        folder = place / extension
        _put(folder / "originals" / "before", files, extension, make)
        (folder / "originals" / "hit.jpg").write_bytes(photograph)
        settle(folder / "originals" / "hit.jpg")
        with managed(folder) as api:
            _record(api, figures, files + 1, f"{files:,} files, {kind}, there at start")
            _beside(api, folder, figures, files, (kind, extension, make))
        _again(folder, figures, 2 * files + 1, kind)
        shutil.rmtree(folder)


def _record(api: Api, figures: Rounds, expected: int, title: str) -> None:
    """Wait until all is recorded, with no other load."""
    began, before = time.perf_counter(), cost(api.program)
    api.until(lambda: api.images() >= expected)
    seconds, spent = time.perf_counter() - began, cost(api.program).since(before)
    figures.add(title, "s", seconds, wanted="< 120")
    figures.add("the same, processor time of the server, a file", "ms", spent.server / expected * 1000)
    figures.add("the same, processor time of rendering, a file", "ms", spent.rendering / expected * 1000)


def _beside(api: Api, folder: Path, figures: Rounds, files: int, given: tuple[str, str, Make]) -> None:
    """Drop as many more under a load of hits, which is measured before, meanwhile and after."""
    kind, extension, make = given
    _until_quiet(api)
    before = _hits(api, lambda: False)
    aside = folder / "aside"
    _put(aside, files, extension, lambda number: make(number + files))
    known, began = api.images(), time.perf_counter()
    aside.rename(folder / "originals" / "dropped")
    meanwhile = _hits(api, lambda: api.images() >= known + files)
    api.until(lambda: api.images() >= known + files)
    figures.add(f"{files:,} files, {kind}, dropped under a load of hits", "s", time.perf_counter() - began)
    _until_quiet(api)
    after = _hits(api, lambda: False)
    for name in before:
        idle = [*before[name], *after[name]]
        figures.add(f"{name}, nothing recorded", "ms", *idle)
        figures.add(f"{name}, while {kind} files are recorded", "ms", *meanwhile[name])


def _hits(api: Api, over: Callable[[], bool]) -> dict[str, list[float]]:
    """Request a picture from memory in rounds: 32 connections, one, and 200 requests a second; return milliseconds."""
    generator, repeat = Generator(shutil.which("wrk")), RepeatedRequest(api.program.address, _HIT)
    found: dict[str, list[float]] = {}
    for _ in range(_MOST_ROUNDS):
        if over() and found:
            break
        for connections in (32, 1):
            done = generator.run(repeat, connections, _SECONDS)
            title = f"memory hit, {connections} connection{'s' if connections > 1 else ''}"
            found.setdefault(f"{title}, p50", []).append(done.p50 * 1000)
            found.setdefault(f"{title}, p99", []).append(done.p99 * 1000)
        paced = sorted(_paced(api))
        found.setdefault("memory hit, 200 a second, p50", []).append(paced[len(paced) // 2] * 1000)
        found.setdefault("memory hit, 200 a second, p99", []).append(paced[int(len(paced) * 0.99)] * 1000)
    return found


def _paced(api: Api) -> Iterator[float]:
    """Send two hundred requests a second, whether or not the last response was slow."""
    parts, sent = urlsplit(api.program.address), request(_HIT)
    length = len(fetch(api.program.address, _HIT).expect(200).body)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due, end = time.perf_counter(), time.perf_counter() + _SECONDS
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.sendall(sent)
            _read_whole(connection, length)
            # From the moment it was due: a request that waits for a slow response is slow too.
            yield time.perf_counter() - due
            due += _PACE


def _read_whole(connection: socket.socket, length: int) -> None:
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < length:
        data += connection.recv(1 << 20)


def _again(folder: Path, figures: Rounds, files: int, kind: str) -> None:
    """Start over all of it once more: nothing is read again."""
    with managed(folder) as api:
        address = api.program.address
        api.until(lambda: counted(address, "imgserve_watch_scan_seconds_count") > 0)
        _until_quiet(api)
        assert api.images() == files
        looked = counted(address, "imgserve_watch_scan_seconds_sum")
        figures.add(f"second start over {files:,} files, {kind}: scan", "s", looked)
        read = counted(address, "imgserve_inspections_total")
        figures.add("the same, files read again", "files", read, wanted="= 0")


def _until_quiet(api: Api) -> None:
    address = api.program.address
    api.until(lambda: counted(address, "imgserve_watch_pending") + counted(address, "imgserve_rendering") == 0)
    time.sleep(2)


def _put(folder: Path, files: int, extension: str, make: Make) -> None:
    for number in range(files):
        path = folder / str(number % _FOLDERS) / f"{number}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(number))
