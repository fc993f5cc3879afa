"""From a query to what is asked for: query over preset over defaults, every mistake told at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from imgserve.errors import BadTransform
from imgserve.transform.fold import contradictions, fold, overlaid
from imgserve.transform.query import Pair, split
from imgserve.transform.reading import Reading
from imgserve.transform.value import Transform
from imgserve.transform.wording import shown, suggestion

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
class Asked:
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
) -> Asked:
    """Read a query; raises BadTransform with every mistake in it.

    `strict` makes an unknown name a mistake. `default` is applied where nothing that changes a pixel is asked for.
    """
    reading = Reading(max_side, strict)
    reading.take(split(raw))
    query = reading.values
    name, preset = _preset_of(reading, query.pop("preset", None), path_preset, presets)
    values = overlaid(query, preset)
    if default is not None and values.keys() <= _WITHOUT_PIXELS:
        name = name or DEFAULT_PRESET
        values = {**default.values, **{key: value for key, value in values.items() if key == "download"}}
    transform, notes = _finished(reading, values)
    given = frozenset(values) - {"download"}
    return Asked(transform, given, values.get("download"), name, reading.signature, notes)


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
    return fold(values, reading.max_side)


def _preset_of(
    reading: Reading, asked: str | None, path_preset: str | None, presets: Mapping[str, Preset]
) -> tuple[str | None, Mapping[str, Any]]:
    """Find the preset that the query or the path names, in any case."""
    if asked and path_preset and asked.lower() != path_preset.lower():
        reading.mistake(f"preset: the path names {shown(path_preset)}, but the query names {shown(asked)}")
    name = asked or path_preset
    if name is None:
        return None, {}
    for known, preset in presets.items():
        if known.lower() == name.lower():
            return known, preset.values
    reading.mistake(f"preset: there is none called {shown(name)}{suggestion(name, presets)}")
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
