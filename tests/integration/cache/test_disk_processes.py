"""The disk tier shared by several processes, any of which may be killed at any moment."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgserve.cache.disk import DiskTier
from imgserve.cache.key import RenditionKey
from imgserve.cache.locks import LeaderLock
from imgserve.model import Rendition

Png = Callable[..., Rendition]
Key = Callable[..., RenditionKey]
MakeTier = Callable[..., DiskTier]
Start = Callable[..., "subprocess.Popen[str]"]

BODY = """
import random, struct, sys, zlib
from pathlib import Path
from imgserve.cache import DiskTier, RenditionKey
from imgserve.cache.locks import LeaderLock
from imgserve.model import Rendition

def key(number):
    return RenditionKey(str(number % 7), "1a-2b", str(number), "0c", "png")

def picture(number):
    head = b"\\x89PNG\\r\\n\\x1a\\n"
    data = head + random.Random(number).randbytes(20_000 + number) + b"IEND\\xae\\x42\\x60\\x82"
    return Rendition(data, "image/png", 4, 3)

root, seed = Path(sys.argv[1]), int(sys.argv[2])
"""

WRITER = """
tier = DiskTier(root, 1_000_000)
chosen = random.Random(seed)
print("ready", flush=True)
while True:
    number = chosen.randrange(100)
    step = chosen.random()
    if step < 0.02:
        tier.purge(str(number % 7))
    elif step < 0.05:
        tier.evict_some()
    else:
        tier.put(key(number), picture(number))
"""

SHARER = """
tier = DiskTier(root, 300_000)
wrong = 0
chosen = random.Random(seed)
for _ in range(300):
    number = chosen.randrange(60)
    step = chosen.random()
    if step < 0.05:
        tier.purge(str(number % 7))
    elif step < 0.1:
        tier.maintain()
    else:
        found = tier.get(key(number))
        wrong += found is not None and found.data != picture(number).data
        if found is None:
            tier.put(key(number), picture(number))
stats = tier.stats()
tier.close()
print(wrong, stats.errors)
"""

KEEPER = """
janitor = LeaderLock(root / "janitor.lock")
print(janitor.acquire(), flush=True)
input()
"""


def expected(number: int) -> bytes:
    scope: dict[str, Callable[[int], Rendition]] = {}
    exec(BODY.replace("root, seed = Path(sys.argv[1]), int(sys.argv[2])", ""), scope)  # noqa: S102  the writers' own
    return scope["picture"](number).data


def key(number: int) -> RenditionKey:
    return RenditionKey(str(number % 7), "1a-2b", str(number), "0c", "png")


def folder_figures(root: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in (root / "renditions").rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running = []

    def run(program: str, seed: int = 0) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", BODY + program, str(tmp_path), str(seed)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_writer_killed_at_any_moment_leaves_no_torn_file(tmp_path: Path, start: Start, make_tier: MakeTier) -> None:
    for round_ in range(12):
        writer = start(WRITER, round_)
        assert first_line(writer) == "ready"
        time.sleep(0.03 + round_ * 0.017)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        tier = make_tier(tmp_path)
        for number in range(100):
            found = tier.get(key(number))
            assert found is None or found.data == expected(number)
        tier.maintain()
        assert list((tmp_path / ".tmp").iterdir()) == []
        assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path)
        assert tier.stats().bytes <= 1_000_000
        tier.close()


def test_processes_that_share_a_folder_keep_one_exact_ledger(tmp_path: Path, start: Start, make_tier: MakeTier) -> None:
    outputs = [process.communicate()[0] for process in [start(SHARER, seed) for seed in range(3)]]
    assert [output.split()[0] for output in outputs] == ["0", "0", "0"]
    tier = make_tier(tmp_path, 300_000)
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path)
    tier.maintain()
    assert tier.stats().bytes <= 300_000
    assert (tier.stats().entries, tier.stats().bytes) == folder_figures(tmp_path)


def test_the_next_process_is_the_janitor_when_the_first_is_killed(tmp_path: Path, start: Start) -> None:
    keeper = start(KEEPER)
    assert first_line(keeper) == "True"
    mine = LeaderLock(tmp_path / "janitor.lock")
    assert not mine.acquire()
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.wait()
    assert mine.acquire()
    assert mine.acquire()
    mine.release()


def test_a_janitor_whose_folder_was_wiped_takes_the_new_lock(tmp_path: Path) -> None:
    mine, other = LeaderLock(tmp_path / "janitor.lock"), LeaderLock(tmp_path / "janitor.lock")
    assert mine.acquire()
    (tmp_path / "janitor.lock").unlink()
    assert other.acquire()
    assert not mine.acquire()
    other.release()


def test_only_the_janitor_evicts_in_its_upkeep(tmp_path: Path, start: Start, make_tier: MakeTier, png: Png) -> None:
    roomy = make_tier(tmp_path)
    for number in range(10):
        roomy.put(key(number), png(1000))
    keeper = start(KEEPER)
    assert first_line(keeper) == "True"
    tight = make_tier(tmp_path, 3000)
    tight.maintain()
    assert tight.stats().entries == 10
    keeper.kill()
    keeper.wait()
    tight.maintain()
    assert tight.stats().entries == 3


@pytest.mark.usefixtures("patient_ledger")
def test_puts_purges_and_evictions_at_once_keep_the_ledger_exact(tmp_path: Path, make_tier: MakeTier, png: Png) -> None:
    tiers = [make_tier(tmp_path, 30_000) for _ in range(2)]

    def work(seed: int) -> None:
        tier = tiers[seed % 2]
        for number in range(60):
            tier.put(key(number % 14), png(1000 + number % 14))
            tier.get(key(number % 13))
            if number % 9 == seed:
                tier.purge(str(number % 7))
            if number % 10 == seed:
                tier.evict_to_budget()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tiers[0].stats().entries, tiers[0].stats().bytes) == folder_figures(tmp_path)
    assert [tier.stats().errors for tier in tiers] == [0, 0]


@pytest.mark.usefixtures("patient_ledger")
def test_a_put_and_a_purge_of_one_image_at_the_same_moment_keep_the_ledger_exact(
    tmp_path: Path, make_tier: MakeTier, png: Png
) -> None:
    tiers = [make_tier(tmp_path) for _ in range(2)]
    for number in range(60):
        start = threading.Barrier(2)

        def put(start: threading.Barrier = start, number: int = number) -> None:
            start.wait()
            tiers[0].put(key(0), png(1000 + number))

        thread = threading.Thread(target=put)
        thread.start()
        start.wait()
        time.sleep(number % 10 * 0.0001)
        tiers[1].purge("0")
        thread.join()
        assert (tiers[0].stats().entries, tiers[0].stats().bytes) == folder_figures(tmp_path)
    assert [tier.stats().errors for tier in tiers] == [0, 0]
