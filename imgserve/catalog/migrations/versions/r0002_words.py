"""The words of images, for text search."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from imgserve.catalog.tables import stored_words

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROWS = 1000

_FTS = """
CREATE VIRTUAL TABLE images_words USING fts5 (
    words, tag_words, content='images', content_rowid='number', tokenize='ascii', detail='none', prefix='2 3'
)
"""
"""`ascii` leaves every other character as it is: the words come folded. Without detail it keeps no positions."""

_FORGET = (
    "INSERT INTO images_words (images_words, rowid, words, tag_words) "
    "VALUES ('delete', OLD.number, OLD.words, OLD.tag_words)"
)
_LEARN = "INSERT INTO images_words (rowid, words, tag_words) VALUES (NEW.number, NEW.words, NEW.tag_words)"

_TRIGGERS = {
    "images_words_new": f"AFTER INSERT ON images BEGIN {_LEARN}; END",
    "images_words_gone": f"AFTER DELETE ON images BEGIN {_FORGET}; END",
    "images_words_changed": f"AFTER UPDATE OF words, tag_words ON images BEGIN {_FORGET}; {_LEARN}; END",
}

_INDEX = """
CREATE INDEX images_words ON images USING gin ((
    array_to_tsvector(string_to_array(words, ' '))
    || array_to_tsvector(string_to_array(rtrim(left(tag_words, 100000)), ' '))
))
"""


def upgrade() -> None:
    """Add the words, write those of what is recorded already, and index them."""
    for table in ("images", "tags"):
        op.add_column(table, sa.Column("words", _TEXT, nullable=False, server_default=""))
    op.add_column("images", sa.Column("tag_words", _TEXT, nullable=False, server_default=""))
    _fill_tags()
    _fill_images()
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_FTS)
        op.execute("INSERT INTO images_words (images_words) VALUES ('rebuild')")
        for name, rule in _TRIGGERS.items():
            op.execute(f"CREATE TRIGGER {name} {rule}")
    else:
        op.execute(_INDEX)


def _fill_tags() -> None:
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT DISTINCT tag FROM tags")).scalars().all()
    if found:
        values = [{"tag": tag, "words": stored_words([tag])} for tag in found]
        connection.execute(sa.text("UPDATE tags SET words = :words WHERE tag = :tag"), values)


def _fill_images() -> None:
    connection, last = op.get_bind(), -1
    query = sa.text(
        "SELECT number, id, title, alt, description FROM images WHERE number > :last ORDER BY number LIMIT :n"
    )
    while rows := connection.execute(query, {"last": last, "n": _ROWS}).all():
        change = sa.text("UPDATE images SET words = :words WHERE number = :number")
        connection.execute(change, [_words(row) for row in rows])
        last = rows[-1].number
    aggregate = "group_concat" if connection.dialect.name == "sqlite" else "string_agg"
    joined = f"SELECT {aggregate}(words, ' ') FROM tags WHERE image = number AND words <> ''"  # noqa: S608  our constants
    connection.execute(sa.text(f"UPDATE images SET tag_words = coalesce(({joined}), '')"))  # noqa: S608  our constants


def _words(row: sa.Row[Any]) -> dict[str, object]:
    texts = (row.id.decode("utf-8", "surrogateescape"), row.title, row.alt, row.description)
    return {"number": row.number, "words": stored_words(texts)}
