"""Incoming files: written to a hidden folder, then moved into place."""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from imgserve.errors import BadImageId, ImageNotFound, ReadOnlyOriginals, StorageFull, Unavailable
from imgserve.model import file_version
from imgserve.originals.folder import Root

ABANDONED_SECONDS = 86_400.0
"""On a file system without locks, an older file was left behind: no upload takes a day."""
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def claim(folder: int, name: str) -> int | None:
    """Create a file and lock it; return its descriptor, or None if a sweep was faster, so that another name is tried.

    Other accounts cannot write to it, because only the upload may change it.
    """
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # the file system has no locks: the age decides
        return descriptor
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def hold_abandoned(folder: int, name: str) -> int | None:
    """Lock a file that no process writes any more, and return its descriptor; None if a process may write it."""
    try:
        descriptor = os.open(name, os.O_RDWR | _FLAGS, dir_fd=folder)
    except OSError:  # gone, or not one of ours: nothing to sweep
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        if time.time() - os.fstat(descriptor).st_mtime < ABANDONED_SECONDS:
            os.close(descriptor)
            return None
    return descriptor


_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Translate failures of writing.

    Raises:
        StorageFull: the disk or the quota is full.
        ReadOnlyOriginals: this process may not write there.
        BadImageId: the name is too long for the file system.
        Unavailable: any other failure, which does not depend on the request.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        if error.errno == errno.EXDEV:
            raise ReadOnlyOriginals("This folder is on another disk than the folder of originals.") from error
        if error.errno in _FORBIDDEN:
            raise ReadOnlyOriginals from error
        if error.errno == errno.ENAMETOOLONG:
            raise BadImageId("No image can have this id: it is too long for this file system.") from error
        raise Unavailable("The folder of originals cannot be written to right now.", retry_after=5) from error


_NO_REPLACE = 1
_UNKNOWN_HERE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
"""Errors of kernels and file systems that have no such rename, as NFS."""
_RENAME: Callable[[int, bytes, int, bytes, int], int] | None = getattr(
    ctypes.CDLL(None, use_errno=True), "renameat2", None
)


def move_new(source: int, name: str, target: int, new_name: str) -> None:
    """Rename from one open folder into another in one step.

    Raises:
        FileExistsError: the new name exists.
    """
    # Rather than a link alone: systems that protect hard links refuse one to a file of another account.
    if _RENAME is not None:
        if _RENAME(source, os.fsencode(name), target, os.fsencode(new_name), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _UNKNOWN_HERE:
            raise OSError(number, os.strerror(number))
    move_by_link(source, name, target, new_name)


def move_by_link(source: int, name: str, target: int, new_name: str) -> None:
    """Rename in two steps, between which the file has both names.

    Raises:
        FileExistsError: the new name exists.
    """
    os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


class Incoming:
    """A new file that is not visible yet, written by one thread at a time. A `with` block drops it at its end."""

    def __init__(self, path: Path, folder: int, descriptor: int) -> None:
        """Own a claimed file and a descriptor of its folder; both descriptors are closed here."""
        self.path = path
        """Where it can be read until it is placed."""
        self.folder = folder
        self._descriptor = descriptor
        self._whole = False
        self._over = False

    @property
    def version(self) -> str:
        """The file version that it will have in its place, unless the replaced file has the same."""
        state = os.fstat(self._descriptor)
        return file_version(state.st_mtime_ns, state.st_size)

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            StorageFull, ReadOnlyOriginals, Unavailable: they could not be written.
        """
        if self._whole:
            raise ValueError("this file is closed")
        with writing():
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Flush the file to the disk; nothing can be written after that."""
        if not self._whole:
            with writing():
                os.fsync(self._descriptor)
            self._whole = True

    def differ(self, version: str) -> None:
        """Change the file version if it is `version`, by the smallest step that the file system stores."""
        moment = os.fstat(self._descriptor).st_mtime_ns
        # File systems store times in units of 1 ns, 100 ns, 1 us, 1 s or 2 s.
        for step in (1, 100, 1000, 10**9, 2 * 10**9):
            if self.version != version:
                return
            os.utime(self._descriptor, ns=(moment + step, moment + step))
            os.fsync(self._descriptor)

    def placed(self) -> None:
        """Close the file, which has another name now."""
        if not self._over:
            self._over = self._whole = True
            os.close(self._descriptor)
            os.close(self.folder)

    def drop(self) -> None:
        """Delete the file, unless it was placed or dropped."""
        if self._over:
            return
        try:
            with writing(), contextlib.suppress(FileNotFoundError):
                os.unlink(self.path.name, dir_fd=self.folder)
        finally:
            self.placed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.drop()


def file_size(root: Root, image_id: str) -> int:
    """Return the size in bytes of a file that may be served.

    Raises:
        ImageNotFound: it does not exist, or is not a regular file.
    """
    path = root.path_of(image_id)
    try:
        state = os.lstat(path)  # links were followed; one that is there now is new
    except OSError as error:
        raise ImageNotFound from error
    if not stat.S_ISREG(state.st_mode):
        raise ImageNotFound
    return state.st_size
