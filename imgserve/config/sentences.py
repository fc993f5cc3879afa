"""A validation error as one sentence for the person who wrote the setting. Nothing about where it stands."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from imgserve.config.table import Setting
from imgserve.transform.wording import shown

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a folder",
    "tuple": "a list",
    "model": "settings below it",
    "dict": "settings below it",
}
"""By the first word of pydantic's error types."""
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def sentence(error: ErrorDetails, setting: Setting | None) -> str:
    """Say what was expected and what was received."""
    context = error.get("ctx", {})
    if error["type"] == "stated":
        return str(context["sentence"])
    return f"expected {_expected(error, context, setting)}, but received {_received(error['input'], setting)}"


def _expected(error: ErrorDetails, context: Mapping[str, Any], setting: Setting | None) -> str:
    kind = error["type"]
    if kind == "expected":
        return str(context["expected"])
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{words} {_number(context[bound], setting)}"
    return _EXPECTED.get(kind.partition("_")[0], error["msg"])


def _number(value: Any, setting: Setting | None) -> str:
    return setting.write(value) if setting else str(value)


def _received(value: object, setting: Setting | None) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"the list {shown(', '.join(map(str, value)))}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number(value, setting)
    return shown(str(value))
