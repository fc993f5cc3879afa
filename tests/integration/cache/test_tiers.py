"""Memory tier over disk tier."""

import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from imgserve.cache import DiskTier, MemoryTier, MezzanineTier, RenditionKey, TieredCache
from imgserve.cache.ledger import Popularity
from imgserve.model import Rendition

pytestmark = pytest.mark.anyio

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class SlowDisk(DiskTier):
    """Waits at the end of a get and before a put until it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, 1_000_000)
        self.reached, self.go = threading.Event(), threading.Event()
        self.go.set()

    def wait(self) -> None:
        self.reached.set()
        assert self.go.wait(5)

    def get(self, key: RenditionKey) -> Rendition | None:
        found = super().get(key)
        self.wait()
        return found

    def put(self, key: RenditionKey, rendition: Rendition, *, instead_of: int | None = None, saved: int = 0) -> bool:
        self.wait()
        return super().put(key, rendition, instead_of=instead_of, saved=saved)

    def hold(self) -> None:
        self.go.clear()
        self.reached.clear()


async def reached(disk: SlowDisk) -> None:
    assert await anyio.to_thread.run_sync(disk.reached.wait, 5)


async def test_the_nearest_tier_answers_and_a_disk_hit_moves_up(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    assert await cache.get(key("a")) is None
    await cache.put(key("a"), png(500))
    assert await cache.get(key("a")) == (png(500), "memory")
    await cache.close()
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    assert await cache.get(key("a")) == (png(500), "disk")
    assert await cache.get(key("a")) == (png(500), "memory")
    assert (await cache.recheck(key("a"), on_disk=False) or (None,))[0] == png(500)
    await cache.close()


async def test_each_tier_can_be_off(tmp_path: Path, png: Png, key: Key) -> None:
    for memory, disk, tier in ((0, 0, None), (0, 1_000_000, "disk"), (1_000_000, 0, "memory")):
        cache = TieredCache(MemoryTier(memory), DiskTier(tmp_path / f"{memory}", disk))
        await cache.put(key("a"), png(500))
        assert await cache.get(key("a")) == ((png(500), tier) if tier else None)
        await cache.maintain()
        await cache.close()


async def test_a_purge_reaches_both_tiers(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    await cache.put(key("a"), png(500))
    await cache.put(key("b"), png(500))
    assert await cache.purge("a") == 1
    assert await cache.get(key("a")) is None
    assert await cache.get(key("b"))
    assert await cache.purge(None) == 1
    stats = await cache.stats()
    assert {name: tier.entries for name, tier in stats.items()} == {"memory": 0, "disk": 0, "mezzanine": 0}
    await cache.close()


async def test_what_was_purged_while_it_was_read_does_not_come_back_to_memory(
    tmp_path: Path, png: Png, key: Key
) -> None:
    memory, disk = MemoryTier(1_000_000), SlowDisk(tmp_path)
    DiskTier.put(disk, key("a"), png(500))
    cache = TieredCache(memory, disk)
    disk.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.get, key("a"))
        await reached(disk)
        await cache.purge("a")
        disk.go.set()
    assert memory.get(key("a")) is None
    assert await cache.get(key("a")) is None
    await cache.close()


@pytest.mark.parametrize("everything", [False, True])
async def test_what_was_purged_while_it_was_written_does_not_stay(
    tmp_path: Path, png: Png, key: Key, everything: bool
) -> None:
    disk = SlowDisk(tmp_path)
    cache = TieredCache(MemoryTier(1_000_000), disk)
    disk.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.put, key("a"), png(500))
        await reached(disk)
        await cache.purge(None if everything else "a")
        disk.go.set()
    assert await cache.get(key("a")) is None
    assert disk.stats().entries == 0
    await cache.close()


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_another_encoding_of_what_was_purged_does_not_stay(tmp_path: Path, png: Png, key: Key, when: str) -> None:
    disk = SlowDisk(tmp_path)
    cache = TieredCache(MemoryTier(1_000_000), disk)
    await cache.put(key("a"), png(500))
    if when == "before":
        await cache.purge("a")
    disk.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.replace, key("a"), png(500), png(400))
        await reached(disk)
        if when == "during":
            await cache.purge("a")
        disk.go.set()
    if when == "after":
        assert await cache.get(key("a")) == (png(400), "memory")
        await cache.purge("a")
    assert await cache.get(key("a")) is None
    assert disk.stats().entries == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".png"]
    await cache.close()


async def test_another_encoding_replaces_only_the_first_and_keeps_its_hits(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    await cache.put(key("a"), png(500))
    await cache.count_hits({key("a"): 7})
    assert not await cache.replace(key("a"), png(600), png(400))
    assert await cache.get(key("a")) == (png(500), "memory")
    assert await cache.replace(key("a"), png(500), png(400))
    assert (await cache.count_hits({key("a"): 1}))[key("a")] == Popularity(8, png(400).crc32, 100)
    assert await cache.recheck(key("a"), on_disk=True) == (png(400), "memory")
    await cache.close()


async def test_a_purge_of_another_image_changes_nothing(tmp_path: Path, png: Png, key: Key) -> None:
    disk = SlowDisk(tmp_path)
    cache = TieredCache(MemoryTier(1_000_000), disk)
    disk.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.put, key("a"), png(500))
        await reached(disk)
        await cache.purge("b")
        disk.go.set()
    assert await cache.get(key("a")) == (png(500), "memory")
    assert disk.stats().entries == 1
    await cache.close()


async def test_many_requests_at_once_get_what_they_requested(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(100_000), DiskTier(tmp_path, 10_000_000))
    answers: dict[int, bool] = {}

    async def request(number: int) -> None:
        image = number % 20
        found = await cache.get(key(image))
        if found is None:
            await cache.put(key(image), png(2000, seed=image))
        answers[number] = found is None or found[0].data == png(2000, seed=image).data

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(request, number)
    assert list(answers.values()) == [True] * 200
    stats = await cache.stats()
    assert stats["disk"].entries == 20
    assert stats["disk"].errors == 0
    await cache.close()


class SlowMezzanines(MezzanineTier):
    """Waits before it adopts until it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, 1_000_000)
        self.reached, self.go = threading.Event(), threading.Event()

    def adopt(self, key: RenditionKey, temporary: Path) -> bool:
        self.reached.set()
        assert self.go.wait(5)
        return super().adopt(key, temporary)


def written(cache: TieredCache) -> Path:
    place = cache.mezzanine_place()
    assert place
    place.write_bytes(b"m" * 1000)
    return place


async def test_a_mezzanine_is_kept_found_and_purged_with_its_image(tmp_path: Path, key: Key) -> None:
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 0), MezzanineTier(tmp_path, 1_000_000))
    for name in "ab":
        assert await cache.keep_mezzanine(key(name), written(cache))
    place = await cache.mezzanine(key("a"))
    assert place
    assert place.read_bytes() == b"m" * 1000
    assert await cache.purge("a") == 0
    assert await cache.mezzanine(key("a")) is None
    assert await cache.mezzanine(key("b"))
    await cache.purge(None)
    assert await cache.mezzanine(key("b")) is None
    await cache.maintain()
    assert (await cache.stats())["mezzanine"].hits == 2
    await cache.close()
    assert cache.mezzanine_place() is None


async def test_a_mezzanine_whose_writer_failed_leaves_nothing(tmp_path: Path) -> None:
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 0), MezzanineTier(tmp_path, 1_000_000))
    await cache.drop_mezzanine(written(cache))
    assert list((tmp_path / ".tmp").iterdir()) == []
    await cache.close()


async def test_without_a_mezzanine_tier_there_are_none(tmp_path: Path, key: Key) -> None:
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 0))
    assert cache.mezzanine_place() is None
    assert await cache.mezzanine(key("a")) is None
    assert (await cache.stats())["mezzanine"].limit_bytes == 0
    await cache.close()


@pytest.mark.parametrize("everything", [False, True])
async def test_a_mezzanine_purged_while_it_is_kept_does_not_stay(tmp_path: Path, key: Key, everything: bool) -> None:
    mezzanines = SlowMezzanines(tmp_path)
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 0), mezzanines)
    kept = []

    async def keep() -> None:
        kept.append(await cache.keep_mezzanine(key("a"), written(cache)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep)
        assert await anyio.to_thread.run_sync(mezzanines.reached.wait, 5)
        await cache.purge(None if everything else "a")
        mezzanines.go.set()
    assert kept == [False]
    assert mezzanines.locate(key("a")) is None
    await cache.close()


async def test_a_caller_who_leaves_while_a_mezzanine_is_kept_leaves_no_file_behind(tmp_path: Path, key: Key) -> None:
    cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 0), MezzanineTier(tmp_path, 1_000_000))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await cache.keep_mezzanine(key("a"), written(cache))
    assert list((tmp_path / ".tmp").iterdir()) == []
    assert await cache.mezzanine(key("a"))
    await cache.close()


async def test_what_is_at_hand_is_given_at_once_and_only_that(tmp_path: Path, png: Png, key: Key) -> None:
    cache = TieredCache(MemoryTier(1_000_000), DiskTier(tmp_path, 1_000_000))
    assert cache.get_ready(key("a")) is None
    await cache.put(key("a"), png(500))
    assert cache.get_ready(key("a")) == (png(500), "memory")
    assert cache.peek(key("a")) == png(500)
    assert (await cache.stats())["memory"].hits == 1
    await cache.purge("a")
    assert cache.get_ready(key("a")) is None
    assert (await cache.stats())["memory"].misses == 0
    await cache.close()
