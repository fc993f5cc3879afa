"""Describe what pydantic rejects in a sentence: the expected value."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "model": "an object",
    "dict": "an object",
    "is": "an object",
    "none": "null",
    "path": "a folder",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
}
"""By the first word of pydantic's error types."""
_BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "too_long": ("max_length", "a list of at most {}"),
    "too_short": ("min_length", "a list of at least {}"),
    "string_too_long": ("max_length", "text of at most {} characters"),
    "string_too_short": ("min_length", "text of at least {} characters"),
}


def expected(description: str) -> PydanticCustomError:
    """Return a validator's error that describes the expected value."""
    return PydanticCustomError("expected", "{description}", {"description": description})


def stated(sentence: str) -> PydanticCustomError:
    """Return a validator's error with its whole sentence."""
    return PydanticCustomError("stated", "{sentence}", {"sentence": sentence})


def _number(bound: float | str) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def expectation(
    error: ErrorDetails, *, instead: Mapping[str, str] | None = None, write: Callable[[Any], str] = _number
) -> str:
    """Return the value that was expected; `write` writes bounds, and `instead` has other words for some types."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "expected":
        return str(context["description"])
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    if kind == "literal_error":
        literals = str(context["expected"])
        return {"True": "true", "False": "false"}.get(literals, literals.replace("'", ""))
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return words.format(write(context[bound]))
    return (_EXPECTED | dict(instead or {})).get(kind.partition("_")[0], error["msg"])
