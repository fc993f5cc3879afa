"""HTML elements of pictures: `<img>`, `<source>` and their `srcset`, escaped and marked as safe for templates."""

import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from imgserve.client.srcset import Candidate, SrcsetPlan
from imgserve.formats import FORMATS

AttributeValue = str | int | float | bool | None
"""True writes the bare name; None and False omit the attribute."""

UrlOf = Callable[[Mapping[str, Any]], str]
"""Returns the URL of one image with these parameters by attribute."""

# HTML Standard, 13.1.2.3, without the characters beyond ASCII that it forbids too.
_NAME = re.compile(r"[^\x00-\x20\x7f\"'<>/=]+")


class Html(str):
    """Markup that Jinja2 and Django insert unescaped, by its `__html__`; joined to other text it is plain text."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def element(name: str, attributes: Mapping[str, AttributeValue]) -> Html:
    """Return the start tag of an element.

    Raises:
        ValueError: an attribute has an invalid name.
    """
    written = [_attribute(key, value) for key, value in attributes.items() if value is not None and value is not False]
    return Html("<" + " ".join([name, *written]) + ">")


def img_element(
    url_of: UrlOf,
    values: Mapping[str, Any],
    plan: SrcsetPlan,
    sizes: str | None,
    attributes: Mapping[str, AttributeValue],
) -> Html:
    """Return an `<img>`; `attributes` override its width and height, but not its URLs."""
    candidates = plan.candidates(values)
    widest = candidates[-1].values if plan.widths else values
    size = plan.size({name: value for name, value in widest.items() if name != "dpr"})
    width, height = size if None not in size else (None, None)
    chosen = {"sizes": sizes if plan.widths else None, "srcset": srcset_text(url_of, candidates) or None}
    # The URL comes last: a browser must not request it before it has read the other attributes.
    return element("img", {"width": width, "height": height, **attributes, **chosen, "src": url_of(widest)})


def source_element(url_of: UrlOf, values: Mapping[str, Any], plan: SrcsetPlan, sizes: str | None) -> Html:
    """Return the `<source>` of the format that the parameters name.

    Raises:
        ValueError: they name no single format.
    """
    named = FORMATS.get(str(values.get("format")))
    if named is None:
        raise ValueError(f"formats: expected the name of one format, but received {values.get('format') or 'auto'}")
    srcset = srcset_text(url_of, plan.candidates(values)) or url_of(values)
    return element("source", {"type": named.media_type, "sizes": sizes if plan.widths else None, "srcset": srcset})


def srcset_text(url_of: UrlOf, candidates: Iterable[Candidate]) -> str:
    """Return the value of a `srcset` attribute; URLs contain no space, and no comma at an end."""
    return ", ".join(f"{url_of(item.values)} {item.descriptor}" for item in candidates)


def _attribute(name: str, value: AttributeValue) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"attributes: expected the name of an attribute, but received {name!r}")
    return name if value is True else f'{name}="{escape(str(value))}"'
