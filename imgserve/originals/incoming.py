"""Incoming files: written hidden, then moved into place without replacing anything."""

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from imgserve.errors import BadImageId, ImageNotFound, ReadOnlyOriginals, StorageFull, Unavailable
from imgserve.model import file_version
from imgserve.originals.root import OWN, Root, check_id, names_in, parts_of

ABANDONED_SECONDS = 86_400.0
"""Where the file system has no locks, what is older was left behind: no upload takes a day."""
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def claim(folder: int, name: str) -> int | None:
    """Make a file and hold it; gives its descriptor, or None where a sweep was faster, so that another name is tried.

    It is never writable by others; nobody else is to change what an upload brings.
    """
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644, dir_fd=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # no locks here: the age decides
        return descriptor
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    return None


def hold_abandoned(folder: int, name: str) -> int | None:
    """Hold a file that nobody is writing any more, until the descriptor is closed; None where somebody may be."""
    try:
        descriptor = os.open(name, os.O_RDWR | _FLAGS, dir_fd=folder)
    except OSError:  # gone, or none of ours: nothing to sweep
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
    """Turn failures of writing into errors of ours.

    Raises:
        StorageFull: the disk or the quota is.
        ReadOnlyOriginals: this process may not write there.
        BadImageId: the file system takes no such name.
        Unavailable: anything else, which says nothing about the request.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        if error.errno == errno.EXDEV:
            raise ReadOnlyOriginals("This folder lies on another disk than the folder of originals.") from error
        if error.errno in _FORBIDDEN:
            raise ReadOnlyOriginals from error
        if error.errno == errno.ENAMETOOLONG:
            raise BadImageId("No image can have this id: it is too long for this file system.") from error
        raise Unavailable("The folder of originals cannot be written to right now.", retry_after=5) from error


_NO_REPLACE = 1
_UNKNOWN_HERE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
"""What kernels and file systems say that have no such rename, NFS for one."""
_RENAME: Callable[[int, bytes, int, bytes, int], int] | None = getattr(
    ctypes.CDLL(None, use_errno=True), "renameat2", None
)


def move_new(source: int, name: str, target: int, new_name: str) -> None:
    """Rename from one open folder into another in one step.

    Raises:
        FileExistsError: there is something of the new name.
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
        FileExistsError: there is something of the new name.
    """
    os.link(name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


_FOLDER = "incoming"


class Incoming:
    """A new file that nobody sees yet, written by one thread at a time; as a context it drops what was not placed."""

    def __init__(self, path: Path, folder: int, descriptor: int) -> None:
        """Take the file, held by a claim, and a descriptor of its folder; both descriptors are closed here."""
        self.path = path
        """Where it can be read meanwhile."""
        self.folder = folder
        self._descriptor = descriptor
        self._whole = False
        self._over = False

    @property
    def version(self) -> str:
        """File version, as it will be in its place unless one of the same is there."""
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
        """Bring all that was written to the disk; nothing more is taken."""
        if not self._whole:
            with writing():
                os.fsync(self._descriptor)
            self._whole = True

    def differ(self, version: str) -> None:
        """Make the file version another one than this, by the least that the file system tells apart."""
        moment = os.fstat(self._descriptor).st_mtime_ns
        # File systems keep nanoseconds, hundreds of them, microseconds, seconds or every second one.
        for step in (1, 100, 1000, 10**9, 2 * 10**9):
            if self.version != version:
                return
            os.utime(self._descriptor, ns=(moment + step, moment + step))
            os.fsync(self._descriptor)

    def placed(self) -> None:
        """Let go of the file, which has another name now."""
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


def open_incoming(root: Root) -> Incoming:
    """Open a new file below a root.

    Raises:
        StorageFull, ReadOnlyOriginals, Unavailable: there can be none.
    """
    with writing(), root.own(_FOLDER, make=True) as folder:
        descriptor = None
        while descriptor is None:
            name = f"{time.time_ns():x}-{secrets.token_hex(6)}"
            descriptor = claim(folder, name)
        return Incoming(Path(f"{root.path}/{OWN}/{_FOLDER}/{name}"), os.dup(folder), descriptor)


def sweep_incoming(root: Root) -> int:
    """Delete what nobody is writing any more; tell how many."""
    with writing(), contextlib.suppress(FileNotFoundError), root.own(_FOLDER, make=False) as folder:
        return sum(_swept(folder, name) for name in names_in(folder))
    return 0


def _swept(folder: int, name: str) -> bool:
    descriptor = hold_abandoned(folder, name)
    if descriptor is None:
        return False
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
    return True


def place(root: Root, incoming: Incoming, image_id: str, *, replace: bool) -> str:
    """Give an incoming file its place, whole and on the disk, and tell its file version.

    Raises:
        BadImageId: no file may lie there.
        ImageExists: something there is in the way.
    """
    if parts_of(image_id) is None or not os.path.lexists(f"{root.path}/{image_id}"):
        check_id(image_id)  # what lies there already may be replaced under an odder name

    def move(folder: int, name: str) -> None:
        if not replace:
            move_new(incoming.folder, incoming.path.name, folder, name)
            return
        if (version := _version(folder, name)) is not None:
            incoming.differ(version)
        os.rename(incoming.path.name, name, src_dir_fd=incoming.folder, dst_dir_fd=folder)

    incoming.close()
    with writing():
        root.put(image_id, move)
        version = incoming.version
    incoming.placed()
    return version


def remove(root: Root, image_id: str) -> None:
    """Delete a file for good, and the folders that it leaves empty.

    Raises:
        ImageNotFound: there is none.
    """
    file_size(root, image_id)
    *above, name = image_id.split("/")
    with writing():
        try:
            with root.folder(above, make=False) as folder:
                os.unlink(name, dir_fd=folder.descriptor)
                os.fsync(folder.descriptor)
                folder.prune()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ImageNotFound from error


def file_size(root: Root, image_id: str) -> int:
    """Tell the bytes of a file that may be served.

    Raises:
        ImageNotFound: there is none, or it is no regular file.
    """
    path = root.path_of(image_id)
    try:
        state = os.lstat(path)  # links were followed, and one that is there now has just come
    except OSError as error:
        raise ImageNotFound from error
    if not stat.S_ISREG(state.st_mode):
        raise ImageNotFound
    return state.st_size


def _version(folder: int, name: str) -> str | None:
    try:
        state = os.stat(name, dir_fd=folder)  # of what a link leads to, for that is what was served
    except OSError:  # nothing there, or nothing that was served
        return None
    return file_version(state.st_mtime_ns, state.st_size)
