"""Secrets in files of their own, and the permissions of files that contain secrets."""

import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imgserve.config.table import Setting
from imgserve.errors import ConfigError

_logger = logging.getLogger(__name__)
_MOST_BYTES = 100_000


def read_secret(row: Setting, path: Path) -> str:
    """Return the secret in a file as in an environment variable; several secrets are lines.

    Raises ConfigError if the file cannot be read, can be read by every account, or contains no secret or too many.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MOST_BYTES).decode()
    except OSError as error:
        raise ConfigError([f"{row.file_variable}: {path} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{row.file_variable}: {path} is not text in UTF-8"]) from error
    if mistake := exposure(path, mode, "this secret"):
        raise ConfigError([f"{row.file_variable}: {mistake}"])
    lines = list(filter(None, map(str.strip, content.splitlines())))
    if not lines or (len(lines) > 1 and not row.several):
        expected = "secrets, one a line" if row.several else "one line with the secret"
        raise ConfigError([f"{row.file_variable}: expected {expected} in {path}"])
    return ",".join(lines)


def secrets_in(rows: Sequence[Setting], values: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that contain secrets among the values of a settings file."""
    found = [row.name for row in rows if row.secret and _holds_secret(_at(values, row.path))]
    sites = values.get("sites")
    if isinstance(sites, Mapping):
        own = ((name, site) for name, site in sites.items() if isinstance(site, Mapping))
        found += [f"sites.{name}.secrets" for name, site in own if _holds_secret(site.get("secrets"))]
    return found


def exposure(path: Path, mode: int, content: str) -> str:
    """Return why a file with secrets is not used, or nothing; one that its group can read causes a warning."""
    if mode & stat.S_IROTH and stat.S_ISREG(mode):
        return f"every account of this machine can read {content} in {path}; run: chmod o-r {path}"
    if mode & stat.S_IRGRP and stat.S_ISREG(mode):
        _logger.warning("the group of %s can read %s in it", path, content)
    return ""


def _holds_secret(value: object) -> bool:
    """Return whether a value is one: not a hash, nor a URL without a password."""
    return any(_is_secret(str(item)) for item in _items(value))


def _items(value: object) -> Iterator[object]:
    if isinstance(value, (list, tuple)):
        yield from value
    elif value is not None:
        yield value


def _is_secret(text: str) -> bool:
    if "://" in text:
        try:
            return urlsplit(text).password is not None
        except ValueError:  # no valid URL, which is reported elsewhere
            return True
    return bool(text) and not text.startswith("sha256:")


def _at(values: Mapping[str, Any], path: Sequence[str]) -> object:
    inner: object = values
    for name in path:
        inner = inner.get(name) if isinstance(inner, Mapping) else None
    return inner
