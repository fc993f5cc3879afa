"""Sanitize an SVG: remove everything that runs, loads or links.

Elements and attributes that are not known to be harmless are removed. The response's Content-Security-Policy is the
second line of defense.
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
# handler, and animation, which can set an attribute to the value that was removed from it.
_NAMES = """
    circle clipPath defs desc ellipse feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix
    feDiffuseLighting feDisplacementMap feDistantLight feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR
    feGaussianBlur feImage feMerge feMergeNode feMorphology feOffset fePointLight feSpecularLighting feSpotLight
    feTile feTurbulence filter g image line linearGradient marker mask path pattern polygon polyline
    radialGradient rect stop style svg switch symbol text textPath title tspan use view
"""
_ELEMENTS = frozenset(_NAMES.split())
_REFERENCES = frozenset({"href", f"{{{_XLINK}}}href", "src"})
_LOCAL = re.compile(r"\s*#[^\s]*\s*")
_PICTURE = re.compile(r"\s*data:image/(?:png|jpeg|webp|gif)[;,][^\s]*\s*", re.IGNORECASE)
# A url( that is not a fragment of this document, and everything by which CSS loads or once ran something. Backslashes
# could disguise any of it.
_CSS = re.compile(
    r"url\s*\(\s*+[\"']?+\s*+(?!#)|@import|@font-face|expression\s*\(|javascript:|-moz-binding|\\", re.IGNORECASE
)


def sanitize(data: bytes) -> bytes:
    """Return an SVG with the allowed elements and attributes only.

    Raises:
        UnreadableImage: it is not well-formed, not an SVG, or has entities, which can expand without end.
    """
    try:
        root = fromstring(data, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UnreadableImage(f"The SVG cannot be sanitized: {type(error).__name__}.") from error
    if root.tag != f"{{{_SVG}}}svg":
        raise UnreadableImage("The SVG cannot be sanitized: its root is not an svg element.")
    _clean(root)
    register_namespace("", _SVG)
    register_namespace("xlink", _XLINK)
    try:
        return bytes(tostring(root, encoding="utf-8", xml_declaration=True))
    except RecursionError as error:
        raise UnreadableImage("The SVG cannot be sanitized: its elements are nested too deep.") from error


def _clean(root: Element) -> None:
    """Remove what is not allowed, without recursion: nesting may be deep."""
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
    """Return whether an element is allowed; the tag of a comment is not a text."""
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
