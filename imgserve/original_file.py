"""Open the file of an original, for a look at it or for rendering."""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator

from imgserve.errors import ImageNotFound, OriginalDenied, Unavailable

_DENIED = {errno.EACCES, errno.EPERM}
_ABSENT = {
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
}
"""Errors that mean that there is no such file; others (no descriptors, a failing disk) may pass."""


@contextlib.contextmanager
def reading_original(path: str) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading, without following a new link or blocking on a named pipe.

    Raises:
        ImageNotFound: absent, or not a regular file.
        OriginalDenied: not allowed.
        Unavailable: it may exist, but cannot be read now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ImageNotFound
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        raise _translated(error) from error


def resolve(path: str) -> str:
    """Return a path with all links followed.

    Raises:
        ImageNotFound: it is not a valid path.
        Unavailable: it cannot be resolved now.
    """
    try:
        return os.path.realpath(path)
    except ValueError as error:
        raise ImageNotFound from error
    except OSError as error:
        raise _translated(error) from error


def _translated(error: OSError) -> ImageNotFound | Unavailable:
    if error.errno in _DENIED:
        return OriginalDenied()
    if error.errno in _ABSENT:
        return ImageNotFound()
    return Unavailable("The original cannot be read right now.", retry_after=1)
