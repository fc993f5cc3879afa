"""The admin key and the check of what a caller may do."""

import contextlib
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imgserve.errors import Unauthorized, Unavailable
from imgserve.metrics import Metrics

_logger = logging.getLogger(__name__)
_NAME = "admin-key"
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 200
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class KeyFileUnusableError(Exception):
    """The key file cannot be written, or does not contain a hash; the text says why, without the data folder."""


def key_digest(key: str) -> str:
    """Return the stored hash of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def key_file(folder: Path) -> Path:
    """Return the file in a data folder that holds the hash of the key."""
    return folder / _NAME


def create_key(folder: Path, *, replace: bool = False) -> str | None:
    """Store the hash of a new key, and return the key; None if there is one already that is not to be replaced.

    Of several processes that start at once, one creates the key. Servers accept a replaced key at once.
    Without a usable data folder this raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = key_file(folder)
    if path.exists() and not replace:
        return None
    key = f"img_{secrets.token_urlsafe(32)}"
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


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & _OTHERS_WRITE:
            raise KeyFileUnusableError(f"{_NAME} in the data folder can be written to by other accounts")
        text = file.read(_MOST_BYTES).decode("latin-1").strip()
    if not _HASH.fullmatch(text):
        raise KeyFileUnusableError(f"{_NAME} in the data folder holds no hash of a key")
    return text


class Scope(StrEnum):
    """The permission that a call requires."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    PURGE = "purge"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller."""

    name: str
    """Recorded with the images that the caller uploads."""


class Access:
    """Checks the permission of API calls."""

    def __init__(
        self, digest: str | KeyFileUnusableError, *, metrics: Metrics, replaced_in: Path | None = None
    ) -> None:
        """Check calls against the hash of the admin key; without one, the error closes the API.

        `replaced_in` is the file in which a new hash may appear.
        """
        self.digest = digest
        self._file, self._read_at = replaced_in, _modified(replaced_in)
        self._failures = metrics.access_failures

    def check(self) -> str:
        """Return the state of the API, for readiness; pictures are served without it."""
        return "ok" if isinstance(self.digest, str) else f"degraded: {_closed(self.digest)}"

    def require(self, credential: str | None, scope: Scope) -> Caller:  # noqa: ARG002  the admin key has every scope
        """Return the caller of a permitted call, in constant time.

        Raises:
            Unauthorized: the key is missing or invalid.
            Unavailable: there is no key, so that every call is rejected.
        """
        if (modified := _modified(self._file)) != self._read_at and self._file is not None:
            self._read_at = modified
            with contextlib.suppress(OSError, KeyFileUnusableError):  # the former hash stays valid
                self.digest = _read(self._file)
        if not isinstance(self.digest, str):
            self._failures.labels("closed").inc()
            raise Unavailable(f"No call can be authorized: {_closed(self.digest)}.")
        if credential is None:
            self._failures.labels("missing").inc()
            raise Unauthorized
        if not hmac.compare_digest(key_digest(credential), self.digest):
            self._failures.labels("unknown").inc()
            raise Unauthorized
        return Caller("admin")


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
        return _read(key_file(folder))
    except OSError as error:
        unusable = KeyFileUnusableError(f"the data folder cannot be used ({error.strerror})")
    except KeyFileUnusableError as error:
        unusable = error
    _logger.error("the API is closed, since %s; the data folder is %s", _closed(unusable), folder)
    return unusable


def _modified(path: Path | None) -> tuple[int, int] | None:
    """Return what identifies a version of the file, or None."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _closed(error: KeyFileUnusableError) -> str:
    return f"{error}; set access.admin_key, or correct that and restart"


def announce_admin_key(key: str) -> None:
    """Print a new admin key to standard error, not to the log."""
    sys.stderr.write(f"A new API key, shown only now and stored as a hash:\n\nexport IMGSERVE_KEY={key}\n\n")
    sys.stderr.flush()
