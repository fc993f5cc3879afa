"""What files say of themselves, as text that may be kept: bounded, without control characters."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

TEXT_CHARACTERS = 2000
"""A longer text is cut: captions of agencies stay below it."""

KEYWORDS = 100
"""More are dropped; agencies write at most 50."""

_KEYWORD_CHARACTERS = 200
_LOOKED_AT = 4 * TEXT_CHARACTERS
"""Of a text, before what may not be kept is dropped."""

_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Turn the direction of all that is written behind them."""

_DROPPED = {"Cc", "Cs", "Cn", "Co"}
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Told:
    """What one block of a file tells, or all of them together."""

    title: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    copyright: str = ""
    creator: str = ""
    credit: str = ""
    taken: str = ""
    """ISO 8601; without an offset where the camera knew none."""

    def over(self, other: "Told") -> "Told":
        """Fill what this does not tell from another."""
        values = {item.name: getattr(self, item.name) or getattr(other, item.name) for item in fields(self)}
        return Told(**values)


def line(text: str) -> str:
    """Clean a text that stands in one line."""
    return " ".join(block(text).split())


def block(text: str) -> str:
    """Clean a text of several lines."""
    lines = text[:_LOOKED_AT].replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = (each for each in lines if each == "\n" or _is_kept(each))
    return "".join(kept)[:TEXT_CHARACTERS].strip()


def keywords(words: Iterable[str]) -> tuple[str, ...]:
    """Clean keywords, each once, in the order of the file."""
    found: dict[str, None] = {}
    for word in words:
        if cleaned := line(word)[:_KEYWORD_CHARACTERS].rstrip():
            found[cleaned] = None
        if len(found) == KEYWORDS:
            break
    return tuple(found)


def moment(text: str) -> str:
    """Write a time as ISO 8601; nothing where it is none, such as the zeros of a camera whose clock was never set."""
    text = line(text[:40])
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text if _ISO_DATE.fullmatch(text) else parsed.isoformat(timespec="seconds")


def decoded(data: bytes) -> str:
    """Read bytes of unknown encoding: most are UTF-8 whatever is said of them, the others Latin-1 as Windows has it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace").replace("\ufffd", "")


def _is_kept(character: str) -> bool:
    return unicodedata.category(character) not in _DROPPED and character not in _TURNING
