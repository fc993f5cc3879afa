"""The section about the catalog: where records about images are kept."""

from typing import Annotated

from pydantic import AfterValidator, Field

from imgserve.config.units import Duration
from imgserve.config.values import Section, stated

_EXPECTED_URL = "sqlite:///folder/catalog.sqlite, postgresql://user:password@host/name, or nothing"
_BEGINNINGS = ("sqlite:///", "postgresql://", "postgres://")


def _database(text: str) -> str:
    """Check an address without repeating it, for it may hold a password."""
    if text and not (text.startswith(_BEGINNINGS) and text.partition("//")[2].strip("/")):
        raise stated(f"expected {_EXPECTED_URL}; what is there is not repeated, for it may hold a password")
    return text


class CatalogConfig(Section):
    """What is known about images beside their files."""

    url: Annotated[str, AfterValidator(_database), Field(repr=False)] = ""
    """Database of the catalog, sqlite:///file or postgresql://...; empty for a file beside the originals."""
    patience: Annotated[Duration, Field(gt=0, le=60)] = 5.0
    """How long a change may wait for the database; pictures never wait for it."""
    near: Annotated[int, Field(ge=0, le=32)] = 10
    """Bits of 64 by which the perceptual hashes of near duplicates may differ; others differ in 22 or more."""
