"""Server processes that do not render the same thing at the same time."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
import pytest

from imgserve.cache import KeyLocks

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


async def test_patience_ends(tmp_path: Path, holder: object) -> None:  # noqa: ARG001  it holds the lock
    async with KeyLocks(tmp_path / "locks", 0.2).hold("key"):
        pass


async def test_where_locks_fail_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (None, tmp_path / "file" / "locks"):
        async with KeyLocks(folder, 1).hold("key"):
            pass
