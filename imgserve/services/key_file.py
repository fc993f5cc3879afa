"""The admin key that is made at first start: only its hash is kept, in a file that one process makes and all read."""

import contextlib
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

_NAME = "admin-key"
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 200
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class KeyFileUnusableError(Exception):
    """No key can be kept, or what is kept is none."""


def key_digest(key: str) -> str:
    """Give what is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def made_or_read(folder: Path, *, announce: Callable[[str], None]) -> str:
    """Give the hash of the key, after making it where there is none yet; `announce` is told one that was made.

    However many processes begin at once, one of them makes the key.

    Raises:
        KeyFileUnusableError: the folder or the file cannot be used.
    """
    path = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return _read(path)
        key = f"img_{secrets.token_urlsafe(32)}"
        if _written(path, key_digest(key)):
            announce(key)
        return _read(path)
    except OSError as error:
        raise KeyFileUnusableError(f"{path} cannot be used: {error.strerror}") from error


def _written(path: Path, digest: str) -> bool:
    """Write the hash where there is no file; tell whether it was this process that did."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{_NAME}-", dir=path.parent)  # 0600 from birth
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{digest}\n")
            file.flush()
            os.fsync(descriptor)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & _OTHERS_WRITE:
            raise KeyFileUnusableError(f"{path} can be written to by other accounts; delete it for a new key")
        text = file.read(_MOST_BYTES).decode("latin-1").strip()
    if not _HASH.fullmatch(text):
        raise KeyFileUnusableError(f"{path} holds no hash of a key; delete it for a new one")
    return text
