"""What is wrong with a query or a body, as sentences: all of it at once. Knows no endpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from imgserve.errors import BadRequest, quoted, suggestion

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
_MOST = 100
"""Mistakes that are told of."""


def expected(what: str) -> PydanticCustomError:
    """Make the error of a validator that says what was expected instead of the value."""
    return PydanticCustomError("expected", "{what}", {"what": what})


def stated(sentence: str) -> PydanticCustomError:
    """Make the error of a validator that says all that is to say."""
    return PydanticCustomError("stated", "{sentence}", {"sentence": sentence})


def bad_request(mistakes: Iterable[str]) -> BadRequest:
    """Make the error that tells of mistakes."""
    told = list(mistakes)[:_MOST]
    return BadRequest("; ".join(told), members={"mistakes": told})


def sentences(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Say what was wrong with each value: where it stands, what was expected and what came."""
    return [_sentence(one, model) for one in error.errors(include_url=False)]


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    place = ".".join(map(str, error["loc"]))
    start = f"{place}: " if place else ""
    if kind == "stated":
        return start + str(context["sentence"])
    if kind == "missing":
        return f"{start}is missing"
    if kind == "extra_forbidden":
        known = model.model_fields if len(error["loc"]) == 1 else ()
        return f"{start}there is no such name here{suggestion(str(error['loc'][-1]), known)}"
    return f"{start}expected {_expected(error, context)}, but received {_received(error['input'])}"


def _expected(error: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "expected":
        return str(context["what"])
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    if kind == "literal_error":
        return _words(context["expected"])
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        number = context[bound]
        return words.format(f"{number:g}" if isinstance(number, float) else number)
    return _EXPECTED.get(kind.partition("_")[0], error["msg"])


def _words(literals: str) -> str:
    """Write choices as JSON has them."""
    return {"True": "true", "False": "false"}.get(literals, literals.replace("'", ""))


def _received(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, (Mapping, BaseModel)):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(str(value)) if isinstance(value, str) else str(value)[:40]
