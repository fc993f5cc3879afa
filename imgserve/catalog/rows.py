"""Convert records to rows and back."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Any, TypeVar

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.tables import images, tags
from imgserve.errors import BadRequest
from imgserve.model import FocalPoint, ImageRecord, Origin

MOST_BYTES = 2000
"""PostgreSQL keeps at most 2704 bytes in a row of an index."""


def stored_id(image_id: str) -> bytes | None:
    """Write an image id as bytes; None for one that can be no file name, or is too long to be recorded."""
    try:
        stored = image_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return stored if len(stored) <= MOST_BYTES else None


def recordable(image_id: str) -> bool:
    """Tell whether an image with this id can be recorded at all."""
    return stored_id(image_id) is not None


def image_id_of(stored: bytes) -> str:
    """Read a stored image id."""
    return bytes(stored).decode("utf-8", "surrogateescape")


def after_prefix(prefix: bytes) -> bytes | None:
    """Name the end of the range of ids that begin with these bytes; None where it has no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


_WORD_CHARACTERS = 100
"""A longer word is cut: PostgreSQL takes at most 2046 bytes, and nobody types more."""
_TEXT_CHARACTERS = 100_000
"""Words of one image, together: PostgreSQL takes at most a megabyte."""
_QUERY_CHARACTERS = 1000
_QUERY_WORDS = 20
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Letters that people type without their stroke, but Unicode does not take apart."""
_SINGLE = re.compile("([\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])")
"""Scripts without spaces between words: every character is a word."""


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Take texts apart into folded words, each once, in order of first appearance."""
    found = dict.fromkeys(word[:_WORD_CHARACTERS] for text in texts for word in _fold(text).split())
    return tuple(found)


def stored_words(texts: Iterable[str]) -> str:
    """Write the words of texts as they are stored: with a space between them."""
    joined = " ".join(words_of(texts))
    return joined if len(joined) <= _TEXT_CHARACTERS else joined[:_TEXT_CHARACTERS].rpartition(" ")[0]


def query_words(text: str) -> tuple[str, ...]:
    """Take apart what somebody searches for; far more than anybody types is cut."""
    return words_of([text[:_QUERY_CHARACTERS]])[:_QUERY_WORDS]


def _fold(text: str) -> str:
    if text.isascii():
        return "".join(char if char.isalnum() else " " for char in text.lower())
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LETTERS)
    kept = "".join(map(_kept, (char for char in apart if not unicodedata.combining(char))))
    return _SINGLE.sub(r" \1 ", kept)


def _kept(char: str) -> str:
    """Keep letters, digits and vowel signs; anything else parts words."""
    return char if char.isalnum() or unicodedata.category(char).startswith("M") else " "


_PLAIN = (
    "version", "format", "width", "height", "frames", "size", "alpha", "color_space", "dominant_color", "thumbhash",
    "title", "alt", "description", "who",
)  # fmt: skip
"""What is stored as it is."""
RECORD = [column for column in images.columns if column.name not in {"words", "tag_words", "pixels"}]
"""The columns that a record is read from."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNED = 1 << 63


def as_row(record: ImageRecord) -> dict[str, Any]:
    """Write a record as the values of its row.

    Raises:
        BadRequest: the image id cannot be stored.
    """
    stored = stored_id(record.image_id)
    if stored is None:
        raise BadRequest("This image id is too long or no file name; it cannot be recorded.")
    return {name: getattr(record, name) for name in _PLAIN} | {
        "id": stored,
        "sha256": bytes.fromhex(record.sha256),
        "pixels": record.width * record.height,
        "perceptual_hash": None if record.perceptual_hash is None else as_signed(record.perceptual_hash),
        "metadata": json.dumps(dict(record.metadata), sort_keys=True, allow_nan=False, separators=(",", ":")),
        "focal_x": record.focal_point.x if record.focal_point else None,
        "focal_y": record.focal_point.y if record.focal_point else None,
        "origin": record.origin.value,
        "created": microseconds(record.created),
        "changed": microseconds(record.changed),
        "words": stored_words((record.image_id, record.title, record.alt, record.description)),
        "tag_words": stored_words(record.tags),
    }


def as_record(row: Row[Any], tags: Iterable[str]) -> ImageRecord:
    """Read a record from its row and tags."""
    return ImageRecord(
        **{name: getattr(row, name) for name in _PLAIN},
        image_id=image_id_of(row.id),
        sha256=row.sha256.hex(),
        perceptual_hash=None if row.perceptual_hash is None else row.perceptual_hash % (2 * _SIGNED),
        metadata=json.loads(row.metadata),
        focal_point=None if row.focal_x is None else FocalPoint(row.focal_x, row.focal_y),
        origin=Origin(row.origin),
        created=moment(row.created),
        changed=moment(row.changed),
        tags=tuple(tags),
    )


def as_signed(number: int) -> int:
    """Write 64 bits as the signed integer that databases have for them."""
    return number - 2 * _SIGNED if number >= _SIGNED else number


def microseconds(moment: datetime) -> int:
    """Write a moment as microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(number: int) -> datetime:
    """Read a moment."""
    return _EPOCH + timedelta(microseconds=number)


T = TypeVar("T")
AT_ONCE = 5000
"""Values of one statement: SQLite takes 32,766."""


def select_records() -> Select[Any]:
    """Begin a query for whole records."""
    return select(*RECORD, images.c.pixels)


async def with_tags(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[ImageRecord]:
    """Make records of rows, in their order."""
    found = await tags_of(connection, [row.number for row in rows])
    return [as_record(row, found.get(row.number, ())) for row in rows]


async def tags_of(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Read the tags of images by the numbers of their rows."""
    found = dict[int, tuple[str, ...]]()
    for some in pieces(numbers):
        query = select(tags.c.image, tags.c.tag).where(tags.c.image.in_(some)).order_by(tags.c.image, tags.c.tag)
        rows = (await connection.execute(query)).all()
        found |= {number: tuple(row.tag for row in group) for number, group in groupby(rows, lambda row: row.image)}
    return found


def pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """Part values into lists that one statement takes."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some
