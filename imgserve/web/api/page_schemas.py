"""JSON Schemas as HTML: what fields there are, and what may stand in them."""

import json
from collections.abc import Mapping
from typing import Any

from imgserve.web.api.page_text import inline, table, text

Document = Mapping[str, Any]

_ENDLESS = 10**9
"""An upper bound that tells nobody anything."""


def schema_table(document: Document, schema: Document) -> str:
    """Write the fields of a model as a table."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return (
            f'<p><a href="#model-{text(name)}">{text(name)}</a></p>'
            f"{schema_table(document, document['components']['schemas'][name])}"
        )
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{text(name)}</code>{' *' if name in required else ''}</td><td>{type_of(one)}</td>"
        f"<td>{inline(one.get('description', ''))}</td></tr>"
        for name, one in schema.get("properties", {}).items()
    )
    return table(("field", "type", "meaning"), rows) if rows else f"<p>{type_of(schema)}</p>"


def type_of(schema: Document) -> str:
    """Tell what may stand somewhere."""
    if reference := schema.get("$ref"):
        name = text(reference.rpartition("/")[2])
        return f'<a href="#model-{name}">{name}</a>'
    if choices := schema.get("anyOf"):
        return " or ".join(map(type_of, choices))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        told = " ".join(f"<code>{text(str(value).lower() if value is True else str(value))}</code>" for value in values)
        return told + _default(schema)
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    name = str(schema.get("format") or schema.get("type", "anything"))
    return text("bytes" if name == "binary" else name) + _bounds(schema) + _default(schema)


def _bounds(schema: Document) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return ""
    if high is None or high >= _ENDLESS:
        return f", at least {low}"
    return f", at most {high}" if low is None else f", {low} to {high}"


def _default(schema: Document) -> str:
    default = schema.get("default")
    if default in (None, "", [], {}):
        return ""
    return f", else <code>{text(json.dumps(default).strip(chr(34)))}</code>"
