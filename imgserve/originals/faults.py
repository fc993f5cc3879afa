"""What the file system says when it will not write, as errors that a client is told."""

import contextlib
import errno
from collections.abc import Iterator

from imgserve.errors import BadImageId, ReadOnlyOriginals, StorageFull, Unavailable

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
