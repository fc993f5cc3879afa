"""May this caller do this? One admin key so far: from the settings, or made at first start. Knows no HTTP."""

import hmac
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imgserve.errors import Unauthorized
from imgserve.metrics import Metrics
from imgserve.services.key_file import KeyFileUnusableError, key_digest, made_or_read

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
