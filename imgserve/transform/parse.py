"""Parse a query string into an `ParsedQuery`: query over preset over defaults, with every mistake collected."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes

from imgserve.errors import BadTransform, quoted, suggestion
from imgserve.transform.kinds import NotBuiltError, ReadError
from imgserve.transform.merge import contradictions, merge, overlay
from imgserve.transform.parameters import BY_NAME, Parameter
from imgserve.transform.value import Transform

MAX_BYTES = 8192
MAX_PAIRS = 100
_BASE64 = re.compile(rb"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Pair:
    """One name with its value, percent-decoded."""

    name: str
    value: bytes


def _decode(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def _value_pair(part: bytes) -> Pair:
    name, _, value = part.partition(b"=")
    return Pair(_decode(name).decode("utf-8", "backslashreplace").lower(), _decode(value))


def split(raw: bytes | str) -> list[Pair]:
    """Split a query as `application/x-www-form-urlencoded`; refuses one that is too long to be meant."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > MAX_BYTES:
        raise BadTransform([f"query: expected at most {MAX_BYTES} bytes, but received {len(data)}"])
    parts = [part for part in data.split(b"&") if part]
    if len(parts) > MAX_PAIRS:
        raise BadTransform([f"query: expected at most {MAX_PAIRS} parameters, but received {len(parts)}"])
    return [_value_pair(part) for part in parts]


def as_text(value: bytes) -> str:
    """Read a value as UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ReadError(", which is not UTF-8") from None


def from_base64(value: bytes) -> bytes:
    """Read unpadded URL-safe base64."""
    digits = value.rstrip(b"=")
    if not _BASE64.fullmatch(digits):
        raise ReadError(", which is not URL-safe base64")
    try:
        return base64.urlsafe_b64decode(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:
        raise ReadError(", which is not URL-safe base64") from None


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
        _merge_format(self.values)

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
            self.mistake(f"unknown parameter {quoted(name)}{near}")

    def _read(self, name: str, rows: tuple[Parameter, ...], value: bytes, *, encoded: bool) -> None:
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

    def _complaint(self, rows: tuple[Parameter, ...], value: bytes, error: ReadError) -> str:
        received = quoted(value.decode("utf-8", "backslashreplace")) if value else "nothing"
        if isinstance(error, NotBuiltError):
            return f"{received} is not available on this server"
        expects = " or ".join(row.kind.expects for row in rows).replace("{max_side}", str(self.max_side))
        return f"expected {expects}, but received {received}{error}"

    def _store(self, row: Parameter, value: Any) -> None:
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


def _by_value(rows: tuple[Parameter, ...], text: str) -> Parameter:
    """Choose the row of a shared name by the word that it received."""
    if len(rows) == 1:
        return rows[0]
    word = text.lower()
    for row in rows:
        if word in row.kind.known:
            return row
    raise ReadError(suggestion(word, (known for row in rows for known in sorted(row.kind.known))))


def _value_of(row: Parameter, text: str) -> Any:
    if text:
        return row.kind.read(text)
    if row.kind.bare is None:
        raise ReadError
    return row.kind.read(row.kind.bare) if row.kind.bare else ""


def _merge_format(values: Values) -> None:
    """Fold the formats that are a way to ask for something else, within the query or preset that names them."""
    if values.get("format") == "auto":
        values["format"] = None
        values["auto"] = values.get("auto", frozenset()) | {"format"}
    if values.get("format") == "pjpg":
        values["format"] = "jpg"
        values.setdefault("progressive", True)


MAX_SIDE = 8192
DEFAULT_PRESET = "default"
_WITHOUT_PIXELS = frozenset({"download", "dpr"})
"""What changes no pixel alone: dpr only multiplies sides."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Parameters kept under a name, read once."""

    values: Mapping[str, Any]
    """By attribute."""


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """What a URL asks for."""

    transform: Transform
    given: frozenset[str] = frozenset()
    """Attributes that the query or its preset named, even if with a default."""
    download: str | None = None
    """File name to save as; empty: the original's own."""
    preset: str | None = None
    signature: str | None = None
    notes: tuple[str, ...] = ()
    """What was clamped, for `X-Image-Adjusted`."""


NO_PRESETS: Mapping[str, Preset] = MappingProxyType({})


def parse_query(
    raw: bytes | str,
    *,
    strict: bool = False,
    presets: Mapping[str, Preset] = NO_PRESETS,
    path_preset: str | None = None,
    default: Preset | None = None,
    max_side: int = MAX_SIDE,
) -> ParsedQuery:
    """Read a query; raises BadTransform with every mistake in it.

    `strict` makes an unknown name a mistake. `default` is applied where nothing that changes a pixel is asked for.
    """
    reading = Reading(max_side, strict)
    reading.take(split(raw))
    query = reading.values
    name, preset = _preset_of(reading, query.pop("preset", None), path_preset, presets)
    values = overlay(query, preset)
    if default is not None and values.keys() <= _WITHOUT_PIXELS:
        name = name or DEFAULT_PRESET
        values = {**default.values, **{key: value for key, value in values.items() if key == "download"}}
    transform, notes = _finished(reading, values)
    given = frozenset(values) - {"download"}
    return ParsedQuery(transform, given, values.get("download"), name, reading.signature, notes)


def parse_preset(source: Mapping[str, object] | str, *, max_side: int = MAX_SIDE) -> Preset:
    """Read a preset, written as parameters and values or as a query; an unknown name is a mistake."""
    reading = Reading(max_side, strict=True)
    reading.take(split(source) if isinstance(source, str) else [_pair(*item) for item in source.items()])
    if reading.values.pop("preset", None) is not None:
        reading.mistake("preset: a preset cannot name another")
    _finished(reading, reading.values)
    return Preset(MappingProxyType(reading.values))


def _finished(reading: Reading, values: Mapping[str, Any]) -> tuple[Transform, tuple[str, ...]]:
    mistakes = [*reading.mistakes, *contradictions(values)]
    if mistakes:
        raise BadTransform(mistakes)
    return merge(values, reading.max_side)


def _preset_of(
    reading: Reading, asked: str | None, path_preset: str | None, presets: Mapping[str, Preset]
) -> tuple[str | None, Mapping[str, Any]]:
    """Find the preset that the query or the path names, in any case."""
    if asked and path_preset and asked.lower() != path_preset.lower():
        reading.mistake(f"preset: the path names {quoted(path_preset)}, but the query names {quoted(asked)}")
    name = asked or path_preset
    if name is None:
        return None, {}
    for known, preset in presets.items():
        if known.lower() == name.lower():
            return known, preset.values
    reading.mistake(f"preset: there is none called {quoted(name)}{suggestion(name, presets)}")
    return None, {}


def _pair(name: str, value: object) -> Pair:
    """Write a value of a config file as a query would."""
    return Pair(name.lower(), _plain(value).encode("utf-8", "surrogatepass"))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_plain(item) for item in value)
    return "" if value is None else str(value)
