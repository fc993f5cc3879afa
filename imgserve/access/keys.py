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

from imgserve.errors import Unauthorized
from imgserve.metrics import Metrics

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


_logger = logging.getLogger(__name__)
_DIGEST = "sha256:"


class Scope(StrEnum):
    """What a call needs permission for."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    PURGE = "purge"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    name: str
    """As it is written beside what they bring."""


class Access:
    """Decides on calls of the API."""

    def __init__(self, digest: str | None, *, metrics: Metrics) -> None:
        """Take the SHA-256 of the admin key, in hexadecimal, None for no key at all, and where is counted."""
        self._digest = digest
        self._failures = metrics.access_failures

    @property
    def closed(self) -> bool:
        """Tell whether there is no key, so that nobody may do anything."""
        return self._digest is None

    def require(self, credential: str | None, scope: Scope) -> Caller:  # noqa: ARG002  the admin key has every scope
        """Tell who calls, if they may do this; how long it takes says nothing about the key.

        Raises:
            Unauthorized: that is no key.
        """
        if credential is None:
            self._failures.labels("missing").inc()
            raise Unauthorized
        given = key_digest(credential)
        if self._digest is None or not hmac.compare_digest(given, self._digest):
            self._failures.labels("closed" if self._digest is None else "unknown").inc()
            raise Unauthorized
        return Caller("admin")


def admin_digest(setting: str, folder: Path, *, announce: Callable[[str], None]) -> str | None:
    """Give the digest of the admin key: of the setting, else of the one that is made at first start.

    `announce` is told a key that was made just now, once and nowhere else. Where none can be kept it is None, which
    closes management, and the log says what to set.
    """
    if setting:
        return setting.removeprefix(_DIGEST).lower() if setting.startswith(_DIGEST) else key_digest(setting)
    try:
        return made_or_read(folder, announce=announce)
    except KeyFileUnusableError as error:
        _logger.error("the API is closed: %s; set access.admin_key, or make that folder writable", error)  # noqa: TRY400  the sentence says all
        return None


def announce_admin_key(key: str) -> None:
    """Show a new admin key, on standard error and past the log, which may be kept."""
    sys.stderr.write(
        f"The admin key of the API, shown this once and kept only as a hash:\n\n    {key}\n\n"
        "Send it as `Authorization: Bearer KEY`, or set access.admin_key to choose one.\n"
    )
    sys.stderr.flush()
