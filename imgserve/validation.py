"""Sentences about pydantic models: the value that was expected, and what the docstrings of fields say."""

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ModelSchema

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


@functools.cache
def field_docs(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the docstrings of the fields of a model and its bases, by name.

    pydantic's `use_attribute_docstrings` reads the source of every model when it is declared, at each start.
    """
    docs = dict[str, str]()
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            docs |= _docs_below_fields(one.__module__).get(one.__name__, {})
    return docs


@functools.cache
def _docs_below_fields(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the docstrings below the fields of each class of a module."""
    nodes = ast.walk(ast.parse(inspect.getsource(sys.modules[module])))
    return {
        one.name: {
            field.target.id: inspect.cleandoc(text.value.value)
            for field, text in pairwise(one.body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        }
        for one in nodes
        if isinstance(one, ast.ClassDef)
    }


class DescribedSchema(GenerateJsonSchema):
    """Writes JSON schemas in which fields without a description have their docstring."""

    def model_schema(self, schema: ModelSchema) -> dict[str, Any]:
        """Return the schema of a model."""
        model: type[BaseModel] = schema["cls"]
        written, docs = super().model_schema(schema), field_docs(model)
        for name, field in written.get("properties", {}).items():
            if name in docs:
                field.setdefault("description", docs[name])
        return written
