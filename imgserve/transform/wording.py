"""How a caller's own words are repeated to them: short, printable, with the nearest known word."""

import difflib
from collections.abc import Iterable

SHOWN_LENGTH = 40


def shown(text: str) -> str:
    """Quote what was received: control characters escaped, at most 40 characters of it."""
    start = text[: SHOWN_LENGTH + 1]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    if len(escaped) > SHOWN_LENGTH:
        escaped = escaped[: SHOWN_LENGTH - 3] + "..."
    return f'"{escaped}"'


def suggestion(word: str, known: Iterable[str]) -> str:
    """Offer the nearest known word as the end of a sentence; nothing where none is near."""
    if len(word) > SHOWN_LENGTH:
        return ""
    nearest = difflib.get_close_matches(word.lower(), known, n=1)
    return f', did you mean "{nearest[0]}"?' if nearest else ""
