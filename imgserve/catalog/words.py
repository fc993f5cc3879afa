"""The words of images, for text search: how they are found in texts, and their index."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

WORD_INDEX = "images_words"
"""In SQLite a virtual table of FTS5, which triggers keep; in PostgreSQL an index."""

fts = sa.table(WORD_INDEX, sa.column("rowid", sa.Integer))

VECTOR_SQL = (
    "(array_to_tsvector(string_to_array(words, ' '))"
    " || array_to_tsvector(string_to_array(rtrim(left(tag_words, 100000)), ' ')))"
)
"""The indexed expression, which a query has to repeat to the letter; the limits keep it below a megabyte."""

vector: sa.ColumnClause[Any] = sa.literal_column(VECTOR_SQL)

_COLUMNS = "words, tag_words"
_FTS = f"""
CREATE VIRTUAL TABLE {WORD_INDEX} USING fts5 (
    {_COLUMNS}, content='images', content_rowid='number', tokenize='ascii', detail='none', prefix='2 3'
)
"""
"""`ascii` leaves every other character as it is: the words come folded. Without detail it keeps no positions."""
_REMOVE = (
    f"INSERT INTO {WORD_INDEX} ({WORD_INDEX}, rowid, {_COLUMNS})"  # noqa: S608  our constants
    " VALUES ('delete', OLD.number, OLD.words, OLD.tag_words)"
)
_ADD = f"INSERT INTO {WORD_INDEX} (rowid, {_COLUMNS}) VALUES (NEW.number, NEW.words, NEW.tag_words)"  # noqa: S608
_TRIGGERS = {
    "new": f"AFTER INSERT ON images BEGIN {_ADD}; END",
    "gone": f"AFTER DELETE ON images BEGIN {_REMOVE}; END",
    "changed": f"AFTER UPDATE OF {_COLUMNS} ON images BEGIN {_REMOVE}; {_ADD}; END",
}

_WORD_CHARACTERS = 100
"""A longer word is cut: PostgreSQL accepts at most 2046 bytes."""
_TEXT_CHARACTERS = 100_000
"""All words of one image: PostgreSQL accepts at most a megabyte."""
_QUERY_CHARACTERS = 1000
_QUERY_WORDS = 20
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
"""Letters that people type without their stroke, but Unicode does not decompose."""
_SINGLE = re.compile("([\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])")
"""Scripts without spaces between words: every character is a word."""


def word_index() -> Iterator[tuple[str, str]]:
    """Yield the statements that create the index, each with its dialect."""
    yield "sqlite", _FTS
    for name, rule in _TRIGGERS.items():
        yield "sqlite", f"CREATE TRIGGER {WORD_INDEX}_{name} {rule}"
    yield "postgresql", f"CREATE INDEX {WORD_INDEX} ON images USING gin ({VECTOR_SQL})"


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the folded words of texts, each once, in order of first appearance."""
    found = dict.fromkeys(word[:_WORD_CHARACTERS] for text in texts for word in _fold(text).split())
    return tuple(found)


def stored_words(texts: Iterable[str]) -> str:
    """Return the words of texts as they are stored: with a space between them."""
    joined = " ".join(words_of(texts))
    return joined if len(joined) <= _TEXT_CHARACTERS else joined[:_TEXT_CHARACTERS].rpartition(" ")[0]


def query_words(text: str) -> tuple[str, ...]:
    """Return the words of a search; an absurdly long search is cut."""
    return words_of([text[:_QUERY_CHARACTERS]])[:_QUERY_WORDS]


def _fold(text: str) -> str:
    if text.isascii():
        return "".join(char if char.isalnum() else " " for char in text.lower())
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LETTERS)
    kept = "".join(map(_kept, (char for char in apart if not unicodedata.combining(char))))
    return _SINGLE.sub(r" \1 ", kept)


def _kept(char: str) -> str:
    """Return a letter, digit or vowel sign, or a space for anything else."""
    return char if char.isalnum() or unicodedata.category(char).startswith("M") else " "


def metadata_texts(value: object) -> Iterator[str]:
    """Yield the texts and numbers of JSON, at any depth, without the names of members."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from metadata_texts(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
