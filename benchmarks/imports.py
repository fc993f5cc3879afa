"""A bulk import from a host on this machine, next to a bare loop of httpx2 that stores the same files.

    python -m benchmarks.imports FOLDER [--images N]

FOLDER holds photographs; each image is one of 1200 pixels with other bytes. Prints images per second, the 99th
percentile of hits meanwhile, and the memory of the server.
"""

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pyvips

from benchmarks.fetch import fetch
from benchmarks.figures import percentile
from benchmarks.load import drive, repeated, request
from benchmarks.managed import Api, managed, stamped
from benchmarks.memory import Samples, sampled
from benchmarks.rounds import machine
from tests.image_host import serving, settings

_AT_ONCE = 32
_HIT_SECONDS, _PAUSE_SECONDS = 0.1, 0.4
_UNLIMITED = {"PER_SECOND": "10000", "HOST_PER_SECOND": "10000", "PER_HOST": str(_AT_ONCE)}
"""One host stands for many."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    files = _files(options.folder, options.images)
    size = sum(map(len, files.values())) / len(files) / 1000
    print(f"{machine()}\n\n{len(files)} images of {size:.0f} kB", flush=True)
    place = Path(tempfile.mkdtemp(prefix="imgserve-imports-"))
    try:
        with serving(files) as host:
            (place / "bare").mkdir()
            bare = len(files) / asyncio.run(_bare(host, list(files), place / "bare"))
            rate, hits, memory = _imported(host, list(files), place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(f"bare loop: {bare:.0f} a second; import: {rate:.0f} a second; ratio {rate / bare:.2f}")
    p50, p99 = (percentile(hits, percent) * 1000 for percent in (50, 99))
    print(f"{len(hits)} hits meanwhile, p50: {p50:.1f} ms, p99: {p99:.1f} ms")
    third = max(1, len(memory.values) // 3)
    parts = [memory.values[start : start + third] for start in range(0, 3 * third, third)]
    print("memory, mean of each third:", ", ".join(f"{sum(part) / len(part) / 1e6:.0f} MB" for part in parts if part))


def _files(folder: Path, number: int) -> dict[str, bytes]:
    """Return JPEG files by their paths."""
    photographs = [
        pyvips.Image.thumbnail(str(path), 1200).write_to_buffer(".jpg", Q=80) for path in sorted(folder.rglob("*.jpg"))
    ]
    return {f"/{one}.jpg": stamped(photographs[one % len(photographs)], one) for one in range(number)}


async def _bare(host: str, paths: list[str], folder: Path) -> float:
    """Store files as fast as possible without looking at them; return the seconds."""
    left = iter(paths)
    limits = httpx2.Limits(max_connections=_AT_ONCE)

    async def work(client: httpx2.AsyncClient) -> None:
        for path in left:
            answer = await client.get(host + path)
            await asyncio.to_thread((folder / path[1:]).write_bytes, answer.content)

    began = time.perf_counter()
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        await asyncio.gather(*(work(client) for _ in range(_AT_ONCE)))
    return time.perf_counter() - began


def _imported(host: str, paths: list[str], place: Path) -> tuple[float, list[float], Samples]:
    """Import files; return the images per second, the seconds of hits, and samples of the memory."""
    table = "SKU,Image URL\n" + "".join(f"P-{number // 10},{host}{path}\n" for number, path in enumerate(paths))
    given = settings(host) | {f"IMGSERVE_IMPORTS__{name}": value for name, value in _UNLIMITED.items()}
    with managed(place, **given) as api:
        (place / "originals" / "hit.jpg").write_bytes(stamped(pyvips.Image.black(900, 600).write_to_buffer(".jpg"), 0))
        hit = "/img/hit.jpg?width=300"
        api.until(lambda: fetch(api.program.address, hit).status == httpx2.codes.OK)
        began = time.perf_counter()
        with sampled(api.program) as memory, _hits(api, hit) as hits:
            job = api.call("POST", "/api/imports", table.encode(), expected=(201,))["id"]
            api.until(lambda: api.call("GET", f"/api/imports/{job}")["state"] == "finished", every=0.05)
            seconds = time.perf_counter() - began
        assert api.call("GET", f"/api/imports/{job}")["counts"] == {"stored": len(paths)}
    return len(paths) / seconds, hits, memory


@contextlib.contextmanager
def _hits(api: Api, path: str) -> Iterator[list[float]]:
    """Request a rendition over one connection until the block ends; provide the seconds of each response."""
    found, stop = list[float](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            load = drive(api.program.address, repeated(request(path), _HIT_SECONDS), 1)
            found.extend(load.expect(httpx2.codes.OK).latencies)
            stop.wait(_PAUSE_SECONDS)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
