"""The files of a tier on disk, written atomically and read without blocking."""

import errno
import itertools
import os
import secrets
import shutil
import stat
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from imgserve.cache.key import is_image_folder

LARGEST = 256 * 1024
"""Bytes of a file that is read on the event loop: some 60 microseconds with its checksum; more is worth a thread."""
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
"""Linux fails such a read where the pages of the file are not in memory; other systems do not have it."""
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_FAMILIAR = 131_070
"""Places for names, at 8 bytes each."""
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""NONBLOCK: opening a FIFO must not hang. NOFOLLOW: a link would lead out of the cache folder."""


class Unknown(Enum):
    """Result of a look-up that would have to wait, or that met something odd."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


class NonBlockingReader:
    """Reads small files whose bytes are in memory already; for one thread."""

    def __init__(self, root: Path) -> None:
        """Read below a folder."""
        self._root = str(root)
        self._supported = _NOWAIT != 0
        # One byte more tells a file of the largest size from a larger one.
        self._scratch = memoryview(bytearray(LARGEST + 1))
        self._buffers = [self._scratch]

    def read(self, path: str) -> bytes | Unknown | None:
        """Return the bytes of a file that are in memory, None if it does not exist, or `UNKNOWN`."""
        if not self._supported:
            return UNKNOWN
        try:
            descriptor = os.open(f"{self._root}/{path}", OPEN_FLAGS)
        except FileNotFoundError:
            return None
        except OSError:
            return UNKNOWN
        try:
            size = os.preadv(descriptor, self._buffers, 0, _NOWAIT)
        except OSError as error:
            if error.errno in _UNSUPPORTED and stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._supported = False
            return UNKNOWN
        finally:
            os.close(descriptor)
        return UNKNOWN if size > LARGEST else bytes(self._scratch[:size])


class RecentKeys:
    """Remembers the paths that threads have looked up lately, in memory of a fixed size; for several threads.

    A read may not wait if opening the file waits for its directory, or finding its row for a page of the ledger. Both
    are in memory after an earlier look-up.
    """

    def __init__(self, most: int = _FAMILIAR) -> None:
        """Remember at most so many paths."""
        self._pairs = most // 2
        self._hashes = array("q", bytes(16 * self._pairs))

    def add(self, path: str) -> None:
        """Remember a path, in place of the older one of the two that share its places."""
        number = hash(path)
        at = number % self._pairs * 2
        if number != self._hashes[at]:
            self._hashes[at + 1] = self._hashes[at]
            self._hashes[at] = number

    def __contains__(self, path: str) -> bool:
        """Return whether a path is remembered."""
        number = hash(path)
        at = number % self._pairs * 2
        return number in (self._hashes[at], self._hashes[at + 1])


_TEMPORARY = ".tmp"
"""Same file system as the pictures, so that a rename publishes; hidden, so that no web server lists it."""
_STALE_SECONDS = 120.0
"""Writing takes milliseconds; an older file is of a process whose number another one has now."""
_STRAY_SECONDS = 600.0
"""Strange names are ignored for a while: rsync writes `.name.AbCdEf` next to its target before it renames."""


@dataclass(frozen=True, slots=True)
class Found:
    """A directory entry in the folder of an image."""

    path: str
    """Relative to the cache folder."""
    size: int
    modified_ns: int
    regular: bool
    """False for links, folders and devices, which are never served."""


class RenditionFiles:
    """The files below one cache folder. Paths are relative and come from a `RenditionKey` or a listing."""

    def __init__(self, root: Path, top: str) -> None:
        """Use the folder `top` in the cache folder; nothing is created before the first write."""
        self._root = root
        self.top = top
        self._temporary = root / _TEMPORARY
        self._prefix = f"{os.getpid()}.{secrets.token_hex(4)}"
        self._numbers = itertools.count()

    def temporary_path(self) -> Path:
        """Return a new path in a folder that is not served; its file is swept once old or this process is gone."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        return self._temporary / f"{self._prefix}.{next(self._numbers)}"

    def write_temporary(self, data: bytes) -> Path:
        """Write a file that is not published yet; an error leaves no file."""
        path = self.temporary_path()
        try:
            with path.open("xb") as file:
                file.write(data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def publish(self, temporary: Path, path: str) -> None:
        """Rename a written file to its final path, in place of an older one."""
        target = self._root / path
        try:
            temporary.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, None if it does not exist, or no bytes if it is not a regular file."""
        try:
            descriptor = os.open(self._root / path, OPEN_FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return b""
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return b""
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def read_head(self, path: str, size: int) -> bytes:
        """Return the first bytes of a regular file."""
        descriptor = os.open(f"{self._root}/{path}", OPEN_FLAGS)
        try:
            return os.read(descriptor, size)
        finally:
            os.close(descriptor)

    def find(self, path: str) -> Found | None:
        """Return what is at a path, be it a link, or None."""
        try:
            return _found(path, os.lstat(f"{self._root}/{path}"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def size(self, path: str) -> int | None:
        """Return the size of a regular file, or None."""
        found = self.find(path)
        return found.size if found and found.regular else None

    def remove(self, path: str) -> None:
        """Remove a file if it exists, and its folder with the last one."""
        try:
            (self._root / path).unlink(missing_ok=True)
        except IsADirectoryError:
            self.empty(self.set_aside(path))
        folder = path.rpartition("/")[0]
        if is_image_folder(folder):
            # The file is gone, which is what counts; an empty folder does no harm, and the next scan tries again.
            with suppress(OSError):
                self.remove_if_empty(folder)

    def remove_if_empty(self, folder: str) -> None:
        """Remove an empty folder."""
        try:
            (self._root / folder).rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise

    def set_aside(self, folder: str) -> Path | None:
        """Move a whole folder away in one step; return the path for `empty`, or None if there was no folder."""
        aside = self.temporary_path()
        try:
            (self._root / folder).rename(aside)
        except FileNotFoundError:
            return None
        return aside

    def empty(self, aside: Path | None) -> None:
        """Remove a folder that `set_aside` moved."""
        if aside is not None:
            # A file that cannot be removed now is not served, and swept later.
            shutil.rmtree(aside, ignore_errors=True)

    def sweep(self) -> int:
        """Remove temporary files of writers that died; return how many."""
        swept = 0
        for item in _listing(self._temporary):
            with suppress(FileNotFoundError):
                old = time.time() - item.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS
                if _writer_alive(item.name) and not old:
                    continue
            if item.is_dir(follow_symlinks=False):
                shutil.rmtree(item.path, ignore_errors=True)
            else:
                Path(item.path).unlink(missing_ok=True)
            swept += 1
        return swept

    def folders(self) -> Iterator[str]:
        """Yield the image folders; anything else on the two levels above the files is removed once it is old."""
        # In the order of the ledger, so that rows entered one after the other share its pages.
        for shelf in _sorted(self._root / self.top):
            if not shelf.is_dir(follow_symlinks=False):
                self.remove_stray(f"{self.top}/{shelf.name}")
                continue
            for folder in _sorted(Path(shelf.path)):
                path = f"{self.top}/{shelf.name}/{folder.name}"
                if folder.is_dir(follow_symlinks=False):
                    yield path
                else:
                    self.remove_stray(path)

    def list_folder(self, folder: str) -> list[Found]:
        """Return the directory entries of an image folder, oldest first."""
        found = list[Found]()
        for item in _listing(self._root / folder):
            with suppress(FileNotFoundError):
                found.append(_found(f"{folder}/{item.name}", item.stat(follow_symlinks=False)))
        return sorted(found, key=lambda item: item.modified_ns)

    def remove_stray(self, path: str) -> None:
        """Remove a foreign file, unless it is so new that it may be being written."""
        target = self._root / path
        try:
            age = time.time() - target.lstat().st_mtime
        except FileNotFoundError:
            return
        if age > _STRAY_SECONDS:
            self.remove(path)


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except FileNotFoundError:
        return []


def _sorted(folder: Path) -> list[os.DirEntry[str]]:
    return sorted(_listing(folder), key=lambda item: item.name)


def _found(path: str, status: os.stat_result) -> Found:
    return Found(path, status.st_size, status.st_mtime_ns, stat.S_ISREG(status.st_mode))


def _writer_alive(name: str) -> bool:
    number = name.partition(".")[0]
    if not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
