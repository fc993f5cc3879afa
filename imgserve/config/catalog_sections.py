"""The sections about management: where records about images are kept, and who may change them."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from imgserve.config.units import Duration
from imgserve.config.values import Section, stated

_EXPECTED = "sqlite:///folder/catalog.sqlite, postgresql://user:password@host/name, or nothing"
_DIGEST, _HEXADECIMAL = "sha256:", re.compile(r"[0-9a-fA-F]{64}")
_SHORTEST_KEY = 16
_BEGINNINGS = ("sqlite:///", "postgresql://", "postgres://")


def _database(text: str) -> str:
    """Check an address without repeating it, for it may hold a password."""
    if text and not (text.startswith(_BEGINNINGS) and text.partition("//")[2].strip("/")):
        raise stated(f"expected {_EXPECTED}; what is there is not repeated, for it may hold a password")
    return text


def _key(key: SecretStr) -> SecretStr:
    """Check a key without repeating it."""
    text = key.get_secret_value()
    if text.startswith(_DIGEST) and not _HEXADECIMAL.fullmatch(text.removeprefix(_DIGEST)):
        raise stated("expected 64 hexadecimal digits behind sha256:")
    if text and not text.startswith(_DIGEST) and (len(text) < _SHORTEST_KEY or not text.isprintable()):
        raise stated(f"expected a key of at least {_SHORTEST_KEY} characters; what is there is not repeated")
    return key


class CatalogConfig(Section):
    """What is known about images beside their files."""

    url: Annotated[str, AfterValidator(_database), Field(repr=False)] = ""
    """Database of the catalog, sqlite:///file or postgresql://...; empty for a file beside the originals."""
    patience: Annotated[Duration, Field(gt=0, le=60)] = 5.0
    """How long a change may wait for the database; pictures never wait for it."""
    near: Annotated[int, Field(ge=0, le=32)] = 10
    """Bits of 64 by which the perceptual hashes of near duplicates may differ; others differ in 22 or more."""


class AccessConfig(Section):
    """Who may use the API."""

    admin_key: Annotated[SecretStr, AfterValidator(_key)] = SecretStr("")
    """Key that may do everything, or sha256: and its digest; empty for one that is made and shown at first start."""
