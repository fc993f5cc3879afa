"""How the file of an original is opened, by whoever looks at it or renders it. Which file it is, is not known here."""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator

from imgserve.errors import ImageNotFound, Unavailable

_NOT_THERE = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}
"""What says that there is no such file for us; anything else (no descriptors, a failing disk) says nothing of it."""


@contextlib.contextmanager
def reading_original(path: str) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading; not through a link that appeared since, and not waiting at a named pipe.

    Raises:
        ImageNotFound: absent, not allowed, or anything but a regular file.
        Unavailable: it may be there, but cannot be read now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ImageNotFound
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        raise _as_ours(error) from error


def resolve(path: str) -> str:
    """Follow every link of a path.

    Raises:
        ImageNotFound: it cannot be a path.
        Unavailable: it cannot be looked at now.
    """
    try:
        return os.path.realpath(path)
    except ValueError as error:
        raise ImageNotFound from error
    except OSError as error:
        raise _as_ours(error) from error


def _as_ours(error: OSError) -> ImageNotFound | Unavailable:
    if error.errno in _NOT_THERE:
        return ImageNotFound()
    return Unavailable("The original cannot be read right now.", retry_after=1)
