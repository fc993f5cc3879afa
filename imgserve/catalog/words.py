"""What text search compares: words without case and accents, the same for every database. No SQL here.

The databases get words that are already taken apart and folded, and are told to do neither themselves. So a search
finds the same on all of them.
"""

import re
import unicodedata
from collections.abc import Iterable

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
