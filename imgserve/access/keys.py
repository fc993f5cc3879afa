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


def _written(path: Path, digest: str) -> bool:
    """Write the hash unless the file exists; return whether this process wrote it."""
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

    def __init__(self, digest: str | KeyFileUnusableError, *, metrics: Metrics) -> None:
        """Check calls against the hash of the admin key; without one, the error closes the API."""
        self.digest = digest
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
        unusable = KeyFileUnusableError(f"the data folder cannot be used ({error.strerror})")
    except KeyFileUnusableError as error:
        unusable = error
    _logger.error("the API is closed, since %s; the data folder is %s", _closed(unusable), folder)
    return unusable


def _closed(error: KeyFileUnusableError) -> str:
    return f"{error}; set access.admin_key, or correct that and restart"


def announce_admin_key(key: str) -> None:
    """Print a new admin key to standard error, not to the log."""
    sys.stderr.write(
        f"The admin key of the API, shown only once and stored as a hash:\n\n    {key}\n\n"
        "Send it as `Authorization: Bearer KEY`, or set access.admin_key to choose one.\n"
    )
    sys.stderr.flush()
