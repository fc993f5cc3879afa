"""What a server answers, as frozen values. Fields that a newer server adds are passed over; no HTTP here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from imgserve.errors import ImgserveError


class Point(NamedTuple):
    """Fractions of the upright image, from its upper left corner."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a server knows about one image."""

    image_id: str
    version: str
    """Changes with the bytes, and with the focal point."""
    url: str
    """Of the picture on the server."""
    sha256: str
    format: str
    media_type: str
    width: int
    """Pixels of the upright image."""
    height: int
    size: int
    """Bytes of the original."""
    created: datetime
    changed: datetime
    """When its record last changed."""
    frames: int = 1
    alpha: bool = False
    color_space: str = ""
    dominant_color: str = ""
    """As `#rrggbb`, or nothing."""
    thumbhash: bytes = b""
    perceptual_hash: int | None = None
    """64 bits; images that look alike differ in few of them."""
    title: str = ""
    alt: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    focal_point: Point | None = None
    origin: str = ""
    """How it came: upload, watch or import."""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Similar:
    """An image that looks like one that was named or sent."""

    image_id: str
    distance: int
    """Bits of 64 in which their perceptual hashes differ."""
    image: Image | None = None
    """Told where images were searched for, not beside an upload."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of a file that was sent."""

    image: Image
    outcome: str
    """`created`, `replaced` or `existing`, where the same bytes were there already."""
    examples: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Addresses of pictures of it, by name."""
    similar: tuple[Similar, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """One of many files: what became of it, or why nothing did."""

    name: str
    uploaded: Uploaded | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag, and how many images have it."""

    tag: str
    images: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """An image that was deleted."""

    image_id: str
    trash_item: str | None
    """What `restore` takes; None where it is gone for good."""
    until: datetime | None
    """When the trash gives it up."""


@dataclass(frozen=True, slots=True)
class TrashItem:
    """A deleted image that can be had back."""

    item: str
    image_id: str
    deleted: datetime
    until: datetime | None
    size: int
    """Bytes of the original."""


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was purged."""

    images: int
    renditions: int

    @classmethod
    def sum(cls, parts: Iterable["Purged"]) -> "Purged":
        """Add up."""
        listed = list(parts)
        return cls(sum(part.images for part in listed), sum(part.renditions for part in listed))


@dataclass(frozen=True, slots=True)
class Problem:
    """A file among the originals that is no image, or none that can be used."""

    image_id: str
    code: str
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Stats:
    """A server in figures."""

    images: int
    size: int
    """Bytes of all originals."""
    problems: int
    version: str
    """Of the server."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture."""

    data: bytes = field(repr=False)
    media_type: str
    adjusted: str = ""
    """What had to be done differently than asked."""

    def save(self, path: str | Path) -> None:
        """Write it to a file."""
        Path(path).write_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Made:
    """What a transform gave for one of many images: an address, a new image, or why neither."""

    image_id: str
    url: str = ""
    image: Image | None = None
    error: ImgserveError | None = None


@dataclass(frozen=True, slots=True)
class Warmed:
    """How far warming has come."""

    done: int
    total: int
    failed: int
    made: int
    """Pictures so far: none for what was kept already, several where a format depends on the browser."""
    image_id: str = ""
    """What was just done."""
    error: ImgserveError | None = None
    """Why it could not be."""
    finished: bool = False
