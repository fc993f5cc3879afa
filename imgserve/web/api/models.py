"""What the API tells of images, as models: names that others script against, so none is ever renamed."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue

from imgserve.client.address import quoted_id
from imgserve.formats import FORMATS
from imgserve.model import ImageRecord
from imgserve.web.api.told import Next, Told

_EXAMPLE: dict[str, JsonValue] = {
    "id": "shoes/red.jpg",
    "version": "18a3f0c2b1d4e000_2f41a",
    "url": "/img/shoes/red.jpg",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "format": "jpg",
    "media_type": "image/jpeg",
    "width": 4000,
    "height": 3000,
    "frames": 1,
    "bytes": 193562,
    "alpha": False,
    "color_space": "srgb",
    "dominant_color": "#b4483a",
    "thumbhash": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    "perceptual_hash": "e1c3870e1c3870e1",
    "title": "Red shoe",
    "alt": "A red running shoe from the side",
    "description": "",
    "tags": ["shoe", "summer"],
    "metadata": {"sku": "R-17"},
    "focal_point": {"x": 0.5, "y": 0.4},
    "origin": "upload",
    "who": "admin",
    "created": "2026-01-31T12:00:00Z",
    "changed": "2026-02-01T08:30:00Z",
}


class PointOut(Told):
    """What crops keep: fractions of the upright image, from its upper left corner."""

    x: Annotated[float, Field(ge=0, le=1)]
    """From the left."""
    y: Annotated[float, Field(ge=0, le=1)]
    """From the top."""


class ImageOut(Told):
    """What is known of an image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    """Public, path-like name. A byte of it that is not UTF-8 stands as a lone surrogate, U+DC80 to U+DCFF."""
    version: str
    """Changes with the bytes of the original, and with its focal point."""
    url: str
    """Path of its pictures; parameters go behind it."""
    sha256: str
    """Of the original, in hexadecimal."""
    format: str
    """Of the original, decided by its bytes."""
    media_type: str
    """Of the original."""
    width: int
    """Pixels of the upright image."""
    height: int
    """Pixels of the upright image."""
    frames: int
    """More than one in an animation."""
    bytes: int
    """Of the original."""
    alpha: bool
    """Whether it has transparency."""
    color_space: str
    """As the original's bytes say."""
    dominant_color: str
    """As `#rrggbb`; empty if not known."""
    thumbhash: str
    """A ThumbHash in base64, to show before the picture is there; empty if not known."""
    perceptual_hash: str | None
    """16 hexadecimal digits; images that look alike differ in few bits."""
    title: str
    """What it is called."""
    alt: str
    """What to read instead of it."""
    description: str
    """What is to be said of it."""
    tags: list[str]
    """In order, each once."""
    metadata: dict[str, Any]
    """Free."""
    focal_point: PointOut | None
    """What crops keep, where somebody has said it."""
    origin: Literal["upload", "watch", "import"]
    """How it came."""
    who: str
    """Who brought it."""
    created: datetime
    """When it was first recorded, in UTC."""
    changed: datetime
    """When its record last changed, in UTC."""

    @classmethod
    def of(cls, record: ImageRecord, prefix: str) -> Self:
        """Tell a record; `prefix` is where pictures are served."""
        point, looks = record.focal_point, record.perceptual_hash
        same = {name: getattr(record, name) for name in _SAME}
        return cls(
            **same,
            id=record.image_id,
            url=f"{prefix}/{quoted_id(record.image_id)}",
            media_type=FORMATS[record.format].media_type if record.format in FORMATS else "application/octet-stream",
            bytes=record.size,
            thumbhash=base64.b64encode(record.thumbhash).decode(),
            perceptual_hash=None if looks is None else f"{looks:016x}",
            tags=list(record.tags),
            metadata=dict(record.metadata),
            focal_point=None if point is None else PointOut(x=point.x, y=point.y),
            origin=record.origin.value,
        )


_SAME = (
    "version",
    "sha256",
    "format",
    "width",
    "height",
    "frames",
    "alpha",
    "color_space",
    "dominant_color",
    "title",
    "alt",
    "description",
    "who",
    "created",
    "changed",
)


class ImagesOut(Told):
    """A page of images."""

    images: list[ImageOut]
    """In the order that was asked for."""
    next: Next


class SimilarOne(Told):
    """An image that looks like another."""

    distance: Annotated[int, Field(ge=0, le=64)]
    """Bits of 64 in which their perceptual hashes differ."""
    image: ImageOut
    """The other image."""


class SimilarOut(Told):
    """Images that look like one."""

    images: list[SimilarOne]
    """The most alike first."""


class DuplicatesOut(Told):
    """A page of groups of images with the same bytes."""

    groups: list[list[ImageOut]]
    """Each of two images or more."""
    next: Next
