"""The presets of the settings: named parameters, checked by the rules of the URL language."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from imgserve.config.values import NAME, mistake, stated
from imgserve.errors import BadTransform
from imgserve.transform import parse_preset

Presets = Mapping[str, str | Mapping[str, Any]]
"""By name in lower case: parameters and values, or a query."""

DEFAULT = "default"
"""The preset of a request without parameters."""
SHIPPED: Presets = {DEFAULT: {"width": 2048, "height": 2048, "fit": "max"}}
PRESETS_SCHEMA = {
    "type": "object",
    "propertyNames": {"pattern": f"^(?i:{NAME.pattern})$"},
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "object"}]},
}


def read_presets(value: object, max_side: int) -> Presets:
    """Check every preset and add the shipped default where none is given; every mistake is raised at once."""
    if not isinstance(value, Mapping):
        raise mistake("presets by name")
    errors = list(_mistakes(value, max_side))
    if errors:
        raise ValidationError.from_exception_data("presets", errors)
    given = {str(name).lower(): _copy(preset) for name, preset in value.items()}
    return {**SHIPPED, **given}


def _copy(preset: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    return preset if isinstance(preset, str) else dict(preset)


def _mistakes(presets: Mapping[Any, Any], max_side: int) -> Iterator[InitErrorDetails]:
    seen: set[str] = set()
    for name, preset in presets.items():
        key = str(name).lower()
        if not NAME.fullmatch(key):
            yield _at((name,), stated("a preset's name is letters, digits, - and _, not - or _ first"))
        elif key in seen:
            yield _at((name,), stated("a preset of this name is already given, in other case"))
        elif not isinstance(preset, str | Mapping):
            yield _at((name,), mistake("parameters and their values, or a query such as width=400&fit=crop"), preset)
        else:
            yield from _preset_mistakes(name, preset, max_side)
        seen.add(key)


def _preset_mistakes(name: str, preset: str | Mapping[str, Any], max_side: int) -> Iterator[InitErrorDetails]:
    """Find what one parameter has wrong first, then what several contradict each other in."""
    single = {} if isinstance(preset, str) else preset
    found = [
        _at((name, parameter), stated(sentence.removeprefix(f"{str(parameter).lower()}: ")))
        for parameter, value in single.items()
        for sentence in _sentences({str(parameter): value}, max_side)
    ]
    yield from found or [_at((name,), stated(sentence)) for sentence in _sentences(preset, max_side)]


def _sentences(preset: str | Mapping[str, Any], max_side: int) -> list[str]:
    try:
        parse_preset(preset, max_side=max_side)
    except BadTransform as error:
        return cast("list[str]", error.members["mistakes"])
    return []


def _at(loc: tuple[str, ...], error: PydanticCustomError, received: object = None) -> InitErrorDetails:
    return {"type": error, "loc": loc, "input": received}
