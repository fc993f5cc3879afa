"""A rename that never replaces anything, which Python does not offer."""

import ctypes
import errno
import os
from collections.abc import Callable

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
