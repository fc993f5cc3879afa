"""Write parameters as the shortest query that means the same."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from imgserve.errors import BadTransform
from imgserve.transform.kinds import DECIMALS, write_length
from imgserve.transform.merge import ATTRIBUTES, MAX_SIDE, contradictions, merge, overlay
from imgserve.transform.normalize import canonical
from imgserve.transform.pairs import Pair, split, split_chain
from imgserve.transform.parameters import BY_NAME, PARAMETERS
from imgserve.transform.parse import MAX_STEPS, NO_PRESETS
from imgserve.transform.reading import Reading
from imgserve.transform.value import Transform

_NO_CAP = 10**9
"""Above the cap of any server, which lowers sizes itself and reports it."""
_ROWS = sorted(PARAMETERS, key=lambda row: row.name)
_OTHERS = [row for row in _ROWS if row.attribute not in ATTRIBUTES]
_PLAIN_IN_QUERY = ",:"


def read_parameters(source: Mapping[str, Any] | str, below: Mapping[str, Any] = NO_PRESETS) -> dict[str, Any]:
    """Return values by attribute from parameters laid over others; an unknown name is a mistake.

    Args:
        source: names (`_` stands for `-`) and Python values, where None removes a value below; or a query.
        below: values returned before, which these override.

    Raises BadTransform with every mistake.
    """
    reading = Reading(MAX_SIDE, strict=True)
    named = [] if isinstance(source, str) else [(key.replace("_", "-").lower(), source[key]) for key in source]
    reading.add(split(source) if isinstance(source, str) else _pairs(named))
    removed = {row.attribute for name, value in named if value is None for row in BY_NAME.get(name, ())}
    values = overlay(reading.values, {name: value for name, value in below.items() if name not in removed})
    if mistakes := [*reading.mistakes, *contradictions(values)]:
        raise BadTransform(mistakes)
    return values


def transform_of(values: Mapping[str, Any]) -> Transform:
    """Return the transform of values, before a server lowers it to its cap."""
    return merge(values, _NO_CAP)[0]


def compose(values: Mapping[str, Any], *, over_preset: bool = False) -> str:
    """Return values as a query: long names, sorted, without defaults unless they override a preset.

    `over_preset` says that the path names a preset. A query longer than a server accepts raises BadTransform.
    """
    texts = [
        f"{row.name}={quote(row.kind.write(values[row.attribute]), safe='')}"
        for row in _OTHERS
        if values.get(row.attribute) is not None
    ]
    shortest = "" if over_preset or "preset" in values else canonical(transform_of(values))
    if shortest:
        stated = shortest.split("&")
    # All values may be defaults, but for an empty query the server would apply its default preset.
    elif over_preset or "preset" in values or not (values.keys() & ATTRIBUTES) <= {"dpr"}:
        stated = _stated(values)
    else:
        stated = []
    if document := values.get("document"):
        stated = [*(pair for pair in stated if not pair.startswith("format=")), f"format={document}"]
    text = "&".join(sorted([*stated, *texts], key=lambda part: part.partition("=")[0]))
    split(text)
    return text


def compose_chain(query: str) -> list[str]:
    """Return each step of a query as the shortest query; raise BadTransform with every mistake."""
    steps = split_chain(query)
    if len(steps) > 1 and not (len(steps) <= MAX_STEPS and all(steps)):
        raise BadTransform([f"then: expected parameters before and after it, and at most {MAX_STEPS} steps"])
    return [compose(read_parameters(step)) or step for step in steps]


def _stated(values: Mapping[str, Any]) -> list[str]:
    """Return every value, since the values below are unknown."""
    stated = {name: value for name, value in values.items() if name in ATTRIBUTES}
    auto = stated.pop("auto", frozenset())
    if "format" in stated and stated["format"] is None:
        del stated["format"]
    pairs = [(row.name, row.kind.write(stated[row.attribute])) for row in _ROWS if row.attribute in stated]
    if "format" in auto and "format" in values and values["format"] is None:
        # As a `format`, it also ends a format that the preset names.
        pairs.append(("format", "auto"))
        auto -= {"format"}
    if auto:
        pairs.append(("auto", ",".join(sorted(auto))))
    return [f"{name}={quote(text, safe=_PLAIN_IN_QUERY)}" for name, text in pairs]


def _pairs(named: Iterable[tuple[str, Any]]) -> list[Pair]:
    """Return each value as a query has it; a None only if its name is a mistake."""
    return [
        Pair(name, (text or "").encode("utf-8", "surrogatepass"))
        for name, text in ((name, _text(name, value)) for name, value in named)
        if text is not None or name not in BY_NAME
    ]


def _text(name: str, value: object) -> str | None:
    """Return a Python value as text, which may be one that parsing refuses; None for no value."""
    rows = BY_NAME.get(name, ())
    bare = rows[0].kind.bare if rows else None
    if isinstance(value, bool):
        # A bare name, as in `download`, means True. A parameter of texts has no value for False.
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
