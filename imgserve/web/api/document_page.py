"""Writes the OpenAPI document as HTML, for people: no script, everything escaped. Knows no endpoint but through it."""

import json
import re
from collections.abc import Iterator

from imgserve.web.api.example import example_of
from imgserve.web.api.page_schemas import Document, schema_table, type_of
from imgserve.web.api.page_text import broken, capital, inline, prose, slug, table, text, verb

_KEY = "$IMGSERVE_KEY"
_SERVER = "http://127.0.0.1:8000"
_METHODS = ("get", "post", "put", "patch", "delete")


def contents_of(document: Document) -> str:
    """Write the list of operations, by group."""
    return "\n".join(
        f"<li><b>{text(tag)}</b><ul>{''.join(_link(path, method, one) for path, method, one in found)}</ul></li>"
        for tag, found in _groups(document)
    )


def body_of(document: Document) -> str:
    """Write the introduction and every operation, by group."""
    groups = "\n".join(
        f'<section aria-labelledby="{slug(tag)}"><h2 id="{slug(tag)}">{text(capital(tag))}</h2>\n'
        + "\n".join(_operation(document, path, method, one) for path, method, one in found)
        + "</section>"
        for tag, found in _groups(document)
    )
    return f"{prose(document['info']['description'])}\n{groups}\n{_models(document)}"


Operations = list[tuple[str, str, Document]]


def _groups(document: Document) -> Iterator[tuple[str, Operations]]:
    everything = [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    for tag in (item["name"] for item in document["tags"]):
        yield tag, [found for found in everything if tag in found[2]["tags"]]


def _link(path: str, method: str, one: Document) -> str:
    return (
        f'<li><a href="#{text(one["operationId"])}">{verb(method)} <code>{broken(path)}</code></a> '
        f"<span>{text(one['summary'])}</span></li>"
    )


def _operation(document: Document, path: str, method: str, one: Document) -> str:
    parts = [
        f'<article id="{text(one["operationId"])}">',
        f"<h3>{text(one['summary'])}</h3>",
        _address(path, method, one),
        prose(one["description"]),
        _parameters(one.get("parameters", [])),
        _request_body(document, one.get("requestBody", {})),
        _answers(document, one["responses"]),
        f'<h4>Example</h4><pre tabindex="0"><code>{text(_curl(path, method, one, document))}</code></pre>',
        "</article>",
    ]
    return "\n".join(filter(None, parts))


def _address(path: str, method: str, one: Document) -> str:
    scope = f'<span class="scope">needs the scope <b>{text(one["x-scope"])}</b></span>'
    return f'<p class="address">{verb(method)} <code>{broken(path)}</code> {scope}</p>'


def _parameters(parameters: list[Document]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{text(one['name'])}</code></td><td>{_place(one)}</td><td>{type_of(one['schema'])}</td>"
        f"<td>{inline(one['description'])}</td></tr>"
        for one in parameters
    )
    return f"<h4>Parameters</h4>{table(('name', 'in', 'type', 'meaning'), rows)}"


def _place(one: Document) -> str:
    return text(one["in"]) + (", required" if one.get("required") and one["in"] != "path" else "")


def _request_body(document: Document, body: Document) -> str:
    return "".join(
        f"<h4>Body <code>{text(media_type)}</code></h4>{schema_table(document, content.get('schema', {}))}"
        for media_type, content in body.get("content", {}).items()
    )


def _answers(document: Document, responses: Document) -> str:
    good = "".join(
        f"<h4>Answer {status}</h4>{prose(one['description'])}{_headers(one)}{_contents(document, one)}"
        for status, one in responses.items()
        if status < "400"
    )
    bad = "".join(
        f"<tr><td>{status}</td><td>{_codes(one['description'])}</td></tr>"
        for status, one in responses.items()
        if status >= "400"
    )
    return f"{good}<details><summary>Errors</summary>{table(('status', 'codes'), bad)}</details>"


def _headers(answer: Document) -> str:
    told = (
        f"<li><code>{text(name)}</code> {inline(one['description'])}</li>"
        for name, one in answer.get("headers", {}).items()
    )
    items = "".join(told)
    return f"<ul>{items}</ul>" if items else ""


def _contents(document: Document, answer: Document) -> str:
    told = []
    for media_type, content in answer.get("content", {}).items():
        if reference := content.get("schema", {}).get("$ref", ""):
            name = reference.rpartition("/")[2]
            shown = json.dumps(example_of(document, content["schema"]), indent=2, ensure_ascii=False)
            told.append(
                f'<p><a href="#model-{text(name)}">{text(name)}</a></p>'
                f'<pre tabindex="0"><code>{text(shown)}</code></pre>'
            )
        else:
            told.append(f"<p><code>{text(media_type)}</code></p>")
    return "".join(told)


def _codes(description: str) -> str:
    lines = [line.removeprefix("- ") for line in description.splitlines() if line.startswith("- ")]
    return "<br>".join(map(inline, lines))


def _models(document: Document) -> str:
    models = "\n".join(
        f'<article id="model-{text(name)}"><h3>{text(name)}</h3>{prose(schema.get("description", ""))}'
        f"{schema_table(document, schema)}</article>"
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    return f'<section aria-labelledby="models"><h2 id="models">Models</h2>\n{models}</section>'


def _curl(path: str, method: str, one: Document, document: Document) -> str:
    """Write a call that could be made."""
    pieces = {item["name"]: item.get("example", "NAME") for item in one.get("parameters", []) if item["in"] == "path"}
    address = re.sub(r"\{(\w+)\}", lambda match: str(pieces[match[1]]), path)
    lines = ["curl" + ("" if method == "get" else f" -X {method.upper()}") + f' -H "Authorization: Bearer {_KEY}"']
    for media_type, content in list(one.get("requestBody", {}).get("content", {}).items())[:1]:
        lines.append(f'  -H "Content-Type: {media_type}"')
        if media_type.endswith("json"):
            example = content.get("example", example_of(document, content["schema"]))
            lines.append(f"  -d '{json.dumps(example, ensure_ascii=False)}'")
        else:
            lines.append("  --data-binary @photo.jpg")
    return " \\\n".join([*lines, f"  {_SERVER}{address}"])
