"""The gauges of cache and memory, and the cache that is maintained in the background."""

import asyncio
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
from prometheus_client import CollectorRegistry

from imgserve.cache import DiskTier, MemoryTier, TieredCache
from imgserve.cache.key import RenditionKey
from imgserve.metrics import Metrics
from imgserve.model import Rendition
from imgserve.web.operations import Gauges
from tests.pictures import encoded, quarters
from tests.rendition_rig import until

DATA = encoded(quarters(8, 8), "png")
PICTURE = Rendition(DATA, "image/png", 8, 8)


def key(number: int) -> RenditionKey:
    return RenditionKey("a.png", "1-1", f"w={number}", "r", "png")


def gauges_of(cache: TieredCache, metrics: Metrics, folder: Path) -> Gauges:
    async def check() -> Mapping[str, str]:
        return {"originals": "ok", "catalog": "degraded: reading fails", "rendering": "failed: no rendering process"}

    return Gauges(cache, metrics, check, {"cache": folder, "absent": folder / "absent"})


def figure(metrics: Metrics, name: str, tier: str) -> float | None:
    return metrics.registry.get_sample_value(f"imgserve_{name}", {"tier": tier})


def test_figures_of_both_tiers_and_of_memory_are_published(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics(CollectorRegistry())
        cache = TieredCache(MemoryTier(10**6), DiskTier(tmp_path / "cache", 10**7))
        gauges = gauges_of(cache, metrics, tmp_path)
        for number in range(3):
            await cache.get(key(number))
            await cache.put(key(number), PICTURE)
            await cache.get(key(number))
        await cache.maintain()
        for _ in range(2):
            await gauges.update()
        assert figure(metrics, "cache_entries", "memory") == figure(metrics, "cache_entries", "disk") == 3
        assert figure(metrics, "cache_bytes", "disk") == 3 * len(DATA)
        assert figure(metrics, "cache_limit_bytes", "disk") == 10**7
        assert figure(metrics, "cache_hits_total", "memory") == 3
        assert figure(metrics, "cache_misses_total", "disk") == 3
        assert figure(metrics, "cache_errors_total", "disk") == 0
        server = metrics.registry.get_sample_value("imgserve_memory_bytes", {"kind": "server"})
        assert server is not None
        assert server > 10**6
        await cache.close()

    asyncio.run(body())


def test_states_of_parts_and_disks_are_published(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics(CollectorRegistry())
        await gauges_of(TieredCache(MemoryTier(0), DiskTier(tmp_path, 0)), metrics, tmp_path).check()
        value = metrics.registry.get_sample_value
        states = [value("imgserve_part_ok", {"part": part}) for part in ("originals", "catalog", "rendering")]
        assert states == [1, 0, 0]
        free, size = (value(f"imgserve_disk_{name}_bytes", {"folder": "cache"}) or 0 for name in ("free", "size"))
        assert 0 < free < size
        assert value("imgserve_disk_free_bytes", {"folder": "absent"}) is None

    asyncio.run(body())


def test_processor_time_of_server_and_rendering_processes_only_grows(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics(CollectorRegistry())
        gauges = gauges_of(TieredCache(MemoryTier(0), DiskTier(tmp_path, 0)), metrics, tmp_path)
        value = metrics.registry.get_sample_value
        await gauges.update()  # the test itself may have children
        others = value("imgserve_processes", {"kind": "render"}) or 0
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "sum(range(10**7)); input()", stdin=-1)
        seen = [value("imgserve_cpu_seconds_total", {"kind": "render"}) or 0]
        for _ in range(2):
            await asyncio.sleep(0.3)
            await gauges.update()
            seen.append(value("imgserve_cpu_seconds_total", {"kind": "render"}) or 0)
        assert value("imgserve_processes", {"kind": "render"}) == others + 1
        await child.communicate(b"\n")
        await gauges.update()
        seen.append(value("imgserve_cpu_seconds_total", {"kind": "render"}) or 0)
        assert seen == sorted(seen)
        assert seen[-1] - seen[0] > 0.1
        assert value("imgserve_processes", {"kind": "render"}) == others
        assert (value("imgserve_cpu_seconds_total", {"kind": "server"}) or 0) > 0
        assert (value("imgserve_open_files") or 0) > 3

    asyncio.run(body())


def test_a_cache_that_fails_is_counted(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "cache").write_bytes(b"a file")
        metrics = Metrics(CollectorRegistry())
        cache = TieredCache(MemoryTier(0), DiskTier(tmp_path / "cache", 10**7))
        await cache.put(key(1), PICTURE)
        assert await cache.get(key(1)) is None
        await gauges_of(cache, metrics, tmp_path).update()
        assert (figure(metrics, "cache_errors_total", "disk") or 0) >= 2
        assert figure(metrics, "cache_errors_total", "memory") == 0
        await cache.close()

    asyncio.run(body())


def test_cache_and_gauges_are_maintained_until_cancelled(tmp_path: Path) -> None:
    async def body() -> None:
        metrics = Metrics(CollectorRegistry())
        disk = DiskTier(tmp_path / "cache", 10**7)
        cache = TieredCache(MemoryTier(10**6), disk)
        await cache.put(key(1), PICTURE)
        async with anyio.create_task_group() as group:
            group.start_soon(cache.run)
            group.start_soon(gauges_of(cache, metrics, tmp_path).run)
            await until(lambda: figure(metrics, "cache_entries", "memory") == 1)
            shutil.rmtree(tmp_path / "cache")
            await until(lambda: disk.stats().entries == 0 and (tmp_path / "cache").exists())
            group.cancel_scope.cancel()
        await cache.close()

    asyncio.run(body())
