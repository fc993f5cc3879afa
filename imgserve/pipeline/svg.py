"""An SVG passed on as a drawing, without anything that runs, loads or leads elsewhere.

What is not known to be harmless is dropped; the answer's Content-Security-Policy is the second fence.
"""

import re
from xml.etree.ElementTree import Element, ParseError, register_namespace, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imgserve.errors import UnreadableImage

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_XML = "http://www.w3.org/XML/1998/namespace"

# Elements of SVG 2 that draw, shape, group, clip or filter. Not here: script, foreignObject, a, audio, video, iframe,
# handler, and animation, which can set an attribute to what was dropped from it.
_ELEMENTS = frozenset(
    [
        "circle",
        "clipPath",
        "defs",
        "desc",
        "ellipse",
        "feBlend",
        "feColorMatrix",
        "feComponentTransfer",
        "feComposite",
        "feConvolveMatrix",
        "feDiffuseLighting",
        "feDisplacementMap",
        "feDistantLight",
        "feDropShadow",
        "feFlood",
        "feFuncA",
        "feFuncB",
        "feFuncG",
        "feFuncR",
        "feGaussianBlur",
        "feImage",
        "feMerge",
        "feMergeNode",
        "feMorphology",
        "feOffset",
        "fePointLight",
        "feSpecularLighting",
        "feSpotLight",
        "feTile",
        "feTurbulence",
        "filter",
        "g",
        "image",
        "line",
        "linearGradient",
        "marker",
        "mask",
        "path",
        "pattern",
        "polygon",
        "polyline",
        "radialGradient",
        "rect",
        "stop",
        "style",
        "svg",
        "switch",
        "symbol",
        "text",
        "textPath",
        "title",
        "tspan",
        "use",
        "view",
    ]
)
_REFERENCES = frozenset({"href", f"{{{_XLINK}}}href", "src"})
_LOCAL = re.compile(r"\s*#[^\s]*\s*")
_PICTURE = re.compile(r"\s*data:image/(?:png|jpeg|webp|gif)[;,][^\s]*\s*", re.IGNORECASE)
# A url( that is not a fragment of this document, and everything by which CSS loads or once ran something. A backslash
# could spell any of it in another way.
_CSS = re.compile(
    r"url\s*\(\s*+[\"']?+\s*+(?!#)|@import|@font-face|expression\s*\(|javascript:|-moz-binding|\\", re.IGNORECASE
)


def sanitize(data: bytes) -> bytes:
    """Rewrite an SVG from what is allowed in it.

    Raises:
        UnreadableImage: not well-formed, not an SVG, or with entities, which can multiply without end.
    """
    try:
        root = fromstring(data, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UnreadableImage(f"The SVG cannot be passed on: {type(error).__name__}.") from error
    if root.tag != f"{{{_SVG}}}svg":
        raise UnreadableImage("The SVG cannot be passed on: its root is not an svg element.")
    _clean(root)
    register_namespace("", _SVG)
    register_namespace("xlink", _XLINK)
    try:
        return bytes(tostring(root, encoding="utf-8", xml_declaration=True))
    except RecursionError as error:
        raise UnreadableImage("The SVG cannot be passed on: its elements are nested too deep.") from error


def _clean(root: Element) -> None:
    """Drop what is not allowed, without recursion: nesting may be deep."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        for name, value in list(element.attrib.items()):
            if not _is_allowed(name, value):
                del element.attrib[name]
        if element.tag == f"{{{_SVG}}}style" and _CSS.search("".join(element.itertext())):
            element.text = ""
        for child in list(element):
            if _is_drawing(child):
                waiting.append(child)
            else:
                element.remove(child)


def _is_drawing(element: Element) -> bool:
    """Tell an allowed element from others, and from comments, whose tag is no text."""
    tag = element.tag
    if callable(tag) or not tag.startswith(f"{{{_SVG}}}"):
        return False
    return tag.rpartition("}")[2] in _ELEMENTS


def _is_allowed(name: str, value: str) -> bool:
    if name in _REFERENCES:
        return bool(_LOCAL.fullmatch(value) or _PICTURE.fullmatch(value))
    namespace, _, local = name.rpartition("}")
    if namespace and namespace != f"{{{_XML}":
        return False
    return not local.lower().startswith("on") and local != "base" and not _CSS.search(value)
