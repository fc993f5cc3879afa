"""The cache: names of renditions, and the tiers."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from pytest_benchmark.fixture import BenchmarkFixture

from imgserve.cache import UNKNOWN, DiskTier, MemoryTier, MezzanineTier, RenditionKey, TieredCache
from imgserve.model import Rendition


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskTier]:
    tier = DiskTier(tmp_path, 10**9)
    yield tier
    tier.close()


def test_entity_tag(benchmark: BenchmarkFixture, key: RenditionKey) -> None:
    assert len(benchmark(lambda: key.tag)) == 32


def test_path_of_a_rendition(benchmark: BenchmarkFixture, key: RenditionKey) -> None:
    assert benchmark(lambda: key.path).endswith(".webp")


def test_memory_get(benchmark: BenchmarkFixture, key: RenditionKey, rendition: Rendition) -> None:
    tier = MemoryTier(10**8)
    for width in range(1000):
        tier.put(replace(key, canonical=f"width={width}"), rendition)
    tier.put(key, rendition)
    assert benchmark(tier.get, replace(key)) is rendition


def test_disk_get(benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition) -> None:
    assert disk.put(key, rendition)
    assert benchmark(disk.get, key) == rendition


def test_disk_get_at_once(benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition) -> None:
    assert disk.put(key, rendition)
    assert disk.get_nonblocking(key) is UNKNOWN
    assert disk.get(key) == rendition
    assert benchmark(disk.get_nonblocking, key) == rendition


def test_disk_miss_at_once(
    benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition
) -> None:
    assert disk.put(replace(key, canonical="width=1"), rendition)
    assert disk.get_nonblocking(key) is UNKNOWN
    assert disk.get(key) is None
    assert benchmark(disk.get_nonblocking, key) is None


def test_tiers_get_at_once_from_disk(
    benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition
) -> None:
    assert disk.put(key, rendition)
    assert disk.get_nonblocking(key) is UNKNOWN
    assert disk.get(key) == rendition
    assert benchmark(TieredCache(MemoryTier(0), disk).get_nonblocking, key) == (rendition, "disk")


def test_disk_get_by_a_thread(
    benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition
) -> None:
    assert disk.put(key, rendition)

    async def hop() -> None:
        for _ in range(100):
            assert await to_thread.run_sync(disk.get, key)

    benchmark(anyio.run, hop)


def test_mezzanine_locate(benchmark: BenchmarkFixture, tmp_path: Path, key: RenditionKey) -> None:
    tier = MezzanineTier(tmp_path, 10**9)
    place = tier.place()
    assert place
    place.write_bytes(bytes(10**6))
    assert tier.adopt(key, place)
    assert benchmark(tier.locate, key)
    tier.close()


def test_disk_miss(benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition) -> None:
    assert disk.put(replace(key, canonical="width=1"), rendition)
    assert benchmark(disk.get, key) is None


def test_disk_put(benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition) -> None:
    widths = itertools.count(1)
    assert benchmark(lambda: disk.put(replace(key, canonical=f"width={next(widths)}"), rendition))
