"""Server processes that do not render the same thing at the same time."""

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
import pytest

from imgserve.cache import KeyLocks, locks

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _hold_until_told(folder: Path, key: str, pipe: Connection) -> None:
    async with KeyLocks(folder, 10).hold(key):
        pipe.send("held")
        pipe.recv()


def _holder(folder: Path, key: str, pipe: Connection) -> None:
    anyio.run(_hold_until_told, folder, key, pipe)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[multiprocessing.context.SpawnProcess, Connection]]:
    """Another process that holds the lock of `key`."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_holder, args=(tmp_path / "locks", "key", there))
    process.start()
    assert here.recv() == "held"
    yield process, here
    process.kill()
    process.join()
    here.close()
    there.close()


async def _waits(folder: Path, key: str, seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        async with KeyLocks(folder, 60).hold(key):
            return False
    return True


async def test_a_key_is_waited_for_and_another_is_not(tmp_path: Path, holder: tuple[object, Connection]) -> None:
    assert await _waits(tmp_path / "locks", "key", 0.3)
    assert not await _waits(tmp_path / "locks", "other", 5)
    holder[1].send("enough")
    assert not await _waits(tmp_path / "locks", "key", 10)


async def test_a_killed_holder_holds_nothing(
    tmp_path: Path, holder: tuple[multiprocessing.context.SpawnProcess, Connection]
) -> None:
    assert holder[0].pid is not None
    os.kill(holder[0].pid, signal.SIGKILL)
    assert not await _waits(tmp_path / "locks", "key", 10)


async def test_a_release_is_noticed_at_once_without_polling(
    tmp_path: Path, holder: tuple[object, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, flock = list[float](), fcntl.flock

    def count(descriptor: int, operation: int) -> None:
        attempts.append(anyio.current_time())
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", count)
    monkeypatch.setattr(locks, "_LOOK_EVERY", 60)
    async with anyio.create_task_group() as group:
        group.start_soon(_release_after, holder[1], 0.5)
        assert not await _waits(tmp_path / "locks", "key", 20)
    assert 2 <= len(attempts) <= 6


async def _release_after(pipe: Connection, seconds: float) -> None:
    await anyio.sleep(seconds)
    pipe.send("enough")


async def test_all_who_wait_get_the_lock_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LOOK_EVERY", 60)
    held, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal held, most, done
        async with KeyLocks(tmp_path / "locks", 60).hold("key"):
            held += 1
            most = max(most, held)
            await anyio.sleep(0.01)
            held -= 1
        done += 1

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(work)
    assert (most, done) == (1, 10)


async def test_a_release_is_found_where_no_fifo_can_be_made(
    tmp_path: Path, holder: tuple[object, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    for fifo in (tmp_path / "locks").glob("*.held"):
        fifo.unlink()

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mkfifo", refuse)
    assert await _waits(tmp_path / "locks", "key", 0.3)
    holder[1].send("enough")
    assert not await _waits(tmp_path / "locks", "key", 10)


async def test_patience_ends(tmp_path: Path, holder: object) -> None:  # noqa: ARG001  it holds the lock
    began = anyio.current_time()
    async with KeyLocks(tmp_path / "locks", 0.2).hold("key"):
        waited = anyio.current_time() - began
    assert 0.2 <= waited < 5
    assert await _waits(tmp_path / "locks", "key", 0.1), "the holder has lost its lock"


async def test_where_locks_fail_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (None, tmp_path / "file" / "locks"):
        # Nobody waits, not even for the same key.
        async with KeyLocks(folder, 60).hold("key"):
            assert not await _waits(tmp_path / "file" / "locks", "key", 10)
    assert (tmp_path / "file").read_bytes() == b""
