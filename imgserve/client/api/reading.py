"""From JSON to the values of `records`. A missing or misshapen field is a KeyError, TypeError or ValueError. Pure."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from imgserve.client.api import records
from imgserve.client.api.failures import problem_error

T = TypeVar("T")

Document = Mapping[str, Any]

_SAME = ("version", "url", "sha256", "format", "media_type", "width", "height")
_OPTIONAL = (
    "frames",
    "alpha",
    "color_space",
    "dominant_color",
    "title",
    "alt",
    "description",
    "metadata",
    "origin",
    "who",
)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A piece of a list."""

    items: tuple[T, ...]
    cursor: str | None
    """Where the next piece begins; None after the last."""


def page(name: str, read: Callable[[Any], T]) -> Callable[[Document], Page[T]]:
    """Give the reader of a piece of a list that stands under a name."""
    return lambda of: Page(tuple(map(read, of[name])), of.get("next"))


def listed(name: str, read: Callable[[Any], T]) -> Callable[[Document], list[T]]:
    """Give the reader of a whole list that stands under a name."""
    return lambda of: [read(item) for item in of[name]]


def image(of: Document) -> records.Image:
    """Read a record."""
    known = {name: of[name] for name in _SAME} | {name: of[name] for name in _OPTIONAL if of.get(name) is not None}
    looks, point = of.get("perceptual_hash"), of.get("focal_point")
    return records.Image(
        **known,
        image_id=of["id"],
        size=of["bytes"],
        created=moment(of["created"]),
        changed=moment(of["changed"]),
        thumbhash=base64.b64decode(of.get("thumbhash") or ""),
        perceptual_hash=None if looks is None else int(looks, 16),
        tags=tuple(of.get("tags") or ()),
        focal_point=None if point is None else records.Point(point["x"], point["y"]),
    )


def group(of: list[Document]) -> tuple[records.Image, ...]:
    """Read images of the same bytes."""
    return tuple(map(image, of))


def similar(of: Document) -> records.Similar:
    """Read an image that looks alike, with its record or its id alone."""
    found = of.get("image")
    record = None if found is None else image(found)
    return records.Similar(record.image_id if record else of["id"], of["distance"], record)


def uploaded(of: Document) -> records.Uploaded:
    """Read what became of an upload."""
    looks_like = tuple(map(similar, of.get("similar") or ()))
    return records.Uploaded(image(of["image"]), of["outcome"], of.get("examples") or {}, looks_like)


def tag_count(of: Document) -> records.TagCount:
    """Read a tag."""
    return records.TagCount(of["tag"], of["images"])


def deleted(of: Document) -> records.Deleted:
    """Read what was deleted."""
    return records.Deleted(of["id"], of.get("trash_item"), _moment_or_none(of.get("until")))


def trash_item(of: Document) -> records.TrashItem:
    """Read an item of the trash."""
    until = _moment_or_none(of.get("until"))
    return records.TrashItem(of["item"], of["id"], moment(of["deleted"]), until, of["bytes"])


def purged(of: Document) -> records.Purged:
    """Read how much was purged."""
    return records.Purged(of["images"], of["renditions"])


def problem(of: Document) -> records.Problem:
    """Read a file that is no image."""
    return records.Problem(of["id"], of["code"], of["detail"], moment(of["since"]))


def stats(of: Document) -> records.Stats:
    """Read a server in figures."""
    return records.Stats(of["images"], of["bytes"], of["problems"], of["version"])


def warmed(of: Document) -> records.Warmed:
    """Read a line of progress."""
    told = of.get("problem")
    error = None if told is None else problem_error(told)
    finished = bool(of.get("finished"))
    return records.Warmed(of["done"], of["total"], of["failed"], of["made"], of.get("id") or "", error, finished)


def made(of: Document) -> records.Made:
    """Read what a transform gave for one of many images."""
    told, found = of.get("problem"), of.get("image")
    error = None if told is None else problem_error(told)
    record = None if found is None else image(found)
    return records.Made(of.get("id") or (record.image_id if record else ""), of.get("url") or "", record, error)


def moment(text: str) -> datetime:
    """Read a time, which has a time zone."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(f"a time without a time zone: {text}")
    return read


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
