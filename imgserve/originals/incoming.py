"""Write below a folder of originals: incoming files in a hidden folder, which are moved into place."""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from imgserve.errors import BadImageId, ImageExists, ImageNotFound, ReadOnlyOriginals, StorageFull, Unavailable
from imgserve.model import file_version
from imgserve.originals.folder import FOLDER_FLAGS, Root

OWN = ".imgserve"
"""The folder of imgserve in a folder of originals: hidden, so never served, and on the same file system."""
_ATTEMPTS = 20
"""Another process may remove an empty folder between its opening and its use."""


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder below the root, and those above it, as open descriptors."""

    descriptors: Sequence[int]
    """Of the root, then one for each part."""
    parts: Sequence[str]

    @property
    def descriptor(self) -> int:
        """The folder itself."""
        return self.descriptors[-1]

    def prune(self, first: int = 0) -> None:
        """Remove the empty ones among the folder and those above it, up to the `first` part; never the root."""
        for depth in reversed(range(first, len(self.parts))):
            # A folder that is not empty, a mount or not writable stays.
            try:
                os.rmdir(self.parts[depth], dir_fd=self.descriptors[depth])
            except FileNotFoundError:
                continue
            except OSError:
                return


@contextlib.contextmanager
def open_folder(root: Root, parts: Sequence[str], *, make: bool) -> Iterator[OpenFolder]:
    """Open a folder below the root. Folders that were made are removed if the block fails.

    Raises:
        BadImageId: a link leads outside.
        FileNotFoundError, NotADirectoryError: it does not exist, or is a file.
    """
    inside = root.inside(parts)
    if inside is None:
        raise BadImageId("No image can have this id: a link in it leads out of the folder of originals.")
    with contextlib.ExitStack() as opened:
        descriptors = [_opened(opened, root.path or "/")]
        first_made = len(inside)
        try:
            for depth, part in enumerate(inside):
                if make and _made(part, descriptors[-1]):
                    first_made = min(first_made, depth)
                descriptors.append(_opened(opened, part, descriptors[-1]))
            yield OpenFolder(descriptors, inside)
        except BaseException:
            reached = inside[: len(descriptors)]  # the last one may be made, but not opened
            OpenFolder(descriptors, reached).prune(first_made)
            raise


@contextlib.contextmanager
def own_folder(root: Root, name: str, *, make: bool) -> Iterator[int]:
    """Open a folder of imgserve, which other accounts cannot read.

    Without `make`, a missing one raises FileNotFoundError.
    """
    with contextlib.ExitStack() as opened:
        descriptor = _opened(opened, root.path or "/")
        for part in (OWN, name):
            made = make and _made(part, descriptor, 0o700)
            descriptor = _opened(opened, part, descriptor)
            if made and part == OWN:
                hide_from_git(Path(root.path, OWN), descriptor)
        yield descriptor


def put_file(root: Root, image_id: str, move: Callable[[int, str], None]) -> None:
    """Create the folder of an id, call `move(folder, name)` to move a file into it, and flush the folder.

    Raises:
        ImageExists: a file or folder is in the way.
        BadImageId: a link leads outside.
    """
    *above, name = image_id.split("/")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with open_folder(root, above, make=True) as folder:
                move(folder.descriptor, name)
                os.fsync(folder.descriptor)
        except FileNotFoundError:
            if attempt == _ATTEMPTS:
                raise
        except NotADirectoryError as error:
            raise ImageExists("A part of this id is a file, so nothing can be below it.") from error
        except IsADirectoryError as error:
            raise ImageExists("There is a folder of this name.") from error
        except FileExistsError as error:
            raise ImageExists from error
        else:
            return


def names_in(folder: int) -> list[str]:
    """List an open folder."""
    return os.listdir(folder)


def hide_from_git(folder: Path, descriptor: int) -> None:
    """Write an ignore file into an open folder of imgserve, if the folder is inside a Git working tree."""
    if not any((above / ".git").exists() for above in folder.parents):
        return
    with contextlib.suppress(OSError):  # it is there already, or cannot be written: then Git lists the folder
        ignore = os.open(".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=descriptor)
        with open(ignore, "w", encoding="ascii") as file:  # noqa: PTH123  a descriptor has no path
            file.write("*\n")


def _opened(stack: contextlib.ExitStack, name: str, above: int | None = None) -> int:
    descriptor = os.open(name, FOLDER_FLAGS, dir_fd=above)
    stack.callback(os.close, descriptor)
    return descriptor


def _made(name: str, above: int, mode: int = 0o755) -> bool:
    try:
        os.mkdir(name, mode, dir_fd=above)
    except FileExistsError:
        return False
    os.fsync(above)
    return True


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
    """Rename from one open folder into another in one step; raise FileExistsError if the new name exists."""
    # Rather than a link alone: systems that protect hard links refuse one to a file of another account.
    if _RENAME is not None:
        if _RENAME(source, os.fsencode(name), target, os.fsencode(new_name), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _UNKNOWN_HERE:
            raise OSError(number, os.strerror(number))
    move_by_link(source, name, target, new_name)


def move_by_link(source: int, name: str, target: int, new_name: str) -> None:
    """Rename in two steps, between which the file has both names; raise FileExistsError if the new name exists."""
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
        self.whole = False
        """Whether it is complete and on the disk."""
        self.over = False
        """Whether it was placed or dropped."""

    @property
    def version(self) -> str:
        """The file version that it will have in its place, unless the replaced file has the same."""
        state = os.fstat(self._descriptor)
        return file_version(state.st_mtime_ns, state.st_size)

    def write(self, data: bytes) -> None:
        """Add bytes, or raise StorageFull, ReadOnlyOriginals or Unavailable."""
        if self.whole:
            raise ValueError("this file is closed")
        with writing():
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Flush the file to the disk; nothing can be written after that."""
        if not self.whole:
            with writing():
                os.fsync(self._descriptor)
            self.whole = True

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
        if not self.over:
            self.over = self.whole = True
            os.close(self._descriptor)
            os.close(self.folder)

    def drop(self) -> None:
        """Delete the file, unless it was placed or dropped."""
        if self.over:
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
    """Return the size in bytes of a file that may be served; raise ImageNotFound for anything but a regular file."""
    path = root.path_of(image_id)
    try:
        state = os.lstat(path)  # links were followed; one that is there now is new
    except OSError as error:
        raise ImageNotFound from error
    if not stat.S_ISREG(state.st_mode):
        raise ImageNotFound
    return state.st_size
