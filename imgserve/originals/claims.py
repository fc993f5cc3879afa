"""Files that belong to whoever is writing them, told by a lock, so that what a dead process left can be swept.

A lock and no process number: containers that share a folder share numbers too, and a lock goes with its process.
"""

import fcntl
import os
import time

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
