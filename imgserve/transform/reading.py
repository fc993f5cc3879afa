"""Names and values looked up in the field table; every mistake is collected, none is raised."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from imgserve.transform.fields import BY_NAME, Field
from imgserve.transform.query import Pair, as_text, from_base64
from imgserve.transform.values import NotBuiltError, ReadError
from imgserve.transform.wording import shown, suggestion

Values = dict[str, Any]
"""What was asked for, by attribute, as the table reads it."""

_SIGNATURE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?([kmg]i?)?b?")
MAX_SUGGESTIONS = 10
_MERGED = "auto"
_ENCODED = "64"


@dataclass(slots=True)
class Reading:
    """The values and the mistakes of one query or preset."""

    max_side: int
    strict: bool
    values: Values = field(default_factory=dict)
    signature: str | None = None
    mistakes: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    """Parameters whose first mistake is told; looking for near words a hundred times would cost too much."""

    def take(self, pairs: Iterable[Pair]) -> None:
        """Read pairs into values."""
        for pair in pairs:
            self._take(pair)
        _settle_format(self.values)

    def mistake(self, sentence: str) -> None:
        """Note a mistake once."""
        if sentence not in self.mistakes:
            self.mistakes.append(sentence)

    def _take(self, pair: Pair) -> None:
        name, encoded = _plain_name(pair.name)
        rows = BY_NAME.get(name, ())
        if not rows and not self._shared(name, pair.value):
            self._unknown(pair.name)
        if rows:
            self._read(name, rows, pair.value, encoded=encoded)

    def _shared(self, name: str, value: bytes) -> bool:
        """Read `s`: a signature by its look; a size is a limit in bytes, which nothing here obeys."""
        word = value.decode("utf-8", "replace").lower()
        if name != "s" or not (_SIGNATURE.fullmatch(word) or _SIZE.fullmatch(word)):
            return False
        if _SIGNATURE.fullmatch(word):
            if self.signature not in (None, word):
                self.mistake("s: given twice with different values")
            self.signature = word
        return True

    def _unknown(self, name: str) -> None:
        if self.strict:
            near = suggestion(name, BY_NAME) if len(self.mistakes) < MAX_SUGGESTIONS else ""
            self.mistake(f"unknown parameter {shown(name)}{near}")

    def _read(self, name: str, rows: tuple[Field, ...], value: bytes, *, encoded: bool) -> None:
        title = rows[0].name if len(rows) == 1 else name
        if title in self.unreadable:
            return
        try:
            text = as_text(from_base64(value) if encoded else value)
            row = _by_value(rows, text)
            self._store(row, _value_of(row, text))
        except ReadError as error:
            self.unreadable.add(title)
            self.mistake(f"{title}: {self._complaint(rows, value, error)}")

    def _complaint(self, rows: tuple[Field, ...], value: bytes, error: ReadError) -> str:
        received = shown(value.decode("utf-8", "backslashreplace")) if value else "nothing"
        if isinstance(error, NotBuiltError):
            return f"{received} is not available on this server"
        expects = " or ".join(row.kind.expects for row in rows).replace("{max_side}", str(self.max_side))
        return f"expected {expects}, but received {received}{error}"

    def _store(self, row: Field, value: Any) -> None:
        known = self.values.get(row.attribute, value)
        if row.name == _MERGED:
            value = known | value
        elif repr(known) != repr(value):  # 1 pixel equals 1.0 of the original, but is not the same
            self.mistake(f"{row.name}: given twice with different values")
        self.values[row.attribute] = value


def _plain_name(name: str) -> tuple[str, bool]:
    """Tell a name from its base64 form; `auto` has none."""
    plain = name.removesuffix(_ENCODED)
    encoded = plain != name and plain in BY_NAME and plain != _MERGED
    return (plain, True) if encoded else (name, False)


def _by_value(rows: tuple[Field, ...], text: str) -> Field:
    """Choose the row of a shared name by the word that it received."""
    if len(rows) == 1:
        return rows[0]
    word = text.lower()
    for row in rows:
        if word in row.kind.known:
            return row
    raise ReadError(suggestion(word, (known for row in rows for known in sorted(row.kind.known))))


def _value_of(row: Field, text: str) -> Any:
    if text:
        return row.kind.read(text)
    if row.kind.bare is None:
        raise ReadError
    return row.kind.read(row.kind.bare) if row.kind.bare else ""


def _settle_format(values: Values) -> None:
    """Fold the formats that are a way to ask for something else, within the query or preset that names them."""
    if values.get("format") == "auto":
        values["format"] = None
        values["auto"] = values.get("auto", frozenset()) | {"format"}
    if values.get("format") == "pjpg":
        values["format"] = "jpg"
        values.setdefault("progressive", True)
