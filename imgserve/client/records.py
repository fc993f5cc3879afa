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
from imgserve.model import Doc, Face, FileFacts, described_fields
from imgserve.records import ImportItem, ImportJob, KeyRecord, SlowHost

T = TypeVar("T")


def _json(*paths: str) -> dict[str, Any]:
    """Return the metadata of a field: where JSON has it, the first of several paths."""
    return {"paths": paths}


class Point(NamedTuple):
    """Fractions of the upright image, from its upper left corner."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(FileFacts):
    """What a server knows about one image."""

    image_id: str = field(metadata=_json("id"))
    version: str
    """Changes with the bytes, and with the focal point."""
    url: str
    """Of the picture on the server."""
    media_type: str
    created: datetime
    changed: datetime
    """When its record last changed."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(KeyRecord):
    """An API key of a server."""

    key: str = field(default="", repr=False)
    """The key itself, only where it was just created."""


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
class CheckedUrl:
    """A URL of a picture, and whether everybody may request it."""

    url: str
    rejection: ImgserveError | None = None
    """The error that a request without a key and a signature receives."""
    signed: str | None = None
    """The signed URL, if the caller may sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import(ImportJob):
    """A bulk import of a server."""

    counts: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Its images by state."""
    slow_hosts: tuple[SlowHost, ...] = ()
    """Hosts that it waits for; only where one import is returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportImage(ImportItem):
    """An image of a bulk import."""

    path: str = ""
    """Of the picture on the server; empty if it is not stored."""
    output_url: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one of many images: a URL, a new or moved image, or the error."""

    image_id: str = field(default="", metadata=_json("id", "image.id"))
    url: str = ""
    image: Image | None = None
    error: ImgserveError | None = field(default=None, metadata=_json("problem"))


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


def json_paths(kind: Any) -> dict[str, tuple[str, ...]]:
    """Return where JSON has each field of a record: the first of several paths."""
    docs = described_fields(kind, Doc)
    return {
        item.name: item.metadata.get("paths") or (docs[item.name].name if item.name in docs else item.name,)
        for item in dataclasses.fields(kind)
    }


@functools.cache
def _record_reader(kind: Any) -> Callable[[Any], Any]:
    """Return a function that reads a record; a field that is missing or null has its default value."""
    types = get_type_hints(kind)
    fields = [
        (name, [path.split(".") for path in paths], _READERS.get(name) or reader(types[name]))
        for name, paths in json_paths(kind).items()
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
    Face: lambda value: Face(value["x"], value["y"], value["width"], value["height"]),
    "perceptual_hash": lambda digits: int(digits, 16),
}
"""How values of other types are read, or of fields by their names."""
