"""The cache: names of renditions, and both tiers."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from imgserve.cache import DiskTier, MemoryTier, RenditionKey
from imgserve.model import Rendition


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskTier]:
    tier = DiskTier(tmp_path, 10**9)
    yield tier
    tier.close()


def test_entity_tag(benchmark: BenchmarkFixture, key: RenditionKey) -> None:
    assert len(benchmark(lambda: key.etag)) == 34


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


def test_disk_miss(benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition) -> None:
    assert disk.put(replace(key, canonical="width=1"), rendition)
    assert benchmark(disk.get, key) is None


def test_disk_put(benchmark: BenchmarkFixture, disk: DiskTier, key: RenditionKey, rendition: Rendition) -> None:
    widths = itertools.count(1)
    assert benchmark(lambda: disk.put(replace(key, canonical=f"width={next(widths)}"), rendition))
