"""The tables of the catalog as they are now. How they became so is told in `migrations`; no queries here."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnClause,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    column,
    literal_column,
    table,
)

REVISION = "0003"
"""The newest migration. Told here so that a current catalog is recognized without loading the migrations."""

metadata = MetaData()

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is exactly INTEGER."""
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points everywhere, whatever the locale of the database."""

images = Table(
    "images",
    metadata,
    Column("number", _NUMBER, Identity(), primary_key=True),
    # Bytes, since an image id may hold what is not UTF-8; they sort and begin alike in every database.
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("version", _TEXT, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("format", _TEXT, nullable=False),
    Column("width", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("pixels", BigInteger, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("alpha", Boolean, nullable=False),
    Column("color_space", _TEXT, nullable=False),
    Column("perceptual_hash", BigInteger),
    Column("dominant_color", _TEXT, nullable=False),
    Column("thumbhash", LargeBinary, nullable=False),
    Column("title", _TEXT, nullable=False),
    Column("alt", _TEXT, nullable=False),
    Column("description", _TEXT, nullable=False),
    # JSON written with ASCII alone, so that what it quotes can be stored everywhere.
    Column("metadata", _TEXT, nullable=False),
    Column("focal_x", Double),
    Column("focal_y", Double),
    Column("origin", _TEXT, nullable=False),
    Column("who", _TEXT, nullable=False),
    # Microseconds since 1970.
    Column("created", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("words", _TEXT, nullable=False, server_default=""),
    Column("tag_words", _TEXT, nullable=False, server_default=""),
    Index("images_by_created", "created", "id"),
    Index("images_by_changed", "changed", "id"),
    Index("images_by_size", "size", "id"),
    Index("images_by_pixels", "pixels", "id"),
    Index("images_by_sha256", "sha256"),
    Index("images_by_perceptual_hash", "perceptual_hash"),
)

tags = Table(
    "tags",
    metadata,
    Column("image", _NUMBER, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True),
    Column("tag", _TEXT, primary_key=True),
    Column("words", _TEXT, nullable=False, server_default=""),
    Index("tags_by_tag", "tag", "image"),
    sqlite_with_rowid=False,
)

problems = Table(
    "problems",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("version", _TEXT, nullable=False),
    Column("code", _TEXT, nullable=False),
    Column("detail", _TEXT, nullable=False),
    Column("since", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

notices = Table(
    "notices",
    metadata,
    Column("number", _NUMBER, Identity(), primary_key=True),
    Column("kind", _TEXT, nullable=False),
    Column("id", LargeBinary, nullable=False),
    Column("published", BigInteger, nullable=False),
    Index("notices_by_published", "published"),
    # Otherwise SQLite would begin again with low numbers once all rows are pruned.
    sqlite_autoincrement=True,
)

answers = Table(
    "answers",
    metadata,
    # A digest of the key, which may be of any length.
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", _TEXT, nullable=False),
    Column("started", BigInteger, nullable=False),
    # None while it is being answered.
    Column("status", BigInteger),
    Column("headers", _TEXT, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("answers_by_started", "started"),
    sqlite_with_rowid=False,
)

WORD_INDEX = "images_words"
"""In SQLite a virtual table of FTS5, which triggers keep; in PostgreSQL an index."""

fts = table(WORD_INDEX, column("rowid", Integer))

VECTOR_SQL = (
    "(array_to_tsvector(string_to_array(words, ' '))"
    " || array_to_tsvector(string_to_array(rtrim(left(tag_words, 100000)), ' ')))"
)
"""The indexed expression, which a query has to repeat to the letter; the limits keep it below a megabyte."""

vector: ColumnClause[Any] = literal_column(VECTOR_SQL)
