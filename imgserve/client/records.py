"""What a server responds, as frozen values, and how they are read from JSON; unknown fields are ignored."""

import base64
import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from imgserve.client.errors import problem_error
from imgserve.errors import ImgserveError

T = TypeVar("T")


def _json(*paths: str, read: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """Return the metadata of a field: where JSON has it, the first of several paths, and how it is read."""
    return {"paths": tuple(tuple(path.split(".")) for path in paths), "read": read}


class Point(NamedTuple):
    """Fractions of the upright image, from its upper left corner."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a server knows about one image."""

    image_id: str = field(metadata=_json("id"))
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
    size: int = field(metadata=_json("bytes"))
    """Bytes of the original."""
    created: datetime
    changed: datetime
    """When its record last changed."""
    frames: int = 1
    alpha: bool = False
    color_space: str = ""
    dominant_color: str = ""
    """As `#rrggbb`, or empty."""
    thumbhash: bytes = b""
    perceptual_hash: int | None = field(
        default=None, metadata=_json("perceptual_hash", read=lambda digits: int(digits, 16))
    )
    """64 bits; similar images differ in few of them."""
    title: str = ""
    alt: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    focal_point: Point | None = None
    origin: str = ""
    """How it arrived: upload, watch or import."""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Similar:
    """An image that looks like another one."""

    image_id: str = field(metadata=_json("id", "image.id"))
    distance: int
    """Bits of 64 in which their perceptual hashes differ."""
    image: Image | None = None
    """The result of a search; None for an upload."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The result of an upload."""

    image: Image
    outcome: str
    """`created`, `replaced`, or `existing` if the server had the same bytes already."""
    examples: Mapping[str, str] = field(default_factory=dict, hash=False)
    """URLs of pictures of it, by name."""
    similar: tuple[Similar, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of uploading one of many files, or the error."""

    name: str
    uploaded: Uploaded | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag and the number of its images."""

    tag: str
    images: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """An image that was deleted."""

    image_id: str = field(metadata=_json("id"))
    trash_item: str | None = None
    """The argument of `restore`; None if the image cannot be restored."""
    until: datetime | None = None
    """When the trash removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashItem:
    """A deleted image that can be restored."""

    item: str
    image_id: str = field(metadata=_json("id"))
    deleted: datetime
    until: datetime | None = None
    """When the trash removes it."""
    size: int = field(metadata=_json("bytes"))
    """Bytes of the original."""


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was purged."""

    images: int
    renditions: int

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(self.images + other.images, self.renditions + other.renditions)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file among the originals that is not a usable image."""

    image_id: str = field(metadata=_json("id"))
    code: str
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True)
class UsageCount:
    """What one client, referrer or image has caused."""

    subject: str
    number: int
    """Requests, renditions or bytes."""
    reasons: Mapping[str, int]
    """The same by error code, `cold` or `bytes`."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals of a server."""

    images: int
    size: int = field(metadata=_json("bytes"))
    """Bytes of all originals."""
    problems: int
    version: str
    """Of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key of a server."""

    key_id: str = field(metadata=_json("id"))
    name: str
    scopes: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    """The starts of the ids of images that it is for; empty for all."""
    presets: tuple[str, ...] = ()
    """The only presets that it may request pictures with; empty for any parameters."""
    site: str = ""
    created: datetime
    expires: datetime | None = None
    used: datetime | None = None
    """When it was last used, within a minute or so."""
    key: str = field(default="", repr=False)
    """The key itself, only where it was just created."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A management call in the audit log of a server."""

    at: datetime
    actor: str
    address: str
    action: str
    target: str = ""
    before: Mapping[str, Any] = field(default_factory=dict, hash=False)
    after: Mapping[str, Any] = field(default_factory=dict, hash=False)
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered picture."""

    data: bytes = field(repr=False)
    media_type: str
    adjusted: str = ""
    """What the server changed in the request, such as a lowered size."""

    def save(self, path: str | Path) -> None:
        """Write the picture to a file."""
        Path(path).write_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one of many images: a URL, a new or moved image, or the error."""

    image_id: str = field(default="", metadata=_json("id", "image.id"))
    url: str = ""
    image: Image | None = None
    error: ImgserveError | None = field(default=None, metadata=_json("problem"))


@dataclass(frozen=True, slots=True)
class Warmed:
    """The progress of warming."""

    done: int
    total: int
    failed: int
    made: int
    """Pictures rendered so far: none for those in the cache, several if the format depends on the browser."""
    image_id: str = field(default="", metadata=_json("id"))
    """The image that was just finished."""
    error: ImgserveError | None = field(default=None, metadata=_json("problem"))
    """Why it failed."""
    finished: bool = False


def reader(kind: type[T]) -> Callable[[Any], T]:
    """Return a function that reads a value of a type from JSON, its fields and items by their annotations.

    The function raises KeyError, TypeError, ValueError or AttributeError for another shape.
    """
    known = _READERS.get(kind)
    if known is not None:
        return known
    if dataclasses.is_dataclass(kind):
        return _record_reader(kind)
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        read = reader(arguments[0])
        return lambda items: cast("T", tuple(map(read, items)))
    return reader(arguments[0]) if NoneType in arguments else lambda value: value


def list_reader(name: str, kind: type[T]) -> Callable[[Any], list[T]]:
    """Return a function that reads the list under a name."""
    read = reader(kind)
    return lambda document: [read(item) for item in document[name]]


def page_reader(name: str, kind: type[T]) -> Callable[[Any], tuple[list[T], str | None]]:
    """Return a function that reads the items of a list under a name, and where the next page begins."""
    read = list_reader(name, kind)
    return lambda document: (read(document), document.get("next"))


@functools.cache
def _record_reader(kind: Any) -> Callable[[Any], Any]:
    """Return a function that reads a record; a field that is missing or null has its default value."""
    types = get_type_hints(kind)
    fields = [
        (item.name, item.metadata.get("paths", ((item.name,),)), item.metadata.get("read") or reader(types[item.name]))
        for item in dataclasses.fields(kind)
    ]

    def read_record(document: Mapping[str, Any]) -> Any:
        values = {}
        for name, paths, read in fields:
            for first, *rest in paths:
                value = document.get(first)
                for inner in rest:
                    value = value and value.get(inner)
                if value is not None:
                    values[name] = read(value)
                    break
        return kind(**values)

    return read_record


def _moment(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(f"a time without a time zone: {text}")
    return read


_READERS: Mapping[Any, Callable[[Any], Any]] = {
    bytes: base64.b64decode,
    datetime: _moment,
    ImgserveError: problem_error,
    Point: lambda value: Point(value["x"], value["y"]),
}
"""How values of other types are read."""
