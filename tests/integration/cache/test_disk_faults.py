"""The disk tier on a disk that is full, read-only, forbidden or wiped, and with a ledger that is broken."""

import errno
import itertools
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Self

import pytest

from imgserve.cache.disk import DiskTier
from imgserve.cache.key import RenditionKey
from imgserve.cache.ledger import Rows
from imgserve.model import Rendition
from tests.disks import mount

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]
MakeTier = Callable[..., DiskTier]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    place = tmp_path / "disk"
    place.mkdir()

    def make(size: str) -> Path:
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
        return place

    yield make
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)  # noqa: S607  as above


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def folder_figures(root: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in (root / "renditions").rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def test_a_full_disk_stores_nothing_breaks_nothing_and_is_logged_once(
    small_disk: Callable[[str], Path], png: Png, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    root = small_disk("600k")
    tier = DiskTier(root, 100_000_000)
    stored = [number for number in range(100) if tier.put(key(number), png(20_000, seed=number))]
    assert 0 < len(stored) < 90
    assert all(tier.get(key(number)) == png(20_000, seed=number) for number in stored)
    assert tier.get(key(99)) is None
    assert tier.stats().errors >= 100 - len(stored)
    assert tier.stats().degraded
    assert len(warnings(caplog)) == 1
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(root)
    assert list((root / ".tmp").iterdir()) == []
    tier.close()


def test_a_full_disk_has_room_again_after_an_eviction(small_disk: Callable[[str], Path], png: Png, key: Key) -> None:
    root = small_disk("600k")
    tier = DiskTier(root, 100_000_000)
    for number in range(100):
        tier.put(key(number), png(20_000))
    tier.close()
    smaller = DiskTier(root, 100_000)
    smaller.maintain()
    assert smaller.stats().bytes <= 100_000
    assert (smaller.stats().entries, smaller.stats().bytes) == folder_figures(root)
    assert smaller.put(key("new"), png(20_000))
    assert not smaller.stats().degraded
    smaller.close()


def test_a_disk_too_small_for_the_ledger_is_a_cache_that_is_off(
    small_disk: Callable[[str], Path], png: Png, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    root = small_disk("64k")
    (root / "other").write_bytes(bytes(60 * 1024))
    tier = DiskTier(root, 100_000_000)
    for number in range(10):
        assert not tier.put(key(number), png(20_000))
        assert tier.get(key(number)) is None
        tier.maintain()
    assert tier.purge("a") == 0
    assert tier.stats().errors >= 20
    assert 1 <= len(warnings(caplog)) <= 2
    tier.close()


def test_a_read_only_disk_is_a_cache_that_is_off(
    small_disk: Callable[[str], Path], png: Png, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    root = small_disk("4m")
    tier = DiskTier(root, 1_000_000)
    tier.put(key("a"), png(500))
    tier.close()
    mount("-o", "remount,ro", str(root))
    tier = DiskTier(root, 1_000_000)
    for _ in range(3):
        assert tier.get(key("a")) is None
        assert not tier.put(key("b"), png(500))
        tier.maintain()
    assert len(warnings(caplog)) == 1
    assert "EROFS" in warnings(caplog)[0]
    mount("-o", "remount,rw", str(root))
    time.sleep(1.1)
    assert tier.get(key("a")) == png(500)
    assert tier.put(key("b"), png(500))
    tier.close()


FORBIDDEN = """
import logging, os, sys
from pathlib import Path
from imgserve.cache import DiskTier, RenditionKey
from imgserve.model import Rendition
logging.basicConfig(level=logging.WARNING)
if os.geteuid() == 0:
    # Root may do everything.
    os.setgroups([])
    os.setuid(65534)
tier = DiskTier(Path(sys.argv[1]), 1_000_000)
key = RenditionKey("a", "v", "c", "r", "png")
for _ in range(3):
    print(tier.get(key), tier.put(key, Rendition(b"x" * 100, "image/png", 1, 1)))
    tier.maintain()
tier.purge("a")
print(tier.stats().errors > 0, tier.stats().degraded)
tier.close()
"""


def test_a_forbidden_folder_is_a_cache_that_is_off() -> None:
    # Not below pytest's folder, which only its owner may enter.
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o555)
        command = [sys.executable, "-c", FORBIDDEN, str(root / "cache")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        shutil.rmtree(root)
    assert done.stdout.splitlines() == ["None False"] * 3 + ["True True"]
    assert done.stderr.count("WARNING") == 1
    assert "EACCES" in done.stderr


def test_a_folder_wiped_under_a_running_tier_is_made_anew(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "cache"
    tier = make_tier(root)
    tier.maintain()
    for _ in range(2):
        for number in range(5):
            assert tier.put(key(number), png(500))
        assert (tier.stats().entries, tier.stats().bytes) == folder_figures(root) == (5, 2500)
        shutil.rmtree(root)
        assert tier.get(key(0)) is None
        assert (tier.stats().entries, tier.stats().bytes) == (0, 0)
        tier.maintain()
    assert tier.put(key("a"), png(500))
    assert tier.get(key("a")) == png(500)
    assert tier.stats().errors == 2
    assert "vanished" in warnings(caplog)[0]


def test_a_lost_ledger_is_made_from_the_files(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    tier = make_tier(tmp_path)
    tier.maintain()
    for number in range(5):
        tier.put(key(number), png(500))
    for part in tmp_path.glob("ledger.sqlite*"):
        part.unlink()
    tier.maintain()
    assert (tier.stats().entries, tier.stats().bytes) == (5, 2500)
    assert tier.get(key(0)) == Rendition(png(500).data, "image/png", 4, 3)


@pytest.mark.parametrize(
    "content", [b"", b"not a database, but longer than a header of one" * 100, b"SQLite format 3\0"]
)
def test_a_broken_ledger_is_set_aside_and_made_anew(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, content: bytes
) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    tier.close()
    (tmp_path / "ledger.sqlite").write_bytes(content)
    tier = make_tier(tmp_path)
    assert tier.get(key("a")) == Rendition(png(500).data, "image/png", 4, 3)
    assert tier.put(key("b"), png(500))
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path) == (2, 1000)
    assert (tmp_path / "ledger.sqlite.broken").exists() == bool(content)


def test_a_ledger_that_breaks_while_it_is_used_is_made_anew(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path)
    for number in range(300):
        tier.put(key(number), png(100))
    tier.close()
    size = (tmp_path / "ledger.sqlite").stat().st_size
    tier = make_tier(tmp_path)
    tier.get(key(0))
    with (tmp_path / "ledger.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    for number in range(300):
        assert tier.get(key(number)) in {None, png(100), Rendition(png(100).data, "image/png", 4, 3)}
    tier.put(key("new"), png(100))
    time.sleep(1.1)
    for _ in range(20):  # a scan continues with each, and on a busy machine has few steps in one
        tier.maintain()
    assert tier.put(key("newer"), png(100))
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path)
    assert tier.stats().errors


def test_a_ledger_of_another_release_is_set_aside(tmp_path: Path, make_tier: MakeTier, png: Png, key: Key) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as other:
        other.executescript("CREATE TABLE renditions (x); PRAGMA user_version=99")
    tier = make_tier(tmp_path)
    assert tier.put(key("a"), png(500))
    assert tier.stats().errors == 0


def test_a_locked_ledger_delays_one_request_and_fails_none(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        stored = [tier.put(key("b", number), png(500)) for number in range(5)]
        assert stored == [False] * 5
        assert tier.get(key("a")) == png(500)
        other.execute("ROLLBACK")
    time.sleep(1.1)
    assert tier.put(key("b"), png(500))
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path) == (2, 1000)


def test_a_ledger_that_is_a_folder_is_a_cache_that_is_off(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    tier = make_tier(tmp_path)
    assert not tier.put(key("a"), png(500))
    assert tier.get(key("a")) is None
    assert tier.stats().degraded
    assert folder_figures(tmp_path) == (0, 0)


def test_a_purge_removes_files_though_the_ledger_is_locked(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key
) -> None:
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tier.purge("a")
        assert folder_figures(tmp_path) == (0, 0)
        other.execute("ROLLBACK")
    time.sleep(1.1)
    assert tier.get(key("a")) is None
    assert tier.stats().bytes == 0


def test_an_eviction_that_cannot_be_written_down_ends_and_heals(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = make_tier(tmp_path)
    for number in range(10):
        tier.put(key(number), png(500))
    tier.close()
    tier = make_tier(tmp_path, 1000)
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "drop", _fail_at(2, Rows.drop))
        tier.evict_to_budget()
    assert tier.stats().evictions == 0
    assert tier.stats().entries == 10
    tier.maintain()
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path)
    assert tier.stats().bytes <= 1000


def test_a_picture_whose_row_finds_no_room_does_not_stay(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = make_tier(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "totals", _fail_at(1, Rows.totals))
        assert not tier.put(key("a"), png(500))
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path) == (0, 0)


def _fail_at(number: int, real: Callable[..., object]) -> Callable[..., object]:
    calls = itertools.count(1)

    def fail(rows: Rows, *arguments: object) -> object:
        if next(calls) == number:
            raise sqlite3.OperationalError("database or disk is full")
        return real(rows, *arguments)

    return fail


def test_running_out_of_space_halfway_leaves_nothing_behind(
    tmp_path: Path, make_tier: MakeTier, png: Png, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Covers a full disk also where a tmpfs cannot be mounted: the files of this process may not grow further."""
    tier = make_tier(tmp_path)
    tier.put(key("a"), png(500))
    real_open = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: _Limited(real_open(path, mode), 10_000))
        assert not tier.put(key("b"), png(20_000))
        assert tier.put(key("c"), png(9000))
    assert tier.stats().errors == 1
    assert list((tmp_path / ".tmp").iterdir()) == []
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path) == (2, 9500)


class _Limited:
    """A file whose disk has room for so many bytes only."""

    def __init__(self, file: IO[Any], quota: int) -> None:
        self._file = file
        self._quota = quota

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._quota])
        if len(data) > self._quota:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)
