"""How soon the catalog follows the folder of originals, one file at a time and many at once.

python -m benchmarks.watching [--rounds N] [--files N]
"""

import argparse
import asyncio
import functools
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from imgserve.cache import LeaderLock, RenditionKey
from imgserve.library.watcher import Watcher
from imgserve.originals.tree import OriginalsTree
from tests.library_rig import Rig, open_rig, picture

_LONGEST = 600.0


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--files", type=int, default=10_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with open_rig(Path(folder), f"sqlite:///{folder}/catalog.sqlite", settle=2.0) as parts:
            print(f"{'':28}{'median':>10}{'p95':>10}")
            async with asyncio.TaskGroup() as group:
                task = group.create_task(_watcher(parts).run())
                await asyncio.sleep(2)
                await _latencies(parts, given.rounds)
                await _many(parts, given.files)
                task.cancel()
            await _second_start(parts, given.files)


def _watcher(parts: Rig) -> Watcher:
    leader = LeaderLock(parts.root / ".imgserve" / "watch.lock")
    return Watcher(
        OriginalsTree({"": parts.root}), parts.ingest, parts.catalog, leader, parts.metrics, at_once=2, rescan=0
    )


async def _latencies(parts: Rig, rounds: int) -> None:
    seconds: dict[str, list[float]] = {"dropped to recorded": [], "replaced to purged": [], "deleted to forgotten": []}
    for number in range(rounds):
        name = f"{number % 7}/{number}.png"
        parts.put(name, picture(number))
        seconds["dropped to recorded"].append(await _until(functools.partial(_recorded, parts, name)))
        key = await parts.render(name)
        parts.put(name, picture(number + 1000))
        seconds["replaced to purged"].append(await _until(functools.partial(_missing, parts, key)))
        await asyncio.sleep(0.5)  # for its record to follow
        (parts.root / name).unlink()
        seconds["deleted to forgotten"].append(await _until(functools.partial(_forgotten, parts, name)))
    for what, times in seconds.items():
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{what:28}{statistics.median(times) * 1000:8.0f}ms{p95 * 1000:8.0f}ms")


async def _recorded(parts: Rig, name: str) -> bool:
    return await parts.catalog.images.get(name) is not None


async def _forgotten(parts: Rig, name: str) -> bool:
    return await parts.catalog.images.get(name) is None


async def _missing(parts: Rig, key: RenditionKey) -> bool:
    return await parts.cache.get(key) is None


async def _many(parts: Rig, files: int) -> None:
    pictures = [picture(number) for number in range(files)]
    before = _memory()
    began = time.perf_counter()
    for number, data in enumerate(pictures):
        parts.put(f"many/{number % 100}/{number}.png", data)
        if number % 100 == 0:
            await asyncio.sleep(0)
    written = time.perf_counter() - began
    print(f"{files} files written in {written:.1f} s")
    waits = list[float]()
    ticking = asyncio.create_task(_tick(waits))

    async def all_there() -> bool:
        await asyncio.sleep(0.5)
        return (
            await parts.catalog.images.count() >= files
            if hasattr(parts.catalog.images, "count")
            else (len(await parts.catalog.images.versions("many/", limit=files + 1)) >= files)
        )

    await _until(all_there)
    seconds = time.perf_counter() - began
    ticking.cancel()
    print(f"{files} files recorded in {seconds:.1f} s, {files / seconds:.0f} a second")
    waits.sort()
    print(
        f"event loop late meanwhile: p99 {waits[int(len(waits) * 0.99)] * 1000:.1f} ms, most {waits[-1] * 1000:.1f} ms"
    )
    print(f"memory of the server: {before >> 20} MiB before, {_memory() >> 20} MiB at most")


async def _tick(waits: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.002)
        waits.append(time.perf_counter() - began - 0.002)


async def _second_start(parts: Rig, files: int) -> None:
    read, began = len(parts.inspected), time.perf_counter()
    watcher = _watcher(parts)
    task = asyncio.create_task(watcher.run())
    await _until(lambda: _idle(watcher))
    seconds, again = time.perf_counter() - began, len(parts.inspected) - read
    print(f"second start over {files} files: {seconds:.2f} s, {again} read again")
    task.cancel()


async def _idle(watcher: Watcher) -> bool:
    return watcher.idle


async def _until(condition: Callable[[], Awaitable[bool]]) -> float:
    began = time.perf_counter()
    while not await condition():
        if time.perf_counter() - began > _LONGEST:
            sys.exit("gave up waiting")
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    asyncio.run(main())
