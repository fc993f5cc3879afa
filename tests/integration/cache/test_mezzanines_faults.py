"""The mezzanine tier on a disk that is full, forbidden or wiped, and between processes that are killed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imgserve.cache.disk import MezzanineTier
from imgserve.cache.key import MEZZANINES, RenditionKey
from tests.disks import mount

Key = Callable[..., RenditionKey]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=800k", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)  # noqa: S607  as above


def folder_figures(root: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in (root / MEZZANINES).rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def keep(tier: MezzanineTier, key: RenditionKey, size: int = 1000) -> bool:
    place = tier.place()
    if place is None:
        return False
    place.write_bytes(b"m" * size)
    return tier.adopt(key, place)


def agrees(tier: MezzanineTier, root: Path) -> bool:
    return (tier.stats().entries, tier.stats().bytes) == folder_figures(root)


def test_a_full_disk_keeps_nothing_more_and_what_was_kept(small_disk: Path, key: Key) -> None:
    tier = MezzanineTier(small_disk, 10_000_000)
    kept, full = [], False
    for number in range(200):
        try:
            if keep(tier, key(number), 20_000):
                kept.append(number)
        except OSError:  # the writer's, which is a rendering process
            full = True
            break
    for place in (small_disk / ".tmp").iterdir():
        tier.withdraw(place)
    assert full
    assert kept
    assert all(tier.locate(key(number)) for number in kept)
    assert agrees(tier, small_disk)
    tier.close()


def test_a_ledger_that_finds_no_room_leaves_no_file_and_pauses_the_writers(tmp_path: Path, key: Key) -> None:
    tier = MezzanineTier(tmp_path, 1_000_000)
    keep(tier, key("a"))
    with closing(sqlite3.connect(tmp_path / "mezzanines.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not keep(tier, key("b"))
        assert tier.place() is None
        assert tier.locate(key("a"))
        other.execute("ROLLBACK")
    assert list((tmp_path / ".tmp").iterdir()) == []
    assert agrees(tier, tmp_path)
    assert (tier.stats().errors, tier.stats().degraded) == (1, True)
    tier._writable_at = 0.0
    time.sleep(1.1)
    assert keep(tier, key("b"))
    assert not tier.stats().degraded
    tier.close()


def test_a_file_in_place_of_the_cache_folder_is_a_tier_that_is_off(
    tmp_path: Path, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    tier = MezzanineTier(tmp_path / "cache", 1_000_000)
    (tmp_path / "written").write_bytes(b"m" * 1000)
    for _ in range(3):
        assert tier.place() is None
        assert tier.locate(key("a")) is None
        tier.maintain()
    assert not tier.adopt(key("a"), tmp_path / "written")
    assert not (tmp_path / "written").exists()
    assert tier.purge("a") == 0
    assert tier.stats().degraded
    assert "mezzanine cache" in caplog.text
    tier.close()


def test_a_folder_wiped_under_a_running_tier_is_made_anew(tmp_path: Path, key: Key) -> None:
    root = tmp_path / "cache"
    tier = MezzanineTier(root, 1_000_000)
    for _ in range(2):
        for number in range(5):
            assert keep(tier, key(number))
        place = tier.place()
        assert place
        shutil.rmtree(root)
        assert tier.locate(key(0)) is None
        assert not tier.adopt(key(0), place)
        tier.maintain()
        assert agrees(tier, root)
    assert keep(tier, key("a"))
    assert tier.locate(key("a"))
    tier.close()


def test_only_the_mezzanines_folder_removed_empties_the_ledger(tmp_path: Path, key: Key) -> None:
    tier = MezzanineTier(tmp_path, 1_000_000)
    keep(tier, key("a"))
    shutil.rmtree(tmp_path / MEZZANINES)
    tier.maintain()
    assert tier.stats().entries == 0
    assert keep(tier, key("a"))
    tier.close()


def test_a_lost_ledger_costs_the_mezzanines(tmp_path: Path, key: Key) -> None:
    tier = MezzanineTier(tmp_path, 1_000_000)
    for number in range(5):
        keep(tier, key(number))
    for part in tmp_path.glob("mezzanines.sqlite*"):
        part.unlink()
    tier.maintain()
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path) == (0, 0)
    tier.close()


def test_a_purge_removes_files_though_the_ledger_is_locked(tmp_path: Path, key: Key) -> None:
    tier = MezzanineTier(tmp_path, 1_000_000)
    keep(tier, key("a"))
    with closing(sqlite3.connect(tmp_path / "mezzanines.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tier.purge("a")
        assert folder_figures(tmp_path) == (0, 0)
        other.execute("ROLLBACK")
    assert tier.locate(key("a")) is None
    tier.close()


BODY = """
import random, sys
from pathlib import Path
from imgserve.cache import MezzanineTier, RenditionKey
tier = MezzanineTier(Path(sys.argv[1]), 300_000)
chosen = random.Random(int(sys.argv[2]))
def key(number):
    return RenditionKey(str(number % 7), "1a-2b", str(number), "0c", "raw")
def keep(number):
    place = tier.place()
    place.write_bytes(bytes([number]) * (5000 + number))
    tier.adopt(key(number), place)
def whole(number):
    place = tier.locate(key(number))
    try:
        data = place.read_bytes() if place else None
    except FileNotFoundError:
        return True
    return data is None or data == bytes([number]) * (5000 + number)
print("ready", flush=True)
"""

WRITER = """
while True:
    number, step = chosen.randrange(100), chosen.random()
    tier.purge(str(number % 7)) if step < 0.03 else keep(number)
"""

SHARER = """
torn = 0
for _ in range(200):
    number, step = chosen.randrange(100), chosen.random()
    if step < 0.03:
        tier.purge(str(number % 7))
    elif step < 0.06:
        tier.maintain()
    elif step < 0.5:
        keep(number)
    else:
        torn += not whole(number)
stats = tier.stats()
tier.close()
print(torn, stats.errors)
"""


def start(program: str, root: Path, seed: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", BODY + program, str(root), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_writer_killed_at_any_moment_leaves_no_torn_file(tmp_path: Path) -> None:
    for round_ in range(8):
        writer = start(WRITER, tmp_path, round_)
        time.sleep(0.03 + round_ * 0.017)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        tier = MezzanineTier(tmp_path, 300_000)
        for number in range(100):
            place = tier.locate(RenditionKey(str(number % 7), "1a-2b", str(number), "0c", "raw"))
            assert place is None or place.read_bytes() == bytes([number]) * (5000 + number)
        tier.maintain()
        assert list((tmp_path / ".tmp").iterdir()) == []
        assert agrees(tier, tmp_path)
        assert tier.stats().bytes <= 300_000
        tier.close()


def test_processes_that_share_a_folder_keep_one_exact_ledger(tmp_path: Path) -> None:
    sharers = [start(SHARER, tmp_path, seed) for seed in range(2)]
    outputs = [sharer.communicate()[0].split() for sharer in sharers]
    assert outputs == [["0", "0"], ["0", "0"]]
    tier = MezzanineTier(tmp_path, 300_000)
    assert agrees(tier, tmp_path)
    assert tier.stats().bytes <= 300_000
    tier.close()


@pytest.mark.usefixtures("patient_ledger")
def test_an_adoption_and_a_purge_at_the_same_moment_keep_the_ledger_exact(tmp_path: Path, key: Key) -> None:
    tiers = [MezzanineTier(tmp_path, 1_000_000) for _ in range(2)]
    for number in range(40):
        together = threading.Barrier(2)

        def adopt(together: threading.Barrier = together, number: int = number) -> None:
            together.wait()
            keep(tiers[0], key("a"), 1000 + number)

        thread = threading.Thread(target=adopt)
        thread.start()
        together.wait()
        time.sleep(number % 10 * 0.0001)
        tiers[1].purge("a")
        thread.join()
        assert agrees(tiers[0], tmp_path)
    assert [tier.stats().errors for tier in tiers] == [0, 0]
    for tier in tiers:
        tier.close()
