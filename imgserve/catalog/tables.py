"""The tables of images and tags in their newest revision, and how records are stored in them."""

import importlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar, get_type_hints

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from imgserve.catalog.words import metadata_texts, stored_words, word_index
from imgserve.errors import BadRequest
from imgserve.model import Face, FocalPoint, ImageRecord, Origin

REVISION = "0014"
"""The newest migration: a current catalog is recognized without loading the migrations."""

metadata = sa.MetaData()
"""Every table is declared next to its queries; importing the package completes this."""

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is exactly INTEGER."""
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared by code points everywhere, whatever the locale of the database."""

MOST_BYTES = 2000
"""Length of a stored image id: PostgreSQL allows 2704 bytes in a row of an index."""
T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSIGNED = 1 << 64


def stored_id(image_id: str) -> bytes | None:
    """Return an image id as its column stores it, or None if it is too long or cannot be a file name."""
    try:
        stored = image_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return stored if len(stored) <= MOST_BYTES else None


def checked_id(image_id: str) -> bytes:
    """Return an image id as its column stores it; raise BadRequest if it is too long or cannot be a file name."""
    stored = stored_id(image_id)
    if stored is None:
        raise BadRequest("This image id is too long or no file name; it cannot be recorded.")
    return stored


def image_id_of(stored: bytes) -> str:
    """Return the image id of its stored bytes."""
    return bytes(stored).decode("utf-8", "surrogateescape")


def after_prefix(prefix: bytes) -> bytes | None:
    """Return the end of the range of ids that start with these bytes, or None if the range has no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(number: int) -> datetime:
    """Return the time of a number of microseconds."""
    return _EPOCH + timedelta(microseconds=number)


def insert_in(into: sa.Table, dialect: str) -> Any:
    """Return an insert in a dialect of SQL, which may say what to do about existing rows."""
    return importlib.import_module(f"sqlalchemy.dialects.{dialect}").insert(into)


def as_signed(number: int) -> int:
    """Return 64 bits as the signed integer that databases have for them."""
    return number - _UNSIGNED if number >= _UNSIGNED // 2 else number


def faces_of(text: str) -> tuple[Face, ...]:
    """Return the faces that a column stores."""
    return tuple(Face(*face) for face in json.loads(text))


@dataclass(frozen=True, slots=True)
class Storage:
    """How a column stores the values of a field: its type, and conversions to it and back."""

    type: Any
    write: Callable[[Any], Any] | None = None
    read: Callable[[Any], Any] | None = None
    column: str = ""
    """Name of the column, where it is not the name of the field."""
    key: bool = False
    """Whether it is the primary key."""
    unique: bool = False
    nullable: bool = False


_BY_TYPE = {
    str: Storage(TEXT),
    int: Storage(sa.BigInteger),
    int | None: Storage(sa.BigInteger, nullable=True),
    bool: Storage(sa.Boolean),
    bytes: Storage(sa.LargeBinary),
    datetime: Storage(sa.BigInteger, microseconds, moment),
    datetime | None: Storage(sa.BigInteger, microseconds, moment, nullable=True),
    Origin: Storage(TEXT, lambda origin: origin.value, Origin),
    tuple[str, ...]: Storage(TEXT, json.dumps, lambda text: tuple(json.loads(text))),
    tuple[Face, ...]: Storage(TEXT, lambda faces: json.dumps([astuple(face) for face in faces]), faces_of),
    # JSON in ASCII, which can be stored everywhere whatever it quotes.
    Mapping[str, Any]: Storage(
        TEXT, lambda value: json.dumps(dict(value), sort_keys=True, allow_nan=False, separators=(",", ":")), json.loads
    ),
}


class StoredRecord(Generic[T]):
    """How the records of a dataclass are stored, with a column for each field."""

    def __init__(self, kind: type[T], by_name: Mapping[str, Storage], *, elsewhere: Collection[str] = ()) -> None:
        """Store fields by name or else by type; those that are stored `elsewhere` have no column."""
        self._kind = kind
        hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in elsewhere}
        self._fields = {name: by_name.get(name) or _BY_TYPE[hint] for name, hint in hints.items()}

    def columns(self) -> list[sa.Column[Any]]:
        """Return a new column for each field."""
        return [
            sa.Column(
                one.column or name, one.type, primary_key=one.key, nullable=one.nullable, unique=one.unique or None
            )
            for name, one in self._fields.items()
        ]

    def row(self, record: T) -> dict[str, Any]:
        """Return a record as the values of its columns."""
        row = dict[str, Any]()
        for name, one in self._fields.items():
            value = getattr(record, name)
            row[one.column or name] = value if value is None or one.write is None else one.write(value)
        return row

    def record(self, row: sa.Row[Any], **more: Any) -> T:
        """Return the record of a row; `more` are the fields that are stored elsewhere."""
        for name, one in self._fields.items():
            value = getattr(row, one.column or name)
            more[name] = value if value is None or one.read is None else one.read(value)
        return self._kind(**more)


# Bytes, since an image id may not be UTF-8; they sort alike in every database.
_image_records = StoredRecord(
    ImageRecord,
    {
        "image_id": Storage(sa.LargeBinary, checked_id, image_id_of, column="id", unique=True),
        "sha256": Storage(sa.LargeBinary, bytes.fromhex, bytes.hex),
        "perceptual_hash": Storage(sa.BigInteger, as_signed, lambda number: number % _UNSIGNED, nullable=True),
    },
    elsewhere={"tags", "focal_point"},
)

images = sa.Table(
    "images",
    metadata,
    sa.Column("number", NUMBER, sa.Identity(), primary_key=True),
    *_image_records.columns(),
    sa.Column("focal_x", sa.Double),
    sa.Column("focal_y", sa.Double),
    sa.Column("pixels", sa.BigInteger, nullable=False),
    sa.Column("words", TEXT, nullable=False, server_default=""),
    sa.Column("tag_words", TEXT, nullable=False, server_default=""),
    sa.Index("images_by_created", "created", "id"),
    sa.Index("images_by_changed", "changed", "id"),
    sa.Index("images_by_size", "size", "id"),
    sa.Index("images_by_pixels", "pixels", "id"),
    sa.Index("images_by_sha256", "sha256"),
    sa.Index("images_by_perceptual_hash", "perceptual_hash"),
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("image", NUMBER, sa.ForeignKey("images.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("tag", TEXT, primary_key=True),
    sa.Column("words", TEXT, nullable=False, server_default=""),
    sa.Index("tags_by_tag", "tag", "image"),
    sqlite_with_rowid=False,
)


def create_with_images(statement: str, dialect: str | None = None) -> None:
    """Execute a statement whenever the table of images is created, of one dialect or of all."""
    created = sa.DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    sa.event.listen(images, "after_create", created)


for _dialect, _statement in word_index():
    create_with_images(_statement, _dialect)


def as_row(record: ImageRecord) -> dict[str, Any]:
    """Return a record as the values of its row; raise BadRequest if the image id cannot be stored."""
    point, texts = record.focal_point, (record.image_id, record.title, record.alt, record.description)
    return _image_records.row(record) | {
        "focal_x": point.x if point else None,
        "focal_y": point.y if point else None,
        "pixels": record.width * record.height,
        "words": stored_words((*texts, *metadata_texts(record.metadata))),
        "tag_words": stored_words(record.tags),
    }


def _as_record(row: sa.Row[Any], tags: Iterable[str]) -> ImageRecord:
    point = None if row.focal_x is None else FocalPoint(row.focal_x, row.focal_y)
    return _image_records.record(row, tags=tuple(tags), focal_point=point)


AT_ONCE = 5000
"""Values of one statement: SQLite accepts 32,766."""


def select_records() -> sa.Select[Any]:
    """Return a query for whole records, without their words."""
    return sa.select(*(column for column in images.columns if column.name not in {"words", "tag_words"}))


async def with_tags(connection: AsyncConnection, rows: Sequence[sa.Row[Any]]) -> list[ImageRecord]:
    """Return the records of rows, in their order."""
    found = defaultdict[int, list[str]](list)
    for some in pieces(row.number for row in rows):
        query = sa.select(tags.c.image, tags.c.tag).where(tags.c.image.in_(some)).order_by(tags.c.image, tags.c.tag)
        for tag in await connection.execute(query):
            found[tag.image].append(tag.tag)
    return [_as_record(row, found[row.number]) for row in rows]


def pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists that one statement accepts."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some


def stored_ids(image_ids: Iterable[str]) -> list[bytes]:
    """Return the ids that can be stored, in order, each once."""
    return sorted({stored for image_id in image_ids if (stored := stored_id(image_id)) is not None})
