"""The rate limiter on counters in memory, in a file of several processes, and in Redis."""

import asyncio
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from imgserve.access import counters, limiter
from imgserve.access.counters import CounterTable
from imgserve.access.limiter import RateLimiter, open_limiter
from imgserve.access.rates import Kind, Rate
from imgserve.access.redis_counters import RedisCounters
from imgserve.errors import ConfigError, RateLimited
from imgserve.metrics import Metrics
from tests import redis_server
from tests.disks import mount

START = 1_800_000_000.0
"""At the start of a minute, hour and day."""
TEN = Rate(10, 60, "minute")


class Clock:
    def __init__(self) -> None:
        self.now = START - START % 86400

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(shared: CounterTable | RedisCounters | None, clock: Clock) -> AsyncIterator[RateLimiter]:
    found = RateLimiter(shared, Metrics(CollectorRegistry()), clock=clock)
    found._local._clock = clock
    try:
        yield found
    finally:
        await found.close()


async def accepted(found: RateLimiter, rates: str, times: int, *, subject: str = "a", cost: int = 1) -> int:
    """Return how many of these calls are accepted."""
    number = 0
    for _ in range(times):
        try:
            await found.spend(Kind.API, subject, rates, cost)
        except RateLimited:
            continue
        number += 1
    return number


def errors(found: RateLimiter) -> float:
    return found._failures._value.get()  # type: ignore[no-any-return]  # prometheus_client has no public reader


@pytest.fixture(params=["memory", "file"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[CounterTable | None, Clock]:
    clock = Clock()
    return CounterTable(tmp_path / "rates", clock=clock) if request.param == "file" else None, clock


async def _slides(shared: CounterTable | None, clock: Clock) -> list[int]:
    async with opened(shared, clock) as found:
        numbers = [await accepted(found, "10/minute", 15)]
        for seconds in (59, 1.1, 6, 30, 60, 600):
            clock.now += seconds
            numbers.append(await accepted(found, "10/minute", 15))
        return numbers


def test_a_period_slides(table: tuple[CounterTable | None, Clock]) -> None:
    # After the first minute the ten fade away; at 1:36, three of them and the two since count.
    assert asyncio.run(_slides(*table)) == [10, 0, 1, 1, 5, 8, 10]


def test_subjects_kinds_and_rates_are_counted_apart(table: tuple[CounterTable | None, Clock]) -> None:
    async def run() -> None:
        async with opened(*table) as found:
            for subject in ("a", "b", "\udcff", "x" * 5000):
                assert await accepted(found, "2/minute", 3, subject=subject) == 2
            await found.spend(Kind.UPLOADS, "a", "2/minute")
            assert await accepted(found, "5/minute", 7) == 5

    asyncio.run(run())


def test_a_check_says_whether_one_more_fits_and_does_not_count(table: tuple[CounterTable | None, Clock]) -> None:
    async def run() -> None:
        async with opened(*table) as found:
            for _ in range(5):
                await found.check(Kind.UPLOADS, "a", "2/minute; 3/day")
            await found.spend(Kind.UPLOADS, "a", "2/minute; 3/day", 2)
            with pytest.raises(RateLimited, match="2 images per minute") as rejected:
                await found.check(Kind.UPLOADS, "a", "2/minute; 3/day")
            assert rejected.value.retry_after is not None
            await found.check(Kind.UPLOADS, "b", "2/minute; 3/day")

    asyncio.run(run())


def test_what_is_rejected_does_not_count_and_says_when_to_retry(table: tuple[CounterTable | None, Clock]) -> None:
    async def run() -> None:
        shared, clock = table
        async with opened(shared, clock) as found:
            await found.spend(Kind.UPLOADS, "a", "20/second; 100/hour", 15)
            with pytest.raises(RateLimited, match="may upload 20 images per second") as rejected:
                await found.spend(Kind.UPLOADS, "a", "20/second; 100/hour", 10)
            assert rejected.value.retry_after == 2
            await found.spend(Kind.UPLOADS, "a", "20/second; 100/hour", 5)
            clock.now += 10
            assert await accepted(found, "", 1000) == 1000
            with pytest.raises(RateLimited, match="100 images per hour") as rejected:
                await found.spend(Kind.UPLOADS, "a", "100/hour", 81)
            assert rejected.value.retry_after == 3600 - 10 + 1
            with pytest.raises(RateLimited) as never:
                await found.spend(Kind.UPLOADS, "a", "100/hour", 101)
            assert never.value.retry_after is None
            await found.spend(Kind.UPLOADS, "a", "100/hour", 80)

    asyncio.run(run())


def _busy_process(
    folder: str, start: "multiprocessing.synchronize.Barrier", results: "multiprocessing.Queue[int]"
) -> None:
    async def run() -> int:
        found = open_limiter("", Path(folder), 4, Metrics(CollectorRegistry()))
        try:
            return await accepted(found, "100/day; 1000000/day", 150)
        finally:
            assert errors(found) == 0
            await found.close()

    start.wait()
    results.put(asyncio.run(run()))


def test_several_processes_share_a_limit_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_PATIENCE", 60)  # a process may wait for a core while it has the lock
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_busy_process, args=(str(tmp_path), start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    numbers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(numbers) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["rates"]


def test_counts_survive_a_restart_and_the_file_does_not_grow(tmp_path: Path) -> None:
    async def run(subjects: int) -> int:
        found = open_limiter("", tmp_path, 2, Metrics(CollectorRegistry()))
        try:
            for number in range(subjects):
                await found.spend(Kind.API, f"2001:db8:{number:x}::/64", "1000/day")
            return await accepted(found, "10/day", 7)
        finally:
            await found.close()

    assert asyncio.run(run(0)) == 7
    size = (tmp_path / "rates").stat().st_size
    assert asyncio.run(run(2000)) == 3
    assert (tmp_path / "rates").stat().st_size == size == counters._SIZE
    assert (tmp_path / "rates").stat().st_mode & 0o777 == 0o600


def test_many_clients_do_not_displace_a_busy_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(counters, "_BUCKETS", 1)

    async def run() -> None:
        clock = Clock()
        async with opened(CounterTable(tmp_path / "rates", clock=clock), clock) as found:
            assert await accepted(found, "10/minute", 5, subject="busy") == 5
            for number in range(100):
                await found.spend(Kind.API, f"{number}", "10/minute")
            assert await accepted(found, "10/minute", 7, subject="busy") == 5
            clock.now += 120  # all periods are over: the slots are reused
            for number in range(8):
                assert await accepted(found, "10/minute", 11, subject=f"new {number}") == 10

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["deleted", "truncated", "header", "longer", "random"])
@pytest.mark.parametrize("running", [True, False])
def test_a_damaged_file_is_created_again(tmp_path: Path, damage: str, running: bool) -> None:
    path, clock = tmp_path / "rates", Clock()

    async def run() -> None:
        async with opened(CounterTable(path, clock=clock), clock) as found:
            assert await accepted(found, "10/minute", 5) == 5
            if not running:
                await found.close()
            if damage == "deleted":
                path.unlink()
            elif damage == "random":
                path.write_bytes(counters._HEADER + os.urandom(counters._SIZE - len(counters._HEADER)))
            else:
                content = {
                    "truncated": b"imgserve",
                    "header": b"x" * counters._SIZE,
                    "longer": path.read_bytes() + b"x",
                }
                path.write_bytes(content[damage])
            assert await accepted(found, "10/minute", 15) == 10
            assert path.stat().st_size == counters._SIZE
            assert errors(found) == 0

    asyncio.run(run())


async def _outage_and_recovery(folder: Path, repair: Callable[[], object], caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    async with opened(CounterTable(folder / "rates", clock=clock), clock) as found:
        assert await accepted(found, "10/day", 15) == 10
        clock.now += limiter._RETRY
        assert await accepted(found, "10/day", 15) == 0
        assert errors(found) == 2
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert caplog.text.count("each server process has rate limits of its own, as the file") == 1
        repair()
        clock.now += limiter._RETRY
        assert await accepted(found, "10/day", 15) == 10
        assert "rate limits are shared again" in caplog.text


@pytest.mark.parametrize("fault", ["no folder", "a folder in its place"])
def test_without_a_file_each_process_counts_and_retries(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, taken = tmp_path / "data", tmp_path / "data" / "rates"
    if fault == "a folder in its place":
        taken.mkdir(parents=True)
    repair = folder.mkdir if fault == "no folder" else taken.rmdir
    with caplog.at_level(logging.INFO):
        asyncio.run(_outage_and_recovery(folder, repair, caplog))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path))
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=False, capture_output=True)  # noqa: S607  as in tests.disks


def test_on_a_full_disk_each_process_counts_and_retries(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    def grow() -> None:
        mount("-o", "remount,size=8m", str(small_disk))

    with caplog.at_level(logging.INFO):
        asyncio.run(_outage_and_recovery(small_disk, grow, caplog))


def _halted_with_the_lock(path: str, ready: "multiprocessing.synchronize.Event") -> None:
    table = CounterTable(Path(path))
    asyncio.run(table._locked())
    ready.set()
    signal.pause()


def test_a_process_that_was_halted_with_the_lock_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "_PATIENCE", 0.05)
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_halted_with_the_lock, args=(str(tmp_path / "rates"), ready))
    process.start()
    assert ready.wait(60)

    async def run() -> None:
        clock = Clock()
        async with opened(CounterTable(tmp_path / "rates", clock=clock), clock) as found:
            assert await accepted(found, "10/minute", 15) == 10
            assert errors(found) == 1
            process.kill()
            process.join()
            clock.now += limiter._RETRY
            assert await accepted(found, "10/hour", 15) == 10
            assert found._retry_at is None

    asyncio.run(run())


@pytest.fixture(scope="module")
def redis() -> Iterator[redis_server.Server]:
    with redis_server.serving() as server:
        yield server


async def _patient(found: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Redis answer late, because this machine may be busy with other things."""
    monkeypatch.setattr("imgserve.access.redis_counters._PATIENCE", 60)
    assert isinstance(found._shared, RedisCounters)
    await found._shared._storage.bridge.get_connection().flushall()  # type: ignore[attr-defined]


def test_nodes_share_a_limit_in_redis(redis: redis_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        nodes = [open_limiter(redis.url, None, 1, Metrics(CollectorRegistry())) for _ in range(2)]
        await _patient(nodes[0], monkeypatch)
        numbers = await asyncio.gather(*(accepted(node, "100/day", 10) for node in nodes for _ in range(20)))
        assert sum(numbers) == 100
        with pytest.raises(RateLimited) as rejected:
            await nodes[1].spend(Kind.API, "a", "100/day")
        assert 86_000 < (rejected.value.retry_after or 0) <= 86_401
        assert [errors(node) for node in nodes] == [0, 0]
        await _patient(nodes[0], monkeypatch)  # everything deleted, the scripts too
        assert await accepted(nodes[1], "100/day", 120) == 100
        assert await accepted(nodes[1], "10/day", 1, cost=11) == 0
        for node in nodes:
            await node.close()

    asyncio.run(run())


@pytest.mark.parametrize("outage", ["stopped", "halted"])
def test_while_redis_is_out_each_process_counts(
    redis: redis_server.Server, outage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened(RedisCounters(redis.url), clock) as found:
            await _patient(found, monkeypatch)
            assert await accepted(found, "10/day", 4) == 4
            monkeypatch.setattr("imgserve.access.redis_counters._PATIENCE", 0.1)
            redis.stop() if outage == "stopped" else redis.process.send_signal(signal.SIGSTOP)
            loop = asyncio.get_running_loop()
            before = loop.time()
            assert await accepted(found, "10/day", 12) == 10
            assert loop.time() - before < 30  # only the first of these waits for Redis
            assert errors(found) == 1
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            redis.start() if outage == "stopped" else redis.process.send_signal(signal.SIGCONT)
            monkeypatch.setattr("imgserve.access.redis_counters._PATIENCE", 60)
            assert await accepted(found, "10/day", 5) == 0
            clock.now += limiter._RETRY
            # A halted server counts what it had received as soon as it runs, so sooner or later than what follows.
            assert await accepted(found, "10/day", 12) in ({10} if outage == "stopped" else {5, 6})
            assert caplog.records[-1].getMessage() == "rate limits are shared again, in Redis"

    with caplog.at_level(logging.INFO):
        asyncio.run(run())


async def fits(found: RateLimiter) -> bool:
    """Return whether one more event would be accepted."""
    try:
        await found.check(Kind.LOGINS_PER_ACCOUNT, "a", "3/day; 100/day")
    except RateLimited:
        return False
    return True


@pytest.mark.parametrize("outage", ["stopped", "halted"])
def test_nodes_check_a_limit_in_redis_without_counting_and_by_themselves_while_it_is_out(
    redis: redis_server.Server, outage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened(RedisCounters(redis.url), clock) as one, opened(RedisCounters(redis.url), clock) as other:
            await _patient(one, monkeypatch)
            await one.spend(Kind.LOGINS_PER_ACCOUNT, "a", "3/day; 100/day", 2)
            assert [await fits(node) for node in (one, other) * 3] == [True] * 6
            await one.spend(Kind.LOGINS_PER_ACCOUNT, "a", "3/day; 100/day")
            assert [await fits(node) for node in (one, other)] == [False, False]
            with pytest.raises(RateLimited) as rejected:
                await other.check(Kind.LOGINS_PER_ACCOUNT, "a", "3/day; 100/day")
            assert 86_000 < (rejected.value.retry_after or 0) <= 86_401
            monkeypatch.setattr("imgserve.access.redis_counters._PATIENCE", 0.1)
            redis.stop() if outage == "stopped" else redis.process.send_signal(signal.SIGSTOP)
            assert [await fits(node) for node in (one, other) * 3] == [True] * 6
            await other.spend(Kind.LOGINS_PER_ACCOUNT, "a", "3/day; 100/day", 3)
            assert [await fits(node) for node in (one, other)] == [True, False]
            assert [errors(node) for node in (one, other)] == [1, 1]
            redis.start() if outage == "stopped" else redis.process.send_signal(signal.SIGCONT)
            monkeypatch.setattr("imgserve.access.redis_counters._PATIENCE", 60)
            clock.now += limiter._RETRY
            # A server that was stopped has lost its counts.
            assert [await fits(node) for node in (one, other)] == [outage == "stopped"] * 2
            assert [errors(node) for node in (one, other)] == [1, 1]

    asyncio.run(run())


def test_of_those_that_find_out_whether_redis_is_back_only_one_waits(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with opened(RedisCounters(f"unix://{tmp_path}/none"), clock) as found:
            assert await accepted(found, "1000/day", 3) == 3
            clock.now += limiter._RETRY
            numbers = await asyncio.gather(*(accepted(found, "1000/day", 2) for _ in range(50)))
            assert sum(numbers) == 100
            assert errors(found) == 2

    asyncio.run(run())


def test_a_missing_client_of_redis_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "imgserve.access.redis_counters")
    monkeypatch.setitem(sys.modules, "limits.aio.storage", None)
    with pytest.raises(ConfigError, match=r"pip install 'imgserve\[redis\]'"):
        open_limiter("redis://127.0.0.1", None, 1, Metrics(CollectorRegistry()))


@pytest.mark.parametrize(("folder", "processes"), [(False, 4), (True, 1)])
def test_one_process_counts_in_memory(tmp_path: Path, folder: bool, processes: int) -> None:
    async def run() -> None:
        found = open_limiter("", tmp_path if folder else None, processes, Metrics(CollectorRegistry()))
        assert await accepted(found, "10/day", 12) == 10
        await found.close()

    asyncio.run(run())
    assert not list(tmp_path.iterdir())
