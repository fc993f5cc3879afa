"""What a caller asks the catalog for, and what comes back. No SQL here."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imgserve.model import ImageRecord, Origin

MOST = 1000
"""Records of one page."""


class Sort(StrEnum):
    """What a list is ordered by; records that are equal in it are ordered by image id."""

    CREATED = "created"
    CHANGED = "changed"
    ID = "id"
    BYTES = "bytes"
    PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Which images are meant: those for which all of this is true."""

    prefix: str = ""
    """The image id begins so; nothing in it is a wildcard."""
    text: str = ""
    """Every word begins a word of title, alt, description, tags or image id; case and accents do not matter."""
    tags: tuple[str, ...] = ()
    """It has all of these."""
    formats: tuple[str, ...] = ()
    """It has one of these, if any are given."""
    origin: Origin | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    min_width: int | None = None
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    changed_from: datetime | None = None
    changed_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a list."""

    records: tuple[ImageRecord, ...]
    cursor: str | None
    """Where the next piece begins; None after the last."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of images with the same bytes."""

    groups: tuple[tuple[ImageRecord, ...], ...]
    cursor: str | None
    """Where the next groups begin; None after the last."""


@dataclass(frozen=True, slots=True)
class Similar:
    """An image that looks like another."""

    record: ImageRecord
    distance: int
    """Bits of 64 in which their perceptual hashes differ."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over images."""

    images: int
    size: int
    """Bytes of the originals."""
