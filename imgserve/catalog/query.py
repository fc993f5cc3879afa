"""Queries of the catalog, their results and their cursors."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar

from imgserve.catalog.tables import stored_id
from imgserve.errors import BadCursor
from imgserve.model import Doc, ImageRecord, Origin

MOST = 1000
"""Records of one page."""
R = TypeVar("R")
T = TypeVar("T")


class Sort(StrEnum):
    """The order of a list; equal records are ordered by image id."""

    CREATED = "created"
    CHANGED = "changed"
    ID = "id"
    BYTES = "bytes"
    PIXELS = "pixels"


Operator = Literal["starts", "words", "has all", "in", "==", ">=", "<=", "<"]


@dataclass(frozen=True, slots=True)
class Filter(Doc):
    """Describes a filter: which images it selects, and by which column."""

    operator: Operator = "=="
    column: str = ""
    """Column of the images; empty where the operator knows it."""


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Selects the images that match all of these filters; an empty filter selects every image.

    This is the declaration of the filters: the conditions in SQL and the parameters of the API follow from it.
    """

    prefix: Annotated[
        str, Filter("The image id starts with this text; no character is a wildcard.", operator="starts", column="id")
    ] = ""
    text: Annotated[
        str,
        Filter(
            "Each of these words starts a word of title, alt, description, tags, metadata or image id; "
            "case and accents are ignored.",
            operator="words",
            name="q",
        ),
    ] = ""
    tags: Annotated[tuple[str, ...], Filter("The image has all of these tags.", operator="has all", name="tag")] = ()
    formats: Annotated[
        tuple[str, ...], Filter("The original has one of these formats.", operator="in", column="format", name="format")
    ] = ()
    origin: Annotated[Origin | None, Filter("How the image arrived.", column="origin")] = None
    min_bytes: Annotated[
        int | None, Filter("The original has at least this many bytes.", operator=">=", column="size")
    ] = None
    max_bytes: Annotated[
        int | None, Filter("The original has at most this many bytes.", operator="<=", column="size")
    ] = None
    min_width: Annotated[
        int | None, Filter("The upright image is at least this wide.", operator=">=", column="width")
    ] = None
    max_width: Annotated[
        int | None, Filter("The upright image is at most this wide.", operator="<=", column="width")
    ] = None
    min_height: Annotated[
        int | None, Filter("The upright image is at least this high.", operator=">=", column="height")
    ] = None
    max_height: Annotated[
        int | None, Filter("The upright image is at most this high.", operator="<=", column="height")
    ] = None
    created_from: Annotated[
        datetime | None, Filter("The image was first recorded at this time or later.", operator=">=", column="created")
    ] = None
    created_before: Annotated[
        datetime | None, Filter("The image was first recorded before this time.", operator="<", column="created")
    ] = None
    changed_from: Annotated[
        datetime | None, Filter("The record last changed at this time or later.", operator=">=", column="changed")
    ] = None
    changed_before: Annotated[
        datetime | None, Filter("The record last changed before this time.", operator="<", column="changed")
    ] = None


class Page(NamedTuple, Generic[T]):
    """A page of a list."""

    items: tuple[T, ...]
    cursor: str | None
    """Start of the next page; None after the last."""


def page_of(rows: Sequence[R], limit: int, read: Callable[[R], T], cursor: Callable[[R], str]) -> Page[T]:
    """Return the first `limit` of these rows as a page; another one is the first of the next page.

    `cursor` returns the start of a page that follows a row.
    """
    following = cursor(rows[limit - 1]) if len(rows) > limit else None
    return Page(tuple(map(read, rows[:limit])), following)


@dataclass(frozen=True, slots=True)
class Similar:
    """An image that looks like another."""

    record: ImageRecord
    distance: int
    """Bits of 64 in which their perceptual hashes differ."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over images."""

    images: Annotated[int, Doc("The number of images.")]
    size: Annotated[int, Doc("The total size of their originals.", name="bytes")]


_CHARACTERS = 20_000
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """The record of a sorted list that precedes a page."""

    value: int
    """Value of the column that the list is sorted by; 0 if that is the image id."""
    id: bytes


def write_cursor(sort: Sort, descending: bool, value: int, image_id: str) -> str:
    """Return the cursor of a place in a sorted list."""
    return _pack([sort.value, int(descending), value, image_id])


def read_cursor(text: str, sort: Sort, descending: bool) -> Place:
    """Return the place of a cursor; raise BadCursor if it is not valid, or belongs to a list in another order."""
    match _unpack(text):
        case [str(given), (0 | 1) as direction, int(value), str(image_id)]:
            pass
        case _:
            raise BadCursor("The cursor does not hold a place in a list of images.")
    if (given, direction) != (sort.value, int(descending)):
        raise BadCursor("The cursor belongs to a list in another order; keep the order, or begin without a cursor.")
    stored = stored_id(image_id)
    if stored is None or abs(value) > _LARGEST:
        raise BadCursor("The cursor names a place that no list of images has.")
    return Place(value, stored)


def write_digest(sha256: str) -> str:
    """Return the cursor of a place in the list of duplicates."""
    return _pack([sha256])


def read_digest(text: str) -> bytes:
    """Return the digest of a cursor in the list of duplicates; raise BadCursor if it is not valid."""
    match _unpack(text):
        case [str(digits)] if len(digits) == 64 and not set(digits) - set("0123456789abcdef"):  # noqa: PLR2004  SHA-256
            return bytes.fromhex(digits)
        case _:
            raise BadCursor("The cursor does not hold a place in a list of duplicates.")


def write_id(image_id: str) -> str:
    """Return the cursor of a place in a list in the order of ids."""
    return _pack([image_id])


def read_id(text: str) -> bytes:
    """Return the id of a cursor in a list in the order of ids; raise BadCursor if it is not valid."""
    match _unpack(text):
        case [str(image_id)] if (stored := stored_id(image_id)) is not None:
            return stored
        case _:
            raise BadCursor("The cursor does not hold a place in this list.")


def read_number(text: str) -> int:
    """Return the number of a cursor in a list in the order of numbers; raise BadCursor if it is not valid."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):  # noqa: PLR2004  a 64-bit number
        raise BadCursor
    return int(text)


def _pack(values: list[str | int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def _unpack(text: str) -> object:
    if len(text) > _CHARACTERS:
        raise BadCursor("The cursor is longer than any of this server.")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadCursor("The cursor is not URL-safe base64; it may have been cut or changed on its way.") from error
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadCursor("The cursor was cut or changed on its way.") from error
