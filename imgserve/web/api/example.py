"""Makes up an example of a JSON Schema from the examples, defaults and types in it."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

_BY_FORMAT = {"date-time": "2026-01-31T12:00:00Z", "binary": "..."}
_BY_TYPE: Mapping[str, Any] = {"string": "text", "integer": 1, "number": 0.5, "boolean": False, "null": None}


def example_of(document: Document, schema: Document) -> Any:
    """Give a value that the schema allows; of a list one entry."""
    if reference := schema.get("$ref"):
        return example_of(document, document["components"]["schemas"][reference.rpartition("/")[2]])
    if examples := schema.get("examples"):
        return examples[0]
    if "example" in schema:
        return schema["example"]
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if choices := schema.get("anyOf"):
        return example_of(document, choices[0])
    return _by_type(document, schema)


def _by_type(document: Document, schema: Document) -> Any:
    kind = schema.get("type", "object")
    if kind == "array":
        return [example_of(document, schema.get("items", {}))]
    if kind == "object":
        wanted = schema.get("required") or schema.get("properties", {})
        return {name: example_of(document, schema["properties"][name]) for name in wanted}
    return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE[kind])
