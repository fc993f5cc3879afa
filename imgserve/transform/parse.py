"""Parse a query string: query over preset over defaults, with every mistake collected."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from imgserve.errors import BadTransform, quoted, suggestion
from imgserve.transform.hints import ClientHints
from imgserve.transform.kinds import DECIMALS, ReadError
from imgserve.transform.parameters import (
    ACCESS_NAMES,
    BY_NAME,
    DOCUMENTS,
    LENGTHS,
    MARK,
    MAX_BLUR,
    MAX_COLORS,
    MAX_DPR,
    MAX_PIXELATE,
    MAX_QUALITY,
    TEXT,
    Parameter,
)
from imgserve.transform.value import NO_PAD, Four, Transform

MAX_BYTES = 8192
MAX_PAIRS = 100
MAX_SUGGESTIONS = 10
MAX_SIDE = 8192
DEFAULT_PRESET = "default"
THEN = b"then"
"""Separates the steps of a chain in a query."""
MAX_STEPS = 8
_BOUNDS = ("min_width", "max_width", "min_height", "max_height")
_PADS = ("pad_top", "pad_right", "pad_bottom", "pad_left")
_SIZING = frozenset({"width", "height", "dpr", "rect", "zoom", *_BOUNDS, "pad", *_PADS, "border", "trim"})
"""Attributes by which a query requests a size."""
_MIN_LIKENESS = 0.75
"""Of a misspelled name; most unrelated names (`utm_source`, `version`) have less."""
_PLAIN_NAME = re.compile(r"[a-z0-9_-]{2,40}")
_BASE64 = re.compile(rb"[A-Za-z0-9_-]*")
_SEPARATOR = re.compile(r"(?:^|(?<=&))then=?(?=&|$)", re.IGNORECASE)
_SIZE = re.compile(rb"[0-9]+(\.[0-9]+)?([kmg]i?)?b?", re.IGNORECASE)
_SIGNATURE = re.compile(rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}")
ATTRIBUTES = frozenset(item.name for item in fields(Transform))
"""The attributes that change pixels, unlike the name of a download."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Parameters stored under a name."""

    values: Mapping[str, Any]
    """By attribute."""
    locked: frozenset[str] = frozenset()
    """The attributes that no query may change."""
    extends: str = ""
    """The preset whose values this one inherits; empty for none."""
    aliases: tuple[str, ...] = ()
    """Other names of it."""
    missing: str = ""
    """Id of the image that stands for one that does not exist; empty for none."""
    name: str = ""
    origin: Literal["built-in", "settings", "catalog"] = "settings"
    """Where it is written."""
    source: str = ""
    """As it is written, as a query."""

    def check_locks(self, values: Mapping[str, Any]) -> list[str]:
        """Return the mistakes of a query that changes what is locked."""
        changed = (name for name in values.keys() & self.locked if values[name] != self.values.get(name))
        return [f"{name.replace('_', '-')}: locked by the preset {quoted(self.name)}" for name in sorted(changed)]


_NO_PRESET = Preset({})


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """The meaning of a query."""

    transform: Transform
    given: frozenset[str] = frozenset()
    """Attributes of the transform named by the query or its preset, even with a default value."""
    download: str | None = None
    """File name to save as; empty: the original's own."""
    preset: str | None = None
    document: str = ""
    """The document about the picture that is requested instead of it."""
    prefix: str = "image"
    """Start of the class names in a palette."""
    notes: tuple[str, ...] = ()
    """What was clamped, for `X-Image-Adjusted`."""
    ignored: tuple[str, ...] = ()
    """Unknown names that are close to a known one, with the nearest match, for `X-Image-Ignored`."""
    named: frozenset[str] = frozenset()
    """Attributes of the transform named by the query itself, not by its preset."""
    hinted: frozenset[str] = frozenset()
    """Attributes that client hints set."""
    hints: frozenset[str] = frozenset()
    """The client hints on which this depends, whatever the client sent."""
    earlier: tuple["ParsedQuery", ...] = ()
    """The steps before this one, which is the last of a chain."""

    @property
    def presets(self) -> tuple[str, ...]:
        """The presets of all steps."""
        return tuple(dict.fromkeys(step.preset for step in (*self.earlier, self) if step.preset))

    @property
    def sized(self) -> bool:
        """Whether the query itself or the client, not only a preset, decides the size."""
        return not (self.named | self.hinted).isdisjoint(_SIZING)


NO_PRESETS: Mapping[str, Preset] = MappingProxyType({})
NO_VALUES: Mapping[str, Any] = MappingProxyType({})


def parse_query(
    raw: bytes | str,
    *,
    strict: bool = False,
    presets: Mapping[str, Preset] = NO_PRESETS,
    path_preset: str | None = None,
    default: Preset | None = None,
    max_side: int = MAX_SIDE,
    documents: bool = False,
    hints: ClientHints | None = None,
    forced: Mapping[str, Any] = NO_VALUES,
) -> ParsedQuery:
    """Return the meaning of a query, or raise BadTransform with every mistake.

    `strict` makes an unknown name a mistake. `default` applies if the query names nothing that changes a pixel.
    `documents` says that a document about the picture is acceptable. The preset of the path is of the first step.
    `hints` are below all that the query and its preset say, and decide nothing in a chain. `forced` values replace
    those of the last step and of its preset.
    """
    first, *later = _steps([pair for pair in split(raw) if not _is_without_meaning(pair)])
    parse = partial(_parse_step, strict=strict, presets=presets, max_side=max_side)
    if not later:
        return parse(first, path_preset=path_preset, default=default, documents=documents, hints=hints, forced=forced)
    steps, mistakes = list[ParsedQuery](), list[str]()
    for number, step in enumerate((first, *later), 1):
        path, last = path_preset if number == 1 else None, number == len(later) + 1
        try:
            one = parse(step, path_preset=path, documents=documents and last, forced=forced if last else NO_VALUES)
            if not (step or path):
                raise BadTransform(["expected parameters before and after then"])  # noqa: TRY301  as those of a reader
            if one.preset and presets[one.preset].locked:
                raise BadTransform([f"preset: {quoted(one.preset)} is locked, and no step of several"])  # noqa: TRY301
            steps.append(one)
        except BadTransform as error:
            mistakes += [f"step {number}: {mistake}" for mistake in error.mistakes]
    if mistakes:
        raise BadTransform(mistakes)
    notes = tuple(f"step {number}: {note}" for number, step in enumerate(steps, 1) for note in step.notes)
    ignored = tuple(dict.fromkeys(word for step in steps for word in step.ignored))
    return replace(steps[-1], earlier=tuple(steps[:-1]), notes=notes, ignored=ignored)


def split_chain(query: str) -> list[str]:
    """Return the steps of a chain as queries, or the query itself."""
    return [step.strip("&") for step in _SEPARATOR.split(query)]


def _steps(pairs: list["Pair"]) -> list[list["Pair"]]:
    """Return the pairs of each step; raise BadTransform for too many."""
    steps = [list["Pair"]()]
    for pair in pairs:
        if pair.name != THEN.decode():
            steps[-1].append(pair)
        elif pair.value:
            raise BadTransform(["then: expected no value; it separates the steps of a chain"])
        else:
            steps.append([])
    if len(steps) > MAX_STEPS:
        raise BadTransform([f"then: expected at most {MAX_STEPS} steps, but received {len(steps)}"])
    return steps


def _parse_step(
    pairs: list["Pair"],
    *,
    strict: bool,
    presets: Mapping[str, Preset],
    max_side: int,
    path_preset: str | None,
    default: Preset | None = None,
    documents: bool = False,
    hints: ClientHints | None = None,
    forced: Mapping[str, Any] = NO_VALUES,
) -> ParsedQuery:
    """Return the meaning of one step, or raise BadTransform with every mistake."""
    reading = Reading(max_side, strict)
    reading.add(pairs)
    query = reading.values
    preset = _preset_of(reading, query.pop("preset", None), path_preset, presets)
    name, values = preset.name or None, overlay(query, preset.values)
    reading.mistakes += preset.check_locks(query)
    hinted, depends = hints.beside(values, preset.locked) if hints else ({}, frozenset[str]())
    # dpr alone changes no pixel: it only multiplies sides.
    if default is not None and (values.keys() & ATTRIBUTES) <= {"dpr"}:
        name = name or DEFAULT_PRESET
        values = {**default.values, **{key: value for key, value in values.items() if key not in ATTRIBUTES}}
    values |= hinted
    if not documents:
        reading.reject_documents(values)
    transform, notes = finished(reading, {**values, **forced})
    ignored = tuple(f"{word} ({near})" for word, near in reading.ignored.items())
    return ParsedQuery(
        transform,
        ATTRIBUTES.intersection(values),
        values.get("download"),
        name,
        _document(values),
        values.get("prefix", "image"),
        notes,
        ignored,
        ATTRIBUTES.intersection(query),
        frozenset(hinted),
        depends,
    )


def _document(values: Mapping[str, Any]) -> str:
    """Return the name of the document that values ask for; empty for the picture."""
    if values.get("explain"):
        return "explain"
    return f"palette={values['palette']}" if values.get("palette") else values.get("document", "")


@dataclass(frozen=True, slots=True)
class Pair:
    """One name with its value, percent-decoded."""

    name: str
    value: bytes


def split(raw: bytes | str) -> list[Pair]:
    """Return the pairs of an `application/x-www-form-urlencoded` query; raise BadTransform if it is too long."""
    return [read_pair(part) for part in split_parts(raw)]


def split_parts(raw: bytes | str) -> list[bytes]:
    """Return the pairs of a query as they are written; raise BadTransform if it is too long."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > MAX_BYTES:
        raise BadTransform([f"query: expected at most {MAX_BYTES} bytes, but received {len(data)}"])
    parts = [part for part in data.split(b"&") if part]
    if len(parts) > MAX_PAIRS:
        raise BadTransform([f"query: expected at most {MAX_PAIRS} parameters, but received {len(parts)}"])
    return parts


def decoded(part: bytes) -> tuple[bytes, bytes]:
    """Return name and value of one part of a query, percent-decoded."""
    name, _, value = part.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value)


def read_pair(part: bytes) -> Pair:
    """Return one part of a query as a pair."""
    name, value = decoded(part)
    return Pair(name.decode("utf-8", "backslashreplace").lower(), value)


def is_signature(pair: Pair) -> bool:
    """Return whether a pair is a signature, valid or not; the form of its value decides for `s`."""
    return pair.name == "signature" or (pair.name == "s" and _SIGNATURE.fullmatch(pair.value) is not None)


def _is_without_meaning(pair: Pair) -> bool:
    """Return whether a known pair says nothing about the picture."""
    return pair.name in ACCESS_NAMES or is_signature(pair)


def plain(value: object) -> str:
    """Return a value of a settings file or of JSON as a query has it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(plain(item) for item in value)
    return "" if value is None else str(value)


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
        if document := _document(values):
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
            self.mistake(_unknown(name, suggests=len(self.mistakes) < MAX_SUGGESTIONS))
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


@lru_cache(1024)
def nearest_name(name: str) -> str:
    """Return the known parameter that a misspelled name may mean, with a question mark; else an empty text."""
    if not _PLAIN_NAME.fullmatch(name):
        return ""
    found = get_close_matches(name, (*BY_NAME, *ACCESS_NAMES), n=1, cutoff=_MIN_LIKENESS)
    return f"{found[0]}?" if found else ""


def _unknown(name: str, *, suggests: bool) -> str:
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


def finished(reading: Reading, values: Mapping[str, Any]) -> tuple[Transform, tuple[str, ...]]:
    """Return the transform of values and notes on what was clamped, or raise BadTransform with every mistake."""
    mistakes = [*reading.mistakes, *contradictions(values)]
    if mistakes:
        raise BadTransform([*mistakes, *(_unknown(name, suggests=True) for name in reading.ignored)])
    return merge(values, reading.max_side)


def _preset_of(reading: Reading, named: str | None, path_preset: str | None, presets: Mapping[str, Preset]) -> Preset:
    """Return the preset in the query or the path, in any case; an empty one if there is none."""
    if named and path_preset and named.lower() != path_preset.lower():
        reading.mistake(f"preset: the path names {quoted(path_preset)}, but the query names {quoted(named)}")
    name = named or path_preset
    if name is None:
        return _NO_PRESET
    preset = presets.get(name.lower())
    if preset is None:
        reading.mistake(f"preset: there is none called {quoted(name)}{suggestion(name, presets)}")
        return _NO_PRESET
    return preset if preset.name else replace(preset, name=name.lower())


def overlay(values: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return values over a preset or defaults; a named format ends the choice by Accept made below."""
    merged = {**below, **values}
    if values.get("format") and "auto" in below and "auto" not in values:
        merged["auto"] = below["auto"] - {"format", "best"}
    return merged


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Return the mistakes in values that are valid alone but not together."""
    mistakes = []
    for side in ("width", "height"):
        least, most = values.get(f"min_{side}"), values.get(f"max_{side}")
        if least and most and least > most:
            mistakes.append(f'min-{side}: expected at most max-{side}, {most}, but received "{least}"')
    quality, name = values.get("quality"), values.get("format")
    if quality is not None and quality > MAX_QUALITY and name not in (None, "gif"):
        mistakes.append(f'quality: expected an integer 1..{MAX_QUALITY} for {name}, but received "{quality}"')
    return mistakes


def merge(values: Mapping[str, Any], max_side: int) -> tuple[Transform, tuple[str, ...]]:
    """Return the transform of values by attribute, and notes on what was clamped."""
    merged = {name: value for name, value in values.items() if name in ATTRIBUTES}
    quality = merged.get("quality")
    if merged.get("format") == "png8":
        merged |= {"format": "png", "colors": merged.get("colors", MAX_COLORS)}
    elif merged.get("format") == "gif" and quality:
        merged |= {"quality": None, "colors": merged.get("colors", max(2, quality))}
    trimmed = merged.pop("trim_color", None)
    if merged.get("trim") == "color" and trimmed:
        merged["trim"] = trimmed
    merged["pad"] = tuple(merged.pop(name, side) for name, side in zip(_PADS, merged.get("pad", NO_PAD), strict=True))
    transform, notes = _merge_sides(Transform(**merged), max_side)
    return _lengths_capped(transform, max_side, notes)


def _rounded(value: Fraction) -> int:
    """Return a value rounded half up, at least 1."""
    return max(1, int(value + Fraction(1, 2)))


def _merge_sides(transform: Transform, max_side: int) -> tuple[Transform, tuple[str, ...]]:
    """Return a transform with sides in pixels multiplied by dpr and zoom and limited to the cap, and notes.

    What is a fraction of an original is multiplied when its size is known.
    """
    sides = {"width": transform.width, "height": transform.height}
    pixels = {name: side for name, side in sides.items() if isinstance(side, int)}
    bounds = {name: bound for name in _BOUNDS if (bound := getattr(transform, name)) is not None}
    fractions = any(isinstance(side, float) for side in sides.values())
    if not (pixels or fractions or bounds):
        return replace(transform, dpr=1.0), ()
    notes = [f"dpr lowered to {MAX_DPR}"] if transform.dpr > MAX_DPR else []
    dpr = min(transform.dpr, float(MAX_DPR))
    if not fractions and (pixels or transform.zoom == 1):
        factor = Fraction(str(dpr)) * Fraction(str(transform.zoom))
        pixels = {name: _rounded(side * factor) for name, side in pixels.items()}
        transform, dpr = replace(_scaled(transform, dpr), zoom=1.0), 1.0
    capped = _capped(pixels, transform.aspect, max_side)
    if capped != pixels:
        lowered = " and ".join(f"{name} to {side}" for name, side in capped.items())
        notes.append(f"size lowered: {lowered}, since no side may be above {max_side}")
    return replace(
        transform, width=capped.get("width", transform.width), height=capped.get("height", transform.height), dpr=dpr
    ), tuple(notes)


def _scaled(transform: Transform, dpr: float) -> Transform:
    """Return a transform whose bounds, surroundings and effects have the same extent on the page at another density."""
    factor = Fraction(str(dpr))
    return replace(
        at_density(_lengths(transform, lambda length: length and _rounded(length * factor)), dpr),
        pixelate=transform.pixelate and min(MAX_PIXELATE, _rounded(transform.pixelate * factor)),
        blur=min(float(MAX_BLUR), round(transform.blur * dpr, DECIMALS)),
    )


def at_density(transform: Transform, dpr: float) -> Transform:
    """Return a transform whose text and mark have the same extent on the page at another density."""
    factor, lengths = Fraction(str(dpr)), dict[str, Any]()
    without = (*(() if transform.text else TEXT), *(() if transform.mark else MARK))
    for row in LENGTHS:
        value = getattr(transform, row.attribute)
        if value and isinstance(value, int) and row.attribute not in without:
            most = int(row.kind.range[1]) if row.kind.range else value
            lengths[row.attribute] = min(most, _rounded(value * factor))
    return replace(transform, **lengths)


def _lengths(transform: Transform, change: Callable[[int], int]) -> Transform:
    """Return a transform with other lengths in pixels, except width and height."""

    def four(value: Four) -> Four:
        return change(value[0]), change(value[1]), change(value[2]), change(value[3])

    bounds = {name: change(getattr(transform, name) or 0) or None for name in _BOUNDS}
    border, radius = transform.border, transform.corner_radius
    return replace(
        transform,
        pad=four(transform.pad),
        border=border and (change(border[0]), border[1]),
        corner_radius=radius and four(radius),
        **bounds,  # type: ignore[arg-type]  # of these four fields
    )


def _lengths_capped(transform: Transform, max_side: int, notes: tuple[str, ...]) -> tuple[Transform, tuple[str, ...]]:
    capped = _lengths(transform, lambda length: min(length, max_side))
    if capped != transform:
        notes = (*notes, f"pixels lowered to {max_side}, the most of bounds, pad, border and corner-radius")
    return capped, notes


def _capped(pixels: Mapping[str, int], aspect: tuple[int, int] | None, max_side: int) -> dict[str, int]:
    """Return the sides in proportion, the longer at most the cap, including a side added by a ratio."""
    longest = max(pixels.values(), default=0)
    capped = dict(pixels)
    if longest > max_side:
        capped = {name: _rounded(Fraction(side * max_side, longest)) for name, side in pixels.items()}
    if aspect and len(capped) == 1:
        [(name, side)] = capped.items()
        own, other = aspect if name == "width" else reversed(aspect)
        # Rounded down: the other side must not come out above the cap again.
        capped = {name: max(1, min(side, max_side * own // other))}
    return capped
