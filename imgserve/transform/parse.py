"""Parse a query string: query over preset over defaults, with every mistake collected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from imgserve.errors import BadTransform, quoted, suggestion
from imgserve.transform.hints import ClientHints
from imgserve.transform.merge import ATTRIBUTES, BOUNDS, MAX_SIDE, PADS, contradictions, merge, overlay
from imgserve.transform.pairs import THEN, Pair, is_signature, split
from imgserve.transform.parameters import ACCESS_NAMES
from imgserve.transform.reading import Reading, document_of, unknown
from imgserve.transform.value import Transform

DEFAULT_PRESET = "default"
MAX_STEPS = 8
_SIZING = frozenset({"width", "height", "dpr", "rect", "zoom", *BOUNDS, "pad", *PADS, "border", "trim"})
"""Attributes by which a query requests a size."""


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
        document_of(values),
        values.get("prefix", "image"),
        notes,
        ignored,
        ATTRIBUTES.intersection(query),
        frozenset(hinted),
        depends,
    )


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


def finished(reading: Reading, values: Mapping[str, Any]) -> tuple[Transform, tuple[str, ...]]:
    """Return the transform of values and notes on what was clamped, or raise BadTransform with every mistake."""
    mistakes = [*reading.mistakes, *contradictions(values)]
    if mistakes:
        raise BadTransform([*mistakes, *(unknown(name, suggests=True) for name in reading.ignored)])
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
