"""The texts of XMP (ISO 16684-1): RDF in XML, written as elements or as attributes."""

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imgserve.pipeline.embedded_text import Told, block, keywords, line, moment

_MOST_BYTES = 1 << 20
"""Longer ones hold the history of an edited picture, or previews."""

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC, _PHOTOSHOP_NS = "{http://purl.org/dc/elements/1.1/}", "{http://ns.adobe.com/photoshop/1.0/}"
_EXIF, _XMP = "{http://ns.adobe.com/exif/1.0/}", "{http://ns.adobe.com/xap/1.0/}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def read_xmp(data: bytes) -> Told:
    """Read the texts of a packet; nothing where it is none, or one with entities."""
    if len(data) > _MOST_BYTES:
        return Told()
    try:
        root = fromstring(data.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return Told()
    found = _properties(root)

    def first(*names: str) -> str:
        return next((text for name in names for text in found.get(name, []) if text.strip()), "")

    taken = (_PHOTOSHOP_NS + "DateCreated", _EXIF + "DateTimeOriginal", _XMP + "CreateDate")
    return Told(
        title=line(first(_DC + "title", _PHOTOSHOP_NS + "Headline")),
        description=block(first(_DC + "description")),
        keywords=keywords(found.get(_DC + "subject", [])),
        copyright=line(first(_DC + "rights")),
        creator=line(", ".join(found.get(_DC + "creator", []))),
        credit=line(first(_PHOTOSHOP_NS + "Credit")),
        taken=next((text for name in taken if (text := moment(first(name)))), ""),
    )


def _properties(root: Element) -> dict[str, list[str]]:
    """Map the properties of all descriptions to their values, those in a default language first."""
    found: dict[str, list[str]] = {}
    for description in root.iter(_RDF + "Description"):
        for name, text in description.attrib.items():
            found.setdefault(name, []).append(text)
        for element in description:
            found.setdefault(element.tag, []).extend(_values(element))
    return found


def _values(element: Element) -> list[str]:
    items = list(element.iter(_RDF + "li"))
    if not items:
        return [element.text or ""]
    return [item.text or "" for item in sorted(items, key=lambda item: item.get(_LANGUAGE) != "x-default")]
