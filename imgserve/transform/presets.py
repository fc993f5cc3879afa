"""Presets: parameters stored under a name, which build on each other, have aliases and may be locked."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlencode

from imgserve.errors import BadTransform, quoted, suggestion
from imgserve.transform.merge import ATTRIBUTES, MAX_SIDE, contradictions, overlay
from imgserve.transform.pairs import split
from imgserve.transform.parameters import BY_NAME
from imgserve.transform.parse import NO_PRESETS, Preset, finished, plain
from imgserve.transform.reading import Reading

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
"""The name of a preset, in lower case."""
NAME_RULE = "a preset's name consists of at most 100 letters, digits, - and _, and starts with a letter or digit"
OPTIONS = ("extends", "aliases", "locked", "missing")
"""What a preset says besides parameters."""
LOOKS: Mapping[str, str] = {
    "vintage": "sepia=45&contrast=-12&brightness=6&highlights=-20",
    "noir": "grayscale=1&contrast=45&shadows=-25",
    "silver": "grayscale=1&contrast=12&highlights=15&gamma=8",
    "warm": "sepia=18&vibrance=20&brightness=3",
    "fade": "contrast=-24&brightness=8&saturation=-20&shadows=25",
    "vivid": "vibrance=35&saturation=8&contrast=10",
    "dramatic": "contrast=28&highlights=-25&shadows=-10&vibrance=15&sharpen=25",
    "soft": "contrast=-12&highlights=-15&brightness=5&vibrance=10&blur=6",
    "midnight": "duotone=0b1026,cfd8ff&contrast=15",
    "sunset": "duotone=2b0f3a,ffd9a0&contrast=10",
}
"""Built-in presets that change only tones: filters."""
BUILT_IN: Mapping[str, str | Mapping[str, Any]] = {"default": {"width": 2048, "height": 2048, "fit": "max"}, **LOOKS}
_TOGETHER = {"width": "dpr", "height": "dpr", "auto": "format", "format": "auto"}
"""A lock of one of these would mean little without the other."""


def parse_preset(
    source: Mapping[str, object] | str,
    *,
    max_side: int = MAX_SIDE,
    origin: Literal["built-in", "settings", "catalog"] = "settings",
) -> Preset:
    """Return a preset written as names and values or as a query, before it is linked to the one that it extends.

    Raises BadTransform as a strict `parse_query` does.
    """
    text = source if isinstance(source, str) else preset_text(source)
    pairs = split(text)
    reading = Reading(max_side, strict=True)
    reading.add(pair for pair in pairs if pair.name not in OPTIONS)
    given = dict[str, str]()
    for pair in pairs:
        option = pair.value.decode("utf-8", "backslashreplace")
        option = option if pair.name == "missing" else option.lower()
        if pair.name in OPTIONS and given.setdefault(pair.name, option) != option:
            reading.mistake(f"{pair.name}: given twice with different values")
    extends = _extends(reading, given.get("extends", ""))
    aliases = tuple(_words(given.get("aliases", "")))
    for alias in aliases:
        if not NAME.fullmatch(alias):
            reading.mistake(f"aliases: {NAME_RULE}, but received {quoted(alias)}")
    locked = _locked(reading, given["locked"]) if "locked" in given else frozenset()
    reading.reject_documents(reading.values)
    finished(reading, reading.values)
    return Preset(
        MappingProxyType(reading.values), locked, extends, aliases, given.get("missing", ""), origin=origin, source=text
    )


def preset_text(source: Mapping[str, object]) -> str:
    """Return names and values of a preset as a query."""
    return urlencode({str(name): plain(value) for name, value in source.items()}, safe=",:", errors="surrogatepass")


def _words(text: str) -> Iterable[str]:
    return (word.strip() for word in text.split(",") if word.strip())


def _extends(reading: Reading, named: str) -> str:
    """Return the preset that another builds on, which `preset` names too."""
    inside = str(reading.values.pop("preset", named)).lower()
    if named and inside != named:
        reading.mistake(f"extends: names {quoted(named)}, but preset names {quoted(inside)}")
    return inside


def _locked(reading: Reading, text: str) -> frozenset[str]:
    """Return the attributes that no query may change."""
    if text in {"", "1", "true"}:
        return ATTRIBUTES
    found = set[str]()
    for word in _words("" if text in {"0", "false"} else text):
        if word not in BY_NAME:
            near = suggestion(word, BY_NAME)
            reading.mistake(f"locked: expected names of parameters, but received {quoted(word)}{near}")
        found |= {row.attribute for row in BY_NAME.get(word, ())}
    return frozenset(found | {_TOGETHER[name] for name in found & _TOGETHER.keys()})


def link_presets(
    own: Mapping[str, Preset], below: Mapping[str, Preset] = NO_PRESETS
) -> tuple[dict[str, Preset], dict[str, str]]:
    """Return presets over others, by name and alias and with what they inherit; and by name why others are left out."""
    named, mistakes, taken = dict[str, Preset](), dict[str, str](), dict[str, str]()
    for name, preset in own.items():
        try:
            named[name] = _inherited((name,), own, below)
        except BadTransform as error:
            mistakes[name] = error.mistakes[0]
        for alias in preset.aliases:
            if alias in own or taken.setdefault(alias, name) != name:
                mistakes[name] = f"aliases: {quoted(alias)} is a name or an alias of another preset"
    good = {name: preset for name, preset in named.items() if name not in mistakes}
    return {**below, **{alias: named for named in good.values() for alias in named.aliases}, **good}, mistakes


def _inherited(path: tuple[str, ...], own: Mapping[str, Preset], below: Mapping[str, Preset]) -> Preset:
    """Return the preset at the end of a path of presets, each of which extends the next; raise BadTransform."""
    preset = own[path[-1]]
    if not preset.extends:
        return replace(preset, name=path[-1])
    names = (*path, preset.extends)
    if preset.extends in path:
        raise BadTransform([f"extends: {' extends '.join(names)}, which is a loop"])
    if preset.extends in own:
        base = _inherited(names, own, below)
    elif preset.extends in below:
        base = below[preset.extends]
    else:
        near = suggestion(preset.extends, (*own, *below))
        raise BadTransform([f"extends: there is no preset {quoted(preset.extends)}{near}"])
    values = overlay(preset.values, base.values)
    if wrong := contradictions(values):
        raise BadTransform(wrong)
    locked, missing = preset.locked | base.locked, preset.missing or base.missing
    return replace(preset, name=path[-1], values=MappingProxyType(values), locked=locked, missing=missing)


BUILT_IN_PRESETS = MappingProxyType(
    link_presets({name: parse_preset(source, origin="built-in") for name, source in BUILT_IN.items()})[0]
)
