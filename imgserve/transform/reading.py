"""Read the pairs of a query or preset into values, and collect every mistake."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from imgserve.errors import quoted, suggestion
from imgserve.transform.kinds import ReadError
from imgserve.transform.pairs import Pair, is_signature
from imgserve.transform.parameters import ACCESS_NAMES, BY_NAME, DOCUMENTS, Parameter

MAX_SUGGESTIONS = 10
_MIN_LIKENESS = 0.75
"""Of a misspelled name; most unrelated names (`utm_source`, `version`) have less."""
_PLAIN_NAME = re.compile(r"[a-z0-9_-]{2,40}")
_BASE64 = re.compile(rb"[A-Za-z0-9_-]*")
_SIZE = re.compile(rb"[0-9]+(\.[0-9]+)?([kmg]i?)?b?", re.IGNORECASE)


@dataclass(slots=True)
class Reading:
    """The values and the mistakes of one query or preset."""

    max_side: int
    strict: bool
    values: dict[str, Any] = field(default_factory=dict)
    """By attribute."""
    mistakes: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    """Misspelled names, with what they may mean."""
    unreadable: set[str] = field(default_factory=set)
    """Parameters with a mistake. Only their first one is reported, since a hundred suggestions would cost too much."""

    def add(self, pairs: Iterable[Pair]) -> None:
        """Read pairs into values."""
        for pair in pairs:
            self._add(pair)
        # Some formats stand for other parameters, within the query or preset that names them.
        if self.values.get("format") == "auto":
            self.values["format"] = None
            self.values["auto"] = self.values.get("auto", frozenset()) | {"format"}
        if self.values.get("format") == "pjpg":
            self.values["format"] = "jpg"
            self.values.setdefault("progressive", True)
        if self.values.get("format") in DOCUMENTS:
            self.values["document"] = self.values.pop("format")

    def reject_documents(self, values: Mapping[str, Any]) -> None:
        """Add a mistake if values name a document where only a picture is possible."""
        if document := document_of(values):
            self.mistake(f"format: expected a picture, but {document} is a document about one")

    def mistake(self, sentence: str) -> None:
        """Add a mistake once."""
        if sentence not in self.mistakes:
            self.mistakes.append(sentence)

    def _add(self, pair: Pair) -> None:
        plain = pair.name.removesuffix("64")
        encoded = plain != pair.name and plain in BY_NAME and plain != "auto"  # `auto` has no base64 form
        name = plain if encoded else pair.name
        other = name == "s" and (is_signature(pair) or not _SIZE.fullmatch(pair.value))
        if not other and (rows := BY_NAME.get(name, ())):
            self._read(name, rows, pair.value, encoded=encoded)
        elif self.strict:
            self.mistake(unknown(name, suggests=len(self.mistakes) < MAX_SUGGESTIONS))
        elif len(self.ignored) < MAX_SUGGESTIONS and nearest_name(name):
            self.ignored.setdefault(name, nearest_name(name))

    def _read(self, name: str, rows: tuple[Parameter, ...], value: bytes, *, encoded: bool) -> None:
        title = rows[0].name if len(rows) == 1 else name
        if title in self.unreadable:
            return
        try:
            text = (_from_base64(value) if encoded else value).decode()
            row = _by_value(rows, text)
            if not text and row.kind.bare is None:
                raise ReadError  # noqa: TRY301  a mistake like that of a reader
            self._store(row, row.kind.read(text or row.kind.bare or ""))
        except (ReadError, UnicodeDecodeError) as error:
            self.unreadable.add(title)
            received = quoted(value.decode("utf-8", "backslashreplace")) if value else "nothing"
            expects = " or ".join(row.kind.expects for row in rows).replace("{max_side}", str(self.max_side))
            hint = error if isinstance(error, ReadError) else ", which is not UTF-8"
            self.mistake(f"{title}: expected {expects}, but received {received}{hint}")

    def _store(self, row: Parameter, value: Any) -> None:
        known = self.values.get(row.attribute, value)
        if row.name == "auto":
            value = known | value
        elif repr(known) != repr(value):  # 1 pixel equals 1.0 of the original, but is not the same
            self.mistake(f"{row.name}: given twice with different values")
        self.values[row.attribute] = value


def document_of(values: Mapping[str, Any]) -> str:
    """Return the name of the document that values ask for; empty for the picture."""
    if values.get("explain"):
        return "explain"
    return f"palette={values['palette']}" if values.get("palette") else values.get("document", "")


@lru_cache(1024)
def nearest_name(name: str) -> str:
    """Return the known parameter that a misspelled name may mean, with a question mark; else an empty text."""
    if not _PLAIN_NAME.fullmatch(name):
        return ""
    found = get_close_matches(name, (*BY_NAME, *ACCESS_NAMES), n=1, cutoff=_MIN_LIKENESS)
    return f"{found[0]}?" if found else ""


def unknown(name: str, *, suggests: bool) -> str:
    """Return the mistake of an unknown name, with the nearest known one if it `suggests`."""
    suggests = suggests and name not in {*ACCESS_NAMES, "s"}
    end = suggestion(name, (*BY_NAME, *ACCESS_NAMES)) if suggests else ""
    return f"unknown parameter {quoted(name)}{end}"


def _from_base64(value: bytes) -> bytes:
    """Return the bytes of unpadded URL-safe base64."""
    digits = value.rstrip(b"=")
    if not _BASE64.fullmatch(digits):
        raise ReadError(", which is not URL-safe base64")
    try:
        return base64.urlsafe_b64decode(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:
        raise ReadError(", which is not URL-safe base64") from None


def _by_value(rows: tuple[Parameter, ...], text: str) -> Parameter:
    """Return the parameter of a shared name that knows the received word."""
    if len(rows) == 1:
        return rows[0]
    word = text.lower()
    for row in rows:
        if word in row.kind.known:
            return row
    raise ReadError(suggestion(word, (known for row in rows for known in sorted(row.kind.known))))
