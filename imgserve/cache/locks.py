"""Who does the work: single flight in one process, a lock per key and the lock of a leader between processes."""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import anyio
from anyio import to_thread

_STRIPES = 1024
"""Two different pictures that fall on one lock file wait for each other; with a few renderings at a time, rarely."""
_LOOK_EVERY = 0.25
"""Wait for a release that is not reported: on a file system without FIFOs."""
_HELD = {errno.EAGAIN, errno.EACCES}
_log = logging.getLogger("imgserve.cache")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class KeyLocks:
    """Advisory locks in a folder, which the kernel releases when a process dies.

    Each lock file has a FIFO next to it. The holder has the FIFO open for writing, the waiting processes have it open
    for reading. When the holder is done or dies the kernel closes the FIFO, and the event loop of those who wait
    reports the end of the file. So nobody polls, and no thread blocks in `flock`, which could not be interrupted.
    """

    def __init__(self, folder: Path | None, patience: float) -> None:
        """Use a folder, or None if there is only one process; waiting ends after `patience` seconds."""
        self._folder = folder
        self._patience = patience

    @property
    def shared(self) -> bool:
        """Whether other processes may hold locks too."""
        return self._folder is not None

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait while another process holds the key; go on without the lock if locking fails or takes too long."""
        descriptors = list[int]()
        try:
            if self._folder is not None:
                # A full or read-only disk: rendering a picture twice beats not rendering it.
                with contextlib.suppress(OSError):
                    await self._acquire(self._folder, key, descriptors)
            yield
        finally:
            # The lock goes first, so that whoever the FIFO wakes finds it free.
            for descriptor in descriptors:
                os.close(descriptor)

    def take(self, key: str, held: contextlib.ExitStack) -> bool:
        """Lock a key until `held` is closed; return whether no other process holds it. Goes on if locking fails."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                path = _lock_path(self._folder, key)
                lock = _open(path, os.O_RDWR | os.O_CREAT)
                if not _locked(lock):
                    os.close(lock)
                    return False
                with contextlib.suppress(OSError):
                    held.callback(os.close, _open_fifo(_fifo_of(path), os.O_RDWR))
                held.callback(os.close, lock)  # goes first, see `hold`
        return True

    async def _acquire(self, folder: Path, key: str, descriptors: list[int]) -> None:
        """Add the descriptors of the lock and of the FIFO, which release it when they are closed."""
        path = _lock_path(folder, key)
        lock, fifo = _open(path, os.O_RDWR | os.O_CREAT), _fifo_of(path)
        descriptors.append(lock)
        with anyio.move_on_after(self._patience):
            while not (_locked(lock) or await _wait(lock, fifo)):
                pass
            with contextlib.suppress(OSError):
                descriptors.append(_open_fifo(fifo, os.O_RDWR))


def _lock_path(folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=4).digest()
    return folder / f"{int.from_bytes(digest, 'big') % _STRIPES:03x}"


def _fifo_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.held")


async def _wait(lock: int, fifo: Path) -> bool:
    """Wait until the lock may be free; return whether it is held by this process already."""
    try:
        reader = _open_fifo(fifo, os.O_RDONLY)
    except OSError:
        await anyio.sleep(_LOOK_EVERY)
        return False
    try:
        # With the FIFO open, a release from here on is reported.
        if _locked(lock):
            return True
        with anyio.move_on_after(_LOOK_EVERY):
            await anyio.wait_readable(reader)
        return False
    finally:
        os.close(reader)


def _locked(descriptor: int) -> bool:
    """Lock a file unless another process holds it; return whether it is locked by this one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def _open(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o644)


def _open_fifo(path: Path, flags: int) -> int:
    # Reading and writing at once never waits for the other end, and NONBLOCK makes reading alone not wait either.
    try:
        return _open(path, flags | os.O_NONBLOCK)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o644)
        return _open(path, flags | os.O_NONBLOCK)


class LeaderLock:
    """Makes one of several processes the leader, by a file lock that the kernel releases when the leader dies."""

    def __init__(self, path: Path, every: float = 1.0, *, parents: bool = False) -> None:
        """Use a lock file, which is created with its folder; `run` tries it every so many seconds.

        With `parents`, the folders above are created, too.
        """
        self._parents = parents
        self._path = path
        self._every = every
        self._descriptor: int | None = None
        self._failing = False
        self.mine = False
        """Whether this process was the leader at the last attempt."""

    def acquire(self) -> bool:
        """Return whether this process is the leader; it becomes the leader if there is none."""
        # The lock may be in the folder of originals, which is not created: its disk may not be mounted now. The leader
        # stays the leader, because no other process can acquire the lock meanwhile.
        if self.mine and not self._path.parent.parent.is_dir():
            return True
        # The folder with the lock file may have been deleted.
        with contextlib.suppress(FileNotFoundError):
            if self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                return True
        self.release()
        self._path.parent.mkdir(parents=self._parents, exist_ok=True)
        descriptor = _open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            self.mine = _locked(descriptor)
        finally:
            if self.mine:
                self._descriptor = descriptor
            else:
                os.close(descriptor)
        return self.mine

    def release(self) -> None:
        """Release the lead, so that another process becomes the leader."""
        descriptor, self._descriptor, self.mine = self._descriptor, None, False
        if descriptor is not None:
            os.close(descriptor)

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do the work whenever this process is the leader, until cancelled."""
        try:
            while True:
                if await self._try():
                    async with anyio.create_task_group() as group:
                        group.start_soon(work)
                        while await self._try():  # noqa: ASYNC110  the kernel does not report a lock that was lost
                            await anyio.sleep(self._every)
                        group.cancel_scope.cancel()
                await anyio.sleep(self._every)
        finally:
            self.release()

    async def _try(self) -> bool:
        try:
            await to_thread.run_sync(self.acquire)
        except OSError as error:
            # Without a lock no work: two processes that do the same would disturb each other for ever.
            self.mine = False
            if not self._failing:
                _log.warning("cannot lock %s, so this process leaves background work to others: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False
        return self.mine


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.landed = asyncio.Event()
        self.waiters = 0
        self.committed = False
        self.results: list[T] = []
        """One result, or none if the call failed."""
        self.failure: tuple[BaseException, TracebackType | None] | None = None


class SingleFlight(Generic[K, T]):
    """Runs one call a key at a time and returns its outcome to every caller that came meanwhile.

    Why no caller waits for ever or is cancelled by another, and no key remains:

    1. All steps between two awaits are atomic, since there is one event loop.
    2. A flight is in the table from its launch until it lands or its last waiter leaves, whichever is first. So
       nobody joins a flight that is being cancelled: a newcomer launches the next one.
    3. Waiters wait for an event, each on a future of its own. Cancelling a waiter, by anyio or by `Task.cancel`,
       touches neither the work nor the other waiters.
    4. A committed call is finished without waiters too, and can be joined until it lands.
    5. The work runs in a task of its own. It is cancelled through its scope only, so a shielded part of the factory
       finishes first.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}
        # The event loop itself holds tasks by weak references only.
        self._tasks: set[asyncio.Task[None]] = set()

    def is_flying(self, key: K) -> bool:
        """Return whether there is a flight that can be joined."""
        return key in self._flights

    async def do(self, key: K, factory: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the outcome of the factory, and whether it was another caller's."""
        flight = self._flights.get(key)
        shared = flight is not None
        if flight is None:
            flight = self._flights[key] = _Flight[T]()
            task = asyncio.create_task(self._fly(key, flight, factory))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        flight.waiters += 1
        try:
            await flight.landed.wait()
        finally:
            flight.waiters -= 1
            if not (flight.waiters or flight.committed or flight.landed.is_set()):
                self._forget(key, flight)
                flight.scope.cancel()
        if flight.failure is not None:
            # Every raise adds frames to the traceback of the exception, which would grow with each of 500 waiters. So
            # each starts from the factory's.
            error, traceback = flight.failure
            raise error.with_traceback(traceback)
        return flight.results[0], shared

    def commit(self, key: K) -> None:
        """Finish a flight even if all its waiters leave, once it is not worth interrupting."""
        if key in self._flights:
            self._flights[key].committed = True

    async def _fly(self, key: K, flight: _Flight[T], factory: Callable[[], Awaitable[T]]) -> None:
        try:
            with flight.scope:
                if not flight.scope.cancel_called:
                    flight.results.append(await factory())
        except Exception as error:  # noqa: BLE001  the waiters raise it
            flight.failure = error, error.__traceback__
            if not flight.waiters:
                _log.warning("a call without waiters failed: %r", error)
        except BaseException as error:
            flight.failure = error, error.__traceback__
            raise
        finally:
            self._forget(key, flight)
            flight.landed.set()

    def _forget(self, key: K, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
