"""The words of metadata, for text search."""

import json

import sqlalchemy as sa
from alembic import op

from imgserve.catalog.tables import metadata_texts, words_of

revision = "0005"
down_revision = "0004"

_ROWS = 1000
_TEXT_CHARACTERS = 100_000


def upgrade() -> None:
    """Add the words of metadata to those of what is recorded already."""
    connection, last = op.get_bind(), -1
    query = sa.text(
        "SELECT number, words, metadata FROM images WHERE number > :last AND metadata <> '{}' ORDER BY number LIMIT :n"
    )
    while rows := connection.execute(query, {"last": last, "n": _ROWS}).all():
        change = sa.text("UPDATE images SET words = :words WHERE number = :number")
        connection.execute(change, [{"number": row.number, "words": _words(row.words, row.metadata)} for row in rows])
        last = rows[-1].number


def _words(words: str, metadata: str) -> str:
    joined = " ".join(dict.fromkeys((*words.split(), *words_of(metadata_texts(json.loads(metadata))))))
    return joined if len(joined) <= _TEXT_CHARACTERS else joined[:_TEXT_CHARACTERS].rpartition(" ")[0]
