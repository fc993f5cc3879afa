"""The admin key: created at first start, stored as a hash in a file of the data folder."""

import logging
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from imgserve.access.keys import key_digest, random_key

_logger = logging.getLogger(__name__)
_NAME = "admin-key"
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 200
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class KeyFileUnusableError(Exception):
    """The key file cannot be written, or does not contain a hash; the text says why, without the data folder."""


def key_file(folder: Path) -> Path:
    """Return the file in a data folder that holds the hash of the key."""
    return folder / _NAME


def create_key(folder: Path, *, replace: bool = False) -> str | None:
    """Store the hash of a new key, and return the key; None if there is one already that is not to be replaced.

    Of several processes that start at once, one creates the key. Servers accept a replaced key at once.

    Raises OSError if the data folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = key_file(folder)
    if path.exists() and not replace:
        return None
    key = random_key()
    descriptor, temporary = tempfile.mkstemp(prefix=f".{_NAME}-", dir=folder)  # 0600 from birth
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key_digest(key)}\n")
            file.flush()
            os.fsync(descriptor)
        if replace:
            Path(temporary).replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        return None
    finally:
        Path(temporary).unlink(missing_ok=True)
    return key


def read_digest(path: Path) -> str:
    """Return the hash in a key file; raise OSError or KeyFileUnusableError if there is none that can be trusted."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & _OTHERS_WRITE:
            raise KeyFileUnusableError(f"{_NAME} in the data folder can be written to by other accounts")
        text = file.read(_MOST_BYTES).decode("latin-1").strip()
    if not _HASH.fullmatch(text):
        raise KeyFileUnusableError(f"{_NAME} in the data folder holds no hash of a key")
    return text


def admin_digest(setting: str, folder: Path, *, announce: Callable[[str], None]) -> str | KeyFileUnusableError:
    """Return the hash of the admin key: of the setting, else of the key created at first start by one process.

    `announce` receives a new key, which is not stored in plain text. If no key can be stored, the error is logged and
    returned.
    """
    if setting:
        scheme, _, digest = setting.partition("sha256:")
        return key_digest(setting) if scheme else digest.lower()
    try:
        if key := create_key(folder):
            announce(key)
        return read_digest(key_file(folder))
    except OSError as error:
        unusable = KeyFileUnusableError(f"the data folder cannot be used ({error.strerror})")
    except KeyFileUnusableError as error:
        unusable = error
    _logger.error("the API is closed, since %s; the data folder is %s", closed(unusable), folder)
    return unusable


def closed(error: KeyFileUnusableError) -> str:
    """Return why the API is closed, and what to do."""
    return f"{error}; set access.admin_key, or correct that and restart"


def announce_admin_key(key: str) -> None:
    """Print a new admin key to standard error, not to the log."""
    sys.stderr.write(f"A new API key, shown only now and stored as a hash:\n\nexport IMGSERVE_KEY={key}\n\n")
    sys.stderr.flush()
