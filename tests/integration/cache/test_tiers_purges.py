"""Purges of a part: renditions without their mezzanines, single renditions, memory alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from imgserve.cache import DiskTier, MemoryTier, MezzanineTier, RenditionKey, TieredCache
from imgserve.cache.key import is_rendition_path
from imgserve.model import Rendition
from tests.integration.cache.test_tiers import SlowDisk, reached, written

pytestmark = pytest.mark.anyio

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_renditions_can_be_purged_and_their_mezzanine_kept(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 1_000_000), MezzanineTier(tmp_path, 1_000_000))
    assert await cache.keep_mezzanine(key("a"), written(cache))
    await cache.put(key("a"), png(500))
    assert await cache.purge("a", mezzanines=False) == 1
    assert await cache.get(key("a")) is None
    assert await cache.mezzanine(key("a"))
    await cache.purge("a")
    assert await cache.mezzanine(key("a")) is None
    await cache.close()


@pytest.mark.parametrize(("memory", "disk"), [(1_000_000, 1_000_000), (0, 1_000_000), (1_000_000, 0)])
async def test_a_purge_of_a_mark_removes_the_renditions_with_it(
    tmp_path: Path, png: Png, key: Key, memory: int, disk: int
) -> None:
    cache = TieredCache(MemoryTier(memory), DiskTier(tmp_path, disk))
    long = "text=" + 200 * "x"
    marked = [replace(key(name, text), mark="logo") for name, text in (("a", "w"), ("b", "w"), ("b", long))]
    others = [key("a", "w"), replace(key("a", "w"), mark="logo2"), key("logo2")]
    for one in (*marked, *others, key("logo")):
        await cache.put(one, png(500))
        assert is_rendition_path(one.path)
    assert await cache.purge("logo") == 4
    assert [await cache.get(one) for one in marked] == [None] * 3
    assert all([await cache.get(one) for one in others])
    assert await cache.purge("logo") == 0
    await cache.close()


@pytest.mark.parametrize("number", range(4))
async def test_a_purge_of_a_mark_wins_over_a_put_that_began_before(
    tmp_path: Path, png: Png, key: Key, number: int
) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    one = replace(key("a"), mark="logo")

    async def purge() -> None:
        for _ in range(number):
            await anyio.lowlevel.checkpoint()
        await cache.purge("logo")

    async with anyio.create_task_group() as group:
        group.start_soon(cache.put, one, png(500))
        group.start_soon(purge)
    assert await cache.get(one) is None
    await cache.close()


@pytest.mark.parametrize(("memory", "disk"), [(1_000_000, 1_000_000), (0, 1_000_000), (1_000_000, 0)])
async def test_single_renditions_are_purged_and_counted(
    tmp_path: Path, png: Png, key: Key, memory: int, disk: int
) -> None:
    cache = TieredCache(MemoryTier(memory), DiskTier(tmp_path, disk))
    for name in "ab":
        for canonical in ("w", "x"):
            await cache.put(key(name, canonical), png(500))
    gone = [key("a", "w"), key("b", "x"), key("absent"), *(key(number) for number in range(500))]
    assert await cache.purge_keys(gone) == 2
    assert await cache.purge_keys([]) == 0
    left = [(name, canonical) for name in "ab" for canonical in "wx" if await cache.get(key(name, canonical))]
    assert left == [("a", "x"), ("b", "w")]
    assert (await cache.stats())["disk" if disk else "memory"].entries == 2
    await cache.close()


@pytest.mark.parametrize(("memory", "disk"), [(1_000_000, 1_000_000), (0, 1_000_000), (1_000_000, 0)])
async def test_the_renditions_of_an_image_are_listed_and_purged_by_name(
    tmp_path: Path, png: Png, key: Key, memory: int, disk: int
) -> None:
    cache = TieredCache(MemoryTier(memory), DiskTier(tmp_path, disk))
    long = "crop=" + 200 * "x"
    for canonical in ("width=40", "", long):
        await cache.put(key("a", canonical), png(500))
    await cache.put(key("b"), png(500))
    began = datetime.now(UTC)
    assert await cache.get(key("a", "width=40"))
    stored = await cache.stored("a")
    assert {one.transform for one in stored} == {"width=40", "", None}
    assert {(one.size, one.media_type) for one in stored} == {(500, "image/png")}
    if disk:
        assert all(one.made and one.used and began - one.made < timedelta(minutes=1) for one in stored)
    if not memory:
        assert stored[0].transform == "width=40"
        assert stored[0].used
        assert stored[0].used >= began
    (name,) = [one.name for one in stored if one.transform is None]
    assert [await cache.purge_named("a", name) for _ in range(2)] == [1, 0]
    assert await cache.get(key("a", long)) is None
    assert len(await cache.stored("a")) == 2
    assert len(await cache.stored("b")) == 1
    await cache.close()


async def test_a_file_that_the_ledger_does_not_know_is_purged_by_its_key_too(
    tmp_path: Path, png: Png, key: Key
) -> None:
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 1_000_000))
    inherited = tmp_path / key("a").path
    inherited.parent.mkdir(parents=True)
    inherited.write_bytes(png(500).data)
    assert await cache.purge_keys([key("a")]) == 0
    assert not inherited.exists()
    await cache.close()


async def test_a_rendition_purged_by_its_key_while_it_was_written_does_not_stay(
    tmp_path: Path, png: Png, key: Key
) -> None:
    disk = SlowDisk(tmp_path)
    cache = TieredCache(MemoryTier(1_000_000), disk)
    disk.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.put, key("a"), png(500))
        await reached(disk)
        await cache.purge_keys([key("a")])
        disk.go.set()
    assert await cache.get(key("a")) is None
    await cache.close()


async def test_memory_alone_can_be_forgotten(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    for name in "ab":
        await cache.put(key(name), png(500))
    assert cache.forget("a") == 1
    assert await cache.get(key("a")) == (png(500), "disk")
    assert await cache.get(key("b")) == (png(500), "memory")
    assert cache.forget(None) == 2
    assert await cache.get(key("b")) == (png(500), "disk")
    await cache.close()
