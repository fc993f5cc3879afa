"""Look-ups on the event loop: told at once, or left to a thread, and never wrong."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from imgserve.cache import UNKNOWN, DiskTier, MemoryTier, RenditionKey, TieredCache
from imgserve.cache.files import LARGEST, RecentKeys
from imgserve.model import Rendition

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]
MakeTier = Callable[..., DiskTier]


@pytest.fixture
def tier(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> DiskTier:
    """A tier that holds "a" and is ready to tell at once."""
    tier = make_tier(tmp_path, 10_000_000)
    tier.put(key("a"), png(50_000))
    assert tier.get_nonblocking(key("a")) is UNKNOWN
    assert tier.get(key("a"))
    return tier


def test_a_hit_has_every_field_and_is_counted_and_marked_as_used(tier: DiskTier, png: Png, key: Key) -> None:
    before = tier.stats().hits
    used = tier._ledger.find(key("a").path)
    assert tier.get_nonblocking(key("a")) == png(50_000)
    assert tier.stats().hits == before + 1
    tier.flush()
    again = tier._ledger.find(key("a").path)
    assert used
    assert again
    assert again.used > used.used


def test_what_is_not_there_is_reported_at_once(tier: DiskTier, key: Key) -> None:
    before = tier.stats().misses
    assert tier.get_nonblocking(key("b")) is UNKNOWN
    assert tier.get(key("b")) is None
    assert tier.get_nonblocking(key("b")) is None
    assert tier.stats().misses == before + 2


def test_a_name_that_no_thread_has_looked_up_is_left_to_one(tmp_path: Path, tier: DiskTier, png: Png, key: Key) -> None:
    tier.put(key("b"), png(500))
    again = DiskTier(tmp_path, 1_000_000)
    assert again.get_nonblocking(key("a")) is UNKNOWN
    again.get(key("a"))
    assert again.get_nonblocking(key("a")) == png(50_000)
    assert again.get_nonblocking(key("b")) is UNKNOWN
    again.close()


def test_what_was_looked_up_lately_is_remembered_within_bounds() -> None:
    familiar = RecentKeys(2)
    assert "0" not in familiar
    for number in range(100):
        familiar.add(str(number))
        familiar.add(str(number))
        assert all(str(recent) in familiar for recent in (number, max(0, number - 1)))
    assert [number for number in range(100) if str(number) in familiar] == [98, 99]


def test_nearly_all_of_many_paths_are_remembered() -> None:
    familiar = RecentKeys()
    for number in range(10_000):
        familiar.add(str(number))
    assert sum(str(number) in familiar for number in range(10_000)) > 9_900


def test_a_tier_that_is_off_has_nothing(tmp_path: Path, make_tier: MakeTier, key: Key) -> None:
    assert make_tier(tmp_path, 0).get_nonblocking(key("a")) is None


def forget_pages(path: Path, after: int = 0) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), after, 0, os.POSIX_FADV_DONTNEED)


def keeps_pages(path: Path) -> bool:
    forget_pages(path)
    with path.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False


@pytest.mark.parametrize("after", [0, 8192])
def test_a_file_that_is_not_in_memory_as_a_whole_is_left_to_a_thread(
    tier: DiskTier, tmp_path: Path, png: Png, key: Key, after: int
) -> None:
    place = tmp_path / key("a").path
    if keeps_pages(place):
        pytest.skip("this file system keeps its pages")
    # The kernel may bring pages back on its own; it never gives a piece of a picture for the whole.
    answers = list[object]()
    for _ in range(50):
        forget_pages(place, after)
        answers.append(tier.get_nonblocking(key("a")))
        assert tier.get(key("a")) == png(50_000)
    assert UNKNOWN in answers
    assert all(answer is UNKNOWN or answer == png(50_000) for answer in answers)
    assert tier.get_nonblocking(key("a")) == png(50_000)
    assert tier.stats().errors == 0


@pytest.mark.parametrize(("size", "told"), [(LARGEST, True), (LARGEST + 1, False)])
def test_large_files_are_left_to_a_thread(tier: DiskTier, png: Png, key: Key, size: int, told: bool) -> None:
    tier.put(key("b"), png(size))
    assert tier.get_nonblocking(key("b")) == (png(size) if told else UNKNOWN)
    assert tier.get(key("b")) == png(size)


def _flip(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[300] ^= 1
    place.write_bytes(data)


def _link(place: Path) -> None:
    place.rename(place.with_name("moved"))
    place.symlink_to("moved")


def _pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


DAMAGES: list[Callable[[Path], object]] = [
    Path.unlink,
    _flip,
    _link,
    _pipe,
    _folder,
    lambda place: place.write_bytes(b""),
    lambda place: place.write_bytes(b"x"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_anything_odd_is_left_to_a_thread(
    tier: DiskTier, tmp_path: Path, key: Key, damage: Callable[[Path], object]
) -> None:
    damage(tmp_path / key("a").path)
    assert tier.get_nonblocking(key("a")) is UNKNOWN
    assert tier.get(key("a")) is None
    assert tier.get_nonblocking(key("a")) is None


def test_a_file_without_a_row_is_left_to_a_thread(tier: DiskTier, tmp_path: Path, png: Png, key: Key) -> None:
    place = tmp_path / key("b").path
    place.parent.mkdir(parents=True)
    tier._recent.add(key("b").path)
    place.write_bytes(png(500).data)
    assert tier.get_nonblocking(key("b")) is UNKNOWN
    assert tier.get(key("b"))
    assert tier.get_nonblocking(key("b")) == Rendition(png(500).data, "image/png", 4, 3)


def test_a_change_under_way_is_not_waited_for(tier: DiskTier, tmp_path: Path, png: Png, key: Key) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert tier.get_nonblocking(key("a")) == png(50_000)
        other.execute("ROLLBACK")


def test_a_ledger_in_use_by_another_thread_is_not_waited_for(tier: DiskTier, key: Key) -> None:
    with tier._ledger._nonblocking._lock:
        assert tier.get_nonblocking(key("a")) is UNKNOWN


def test_a_busy_ledger_is_not_slept_for(tier: DiskTier) -> None:
    connection = tier._ledger._nonblocking._connection
    assert connection
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (0,)


def test_a_ledger_that_fails_is_left_to_a_thread(tier: DiskTier, key: Key) -> None:
    connection = tier._ledger._nonblocking._connection
    assert connection
    connection.close()
    assert tier.get_nonblocking(key("a")) is UNKNOWN


def test_while_the_disk_fails_only_threads_look(tier: DiskTier, png: Png, key: Key) -> None:
    tier._faults.record("reading", OSError(errno.EIO, "once"))
    assert tier.get_nonblocking(key("a")) is UNKNOWN
    assert tier.get(key("a")) == png(50_000)
    assert tier.get_nonblocking(key("a")) == png(50_000)


def test_a_ledger_made_anew_is_opened_again(tier: DiskTier, tmp_path: Path, key: Key) -> None:
    first = tier._ledger._nonblocking._identity
    for part in tmp_path.glob("ledger.sqlite*"):
        part.unlink()
    tier.maintain()
    assert tier._ledger._nonblocking._identity != first
    tier.get(key("a"))
    assert isinstance(tier.get_nonblocking(key("a")), Rendition)


@pytest.mark.parametrize(
    ("number", "tries"), [(errno.EOPNOTSUPP, 1), (errno.EINVAL, 1), (errno.EAGAIN, 2), (errno.EIO, 2)]
)
def test_a_file_system_that_cannot_report_is_not_requested_again(
    tier: DiskTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch, number: int, tries: int
) -> None:
    asked = []

    def fail(*_: object) -> int:
        asked.append(1)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", fail)
    assert [tier.get_nonblocking(key("a")) for _ in range(2)] == [UNKNOWN, UNKNOWN]
    assert len(asked) == tries
    assert tier.get(key("a")) == png(50_000)


def test_a_system_without_such_reads_goes_to_threads(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgserve.cache.files._NOWAIT", 0)
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    for _ in range(2):
        assert tier.get(key("a")) == png(500)
        assert tier.get_nonblocking(key("a")) is UNKNOWN


class Counting(DiskTier):
    """Counts what goes to threads; a purge waits until it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, 1_000_000)
        self.gets, self.reached, self.go = 0, threading.Event(), threading.Event()
        self.go.set()

    def get(self, key: RenditionKey) -> Rendition | None:
        self.gets += 1
        return super().get(key)

    def purge(self, image_id: str | None) -> int:
        self.reached.set()
        assert self.go.wait(5)
        return super().purge(image_id)


def test_a_get_takes_a_thread_only_where_it_has_to(tmp_path: Path, png: Png, key: Key) -> None:
    async def body() -> None:
        disk = Counting(tmp_path)
        cache = TieredCache(MemoryTier(0), disk)
        await cache.put(key("a"), png(500))
        for _ in range(5):
            assert await cache.get(key("a")) == (png(500), "disk")
            assert await cache.get(key("b")) is None
        assert disk.gets == 2
        stats = await cache.stats()
        assert (stats["disk"].hits, stats["disk"].misses) == (stats["memory"].misses - 5, 5) == (5, 5)
        await cache.close()

    anyio.run(body)


def test_the_tiers_report_at_once_and_a_disk_hit_moves_up(tmp_path: Path, png: Png, key: Key) -> None:
    async def body() -> Sequence[object]:
        cache = TieredCache(MemoryTier(0), DiskTier(tmp_path, 1_000_000))
        await cache.put(key("a"), png(500))
        await cache.close()
        disk = DiskTier(tmp_path, 1_000_000)
        cache = TieredCache(MemoryTier(1_000_000), disk)
        disk.get(key("a"))
        disk.get(key("b"))
        told = [cache.get_nonblocking(key("a"))]
        disk.get(key("b"))
        told += [cache.get_nonblocking(key(name)) for name in "baa"]
        stats = await cache.stats()
        # The first look, which told nothing, counts as none.
        assert (stats["memory"].hits, stats["memory"].misses) == (1, 2)
        assert (stats["disk"].hits, stats["disk"].misses) == (2, 3)
        await cache.close()
        return told

    assert anyio.run(body) == [UNKNOWN, None, (png(500), "disk"), (png(500), "memory")]


def test_what_was_found_while_it_was_purged_does_not_stay_in_memory(tmp_path: Path, png: Png, key: Key) -> None:
    async def body() -> None:
        disk = Counting(tmp_path)
        disk.put(key("a"), png(500))
        cache = TieredCache(MemoryTier(1_000_000), disk)
        await cache.get(key("b"))
        disk.go.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cache.purge, "a")
            assert await anyio.to_thread.run_sync(disk.reached.wait, 5)
            assert cache.get_nonblocking(key("a")) == (png(500), "disk")
            assert cache.get_nonblocking(key("a")) == (png(500), "memory")
            disk.go.set()
        assert cache.get_nonblocking(key("a")) is None
        await cache.close()

    anyio.run(body)
