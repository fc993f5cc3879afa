"""Prepare an SVG for drawing within the limits, and sanitize one that is passed on."""

import re
import zlib
from xml.etree.ElementTree import Element, ParseError, register_namespace, tostring
from xml.parsers import expat

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imgserve.errors import LimitExceeded, UnreadableImage, UnsupportedImage
from imgserve.formats import HEAD_BYTES, sniff, xml_text

_MAX_REPEATED = 100_000
"""Elements drawn by references: librsvg takes over 10 s for 500,000, its own limit."""
_FOLLOWED = frozenset({"use", "feImage", "pattern", "filter"})
"""Elements that draw what their link names; a gradient only takes its stops."""
_NAMED_ENTITY = re.compile(r"&[^#\s]")
_DECLARED = re.compile(r"(<\?xml[^>]*?)\s+encoding\s*=\s*(?:\"[^\"]*\"|'[^']*')")
_REFERENCE = re.compile(r"url\(\s*[\"']?#([^\"')\s]+)")
_RULE = re.compile(r"([^{}]+)\{([^}]*)\}")
_UNCOUNTED = frozenset({"linearGradient", "radialGradient", "stop"})
"""Drawn once, however many shapes have it."""


def prepared(data: bytes, max_bytes: int) -> bytes:
    """Return an SVG in UTF-8, inflated up to a cap: a few hundred kilobytes can contain a gigabyte.

    Raises:
        LimitExceeded: it is over the cap, or references repeat its elements too often.
        UnreadableImage: it is damaged.
        UnsupportedImage: it is packed, and no SVG.
    """
    if data.startswith(b"\x1f\x8b"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, max_bytes + 1)
        except zlib.error as error:
            raise UnreadableImage("The original is a damaged SVGZ.") from error
        if data.startswith(b"\x1f\x8b"):
            # librsvg would inflate the inner one without our cap.
            raise LimitExceeded(f"The SVG is packed twice and cannot be held to the limit svg_bytes of {max_bytes}.")
        if sniff(data[:HEAD_BYTES]) is None:
            raise UnsupportedImage
    if len(data) > max_bytes:
        raise LimitExceeded(f"The SVG is over the limit svg_bytes of {max_bytes}.")
    try:
        data = _DECLARED.sub(r"\1", xml_text(data), count=1).encode()
        repeated = _Drawing(data).repeated()
    except (expat.ExpatError, UnicodeError, LookupError) as error:
        if "amplification" in str(error):
            raise LimitExceeded("The SVG has entities that expand to many times its size.") from error
        raise UnreadableImage(f"The original is damaged and cannot be decoded (svg: {error}).") from error
    if repeated > _MAX_REPEATED:
        raise LimitExceeded(f"The SVG draws over {_MAX_REPEATED} elements by references, which repeat others.")
    return data


class _Drawing:
    """Counts the elements that an SVG draws; those that a reference repeats count each time."""

    def __init__(self, data: bytes) -> None:
        self._of: dict[str, list[str]] = {"": []}
        """What the element of an id contains, directly: its references and the ids in it."""
        self._sizes = {"": 0}
        """Elements in it that have no id."""
        self._open = [""]
        self._totals: dict[str, int] = {}
        self._style: list[str] = []
        """The texts in style elements."""
        self._styled: list[tuple[str, list[str]]] = []
        """The id that an element is in, and the selectors that it has: its tag, its classes, its id."""
        self._has_styles = b"<style" in data or b":style" in data
        self._in_style = False
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        parser.Parse(data, True)
        self._apply_style()

    def repeated(self) -> int:
        """Return the number of elements that are drawn by references."""
        return self._total("") - sum(self._sizes.values())

    @staticmethod
    def _entity(*declaration: object) -> None:
        value = declaration[2]
        if isinstance(value, str) and _NAMED_ENTITY.search(value):
            raise LimitExceeded("The SVG has entities that contain others, which can expand without end.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        inside, name = self._open[-1], attributes.get("id")
        if name is not None and name not in self._of:
            self._of[inside].append(name)
            self._of[name], self._sizes[name] = [], 0
            inside = name
        self._open.append(inside)
        local = tag.rpartition(":")[2]
        self._in_style = local == "style"
        self._sizes[inside] += local not in _UNCOUNTED
        if self._has_styles:
            classes = (f".{word}" for word in attributes.get("class", "").split())
            self._styled.append((inside, [local, *classes, f"#{name}"]))
        if local in _FOLLOWED:
            links = (value.strip() for key, value in attributes.items() if key.rpartition(":")[2] == "href")
            self._of[inside] += [link[1:] for link in links if link.startswith("#")]
        for value in attributes.values():
            if "url(" in value:
                self._of[inside] += _REFERENCE.findall(value)

    def _text(self, text: str) -> None:
        if self._in_style:
            self._style.append(text)

    def _end(self, _tag: str) -> None:
        self._open.pop()
        self._in_style = False

    def _apply_style(self) -> None:
        """Add the references of the rules whose whole selector is one tag, class or id: these surely apply."""
        rules: dict[str, list[str]] = {}
        for selectors, declarations in _RULE.findall("".join(self._style)):
            if found := _REFERENCE.findall(declarations):
                for selector in selectors.split(","):
                    rules.setdefault(selector.strip(), []).extend(found)
        for inside, has in self._styled if rules else ():
            self._of[inside] += [name for selector in has for name in rules.get(selector, ())]

    def _total(self, start: str) -> int:
        """Return the number of elements drawn for an id; without recursion, since nesting may be deep."""
        waiting, entered = [start], set[str]()
        while waiting:
            name = waiting[-1]
            inner = [other for other in self._of.get(name, ()) if other not in self._totals]
            if name not in self._totals and name not in entered and inner:
                entered.add(name)
                waiting += [other for other in inner if other not in entered]  # else a cycle, which librsvg refuses
                continue
            waiting.pop()
            parts = (self._totals.get(other, 0) for other in self._of.get(name, ()))
            self._totals[name] = self._sizes.get(name, 0) + sum(parts)
        return self._totals[start]


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

    Raises UnreadableImage if it is not well-formed, not an SVG, or has entities, which can expand without end.
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
