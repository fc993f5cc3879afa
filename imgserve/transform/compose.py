"""From parameters to the one query that says the same, as short as it can be: parsing the other way round."""

import math
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from imgserve.errors import BadTransform
from imgserve.transform.canonical import canonical
from imgserve.transform.kinds import DECIMALS, write_length
from imgserve.transform.merge import contradictions, merge, overlay
from imgserve.transform.parameters import BY_NAME, PARAMETERS
from imgserve.transform.parse import MAX_SIDE, NO_PRESETS, Pair, Reading, split
from imgserve.transform.value import Transform

_NO_CAP = 10**9
"""Beyond the cap of any server: how a size is lowered to its own is left to it, and to what it says about that."""
_SIGNED = "s"
"""Read as a signature or passed over by the server; asked for by nobody."""
_TEXTS = ("download", "preset")
_WITHOUT_EFFECT_ALONE = frozenset({"dpr", *_TEXTS})
_ROWS = sorted(PARAMETERS, key=lambda row: row.name)
_PLAIN_IN_QUERY = ",:"
_NOTHING: Mapping[str, Any] = NO_PRESETS


def read_parameters(source: Mapping[str, Any] | str, below: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
    """Read parameters into values by attribute, laid over others; an unknown name is a mistake.

    Args:
        source: names (`_` stands for `-`) and values as Python has them, where None takes away what is below;
            or a query.
        below: values read before, which these go before.

    Raises:
        BadTransform: with every mistake.
    """
    reading = Reading(MAX_SIDE, strict=True)
    pairs = split(source) if isinstance(source, str) else _pairs(source)
    reading.take(pairs)
    for pair in pairs:
        if pair.name == _SIGNED:
            reading.mistake('unknown parameter "s"')
    removed = frozenset[str]() if isinstance(source, str) else _removed(source)
    values = overlay(reading.values, {name: value for name, value in below.items() if name not in removed})
    if mistakes := [*reading.mistakes, *contradictions(values)]:
        raise BadTransform(mistakes)
    return values


def transform_of(values: Mapping[str, Any]) -> Transform:
    """Tell the transform that values ask for, before a server lowers it to its cap."""
    return merge(values, _NO_CAP)[0]


def compose(values: Mapping[str, Any], *, over_preset: bool = False) -> str:
    """Write values as a query: long names, sorted; defaults left out where nothing is below them.

    `over_preset` says that the path names one: then, as with one among the values, a default is an answer to it.

    Raises:
        BadTransform: it is longer than a server reads.
    """
    texts = [f"{name}={quote(values[name], safe='')}" for name in _TEXTS if values.get(name) is not None]
    stated = _stated(values) if over_preset or "preset" in values else _shortest(values)
    text = "&".join(sorted([*stated, *texts], key=lambda part: part.partition("=")[0]))
    split(text)
    return text


def _shortest(values: Mapping[str, Any]) -> list[str]:
    text = canonical(transform_of(values))
    if text:
        return text.split("&")
    # All of it is default; but with nothing left, the server would apply its default preset.
    return [] if values.keys() <= _WITHOUT_EFFECT_ALONE else _stated(values)


def _stated(values: Mapping[str, Any]) -> list[str]:
    """Write every value, as nothing is known of what lies below."""
    stated = {name: value for name, value in values.items() if name not in _TEXTS}
    auto = stated.pop("auto", frozenset())
    if "format" in stated and stated["format"] is None:
        del stated["format"]
    pairs = [(row.name, row.kind.write(stated[row.attribute])) for row in _ROWS if row.attribute in stated]
    if "format" in auto and "format" in values and values["format"] is None:
        # Said by `format`, it also ends a format that the preset names.
        pairs.append(("format", "auto"))
        auto -= {"format"}
    if auto:
        pairs.append(("auto", ",".join(sorted(auto))))
    return [f"{name}={quote(text, safe=_PLAIN_IN_QUERY)}" for name, text in pairs]


def _name(keyword: str) -> str:
    return keyword.replace("_", "-").lower()


def _removed(parameters: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        row.attribute for name, value in parameters.items() if value is None for row in BY_NAME.get(_name(name), ())
    )


def _pairs(parameters: Mapping[str, Any]) -> list[Pair]:
    """Write each value as a query would; an absent one only where its name is a mistake to be told."""
    texts = {name: _text(_name(name), value) for name, value in parameters.items()}
    return [
        Pair(_name(name), (text or "").encode("utf-8", "surrogatepass"))
        for name, text in texts.items()
        if text is not None or _name(name) not in BY_NAME
    ]


def _text(name: str, value: object) -> str | None:
    """Write a value of Python as text, if need be one that reading refuses; None where nothing is asked."""
    rows = BY_NAME.get(name, ())
    bare = rows[0].kind.bare if rows else None
    if isinstance(value, bool):
        # A bare name, as in `download`, says yes; where it says so with a text, no is not to ask.
        no = None if bare == "" else "0"
        return ("1" if bare is None else bare) if value else no
    if isinstance(value, int | float) and math.isfinite(value):
        return write_length(round(value, DECIMALS))
    if isinstance(value, str) or not isinstance(value, Collection):
        return None if value is None else str(value)
    items = [round(item, DECIMALS) if isinstance(item, float) else item for item in value]
    try:
        return str(rows[0].kind.write(items))
    except (AttributeError, IndexError, TypeError, ValueError):
        return ",".join(map(str, items))
