"""HTML elements as text, escaped once and marked as safe for templates. What an image is, is not known here."""

import re
from collections.abc import Mapping
from html import escape

AttributeValue = str | int | float | bool | None
"""True writes the bare name; None and False leave it out."""

# HTML Standard, 13.1.2.3, without the characters beyond ASCII that it forbids too.
_NAME = re.compile(r"[^\x00-\x20\x7f\"'<>/=]+")


class Html(str):
    """Markup that Jinja2 and Django insert as it is, by its `__html__`; joined to other text it is plain text."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def element(name: str, attributes: Mapping[str, AttributeValue]) -> Html:
    """Write the start of an element, which is all of a void one.

    Raises:
        ValueError: the name of an attribute is none.
    """
    return Html("<" + " ".join([name, *(_attribute(*item) for item in attributes.items() if _present(item[1]))]) + ">")


def merged(own: Mapping[str, AttributeValue], given: Mapping[str, AttributeValue] | None) -> dict[str, AttributeValue]:
    """Lay attributes over others; their names are the same in any case."""
    return {**own, **{name.lower(): value for name, value in (given or {}).items()}}


def _present(value: AttributeValue) -> bool:
    return value is not None and value is not False


def _attribute(name: str, value: AttributeValue) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"attributes: expected the name of an attribute, but received {name!r}")
    return name if value is True else f'{name}="{escape(str(value))}"'
