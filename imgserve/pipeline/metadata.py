"""The metadata of an original: what a rendition carries, and what the catalog stores."""

from collections.abc import Callable, Mapping
from xml.parsers.expat import ExpatError

import pyvips
from defusedxml import DefusedXmlException
from defusedxml.minidom import parseString

from imgserve.model import METADATA
from imgserve.pipeline.embedded_text import EmbeddedText, line, read_iptc, read_xmp
from imgserve.pipeline.exif import read_exif
from imgserve.pipeline.fields import field, with_fields, without
from imgserve.pipeline.load import Recognized
from imgserve.transform.value import Transform

_BLOCKS: tuple[tuple[str, Callable[[bytes], EmbeddedText]], ...] = (
    ("xmp-data", read_xmp),
    ("iptc-data", read_iptc),
    ("exif-data", read_exif),
)
"""In order of precedence: programs of today write XMP and may leave the older blocks unchanged."""


def read_embedded(image: pyvips.Image, opened: Recognized) -> EmbeddedText:
    """Return the texts of all blocks; each block fills what those before it leave out."""
    text = EmbeddedText()
    for name, read in _BLOCKS:
        if image.get_typeof(name):
            text = text.over(read(image.get(name)))
    # A TIFF has the structure of EXIF.
    return text.over(read_exif(opened.data)) if opened.format == "tiff" else text


def metadata_of(text: EmbeddedText) -> Mapping[str, str]:
    """Return the `METADATA` among the texts."""
    return {name: value for name in METADATA if (value := getattr(text, name))}


_RIGHTS = {"exif-ifd0-Copyright", "exif-ifd0-Artist"}
_RIGHTS_CHARACTERS = 300
"""A kept field cannot carry a payload."""
_MARKUP = str.maketrans("<>", "()")
# Descriptions of the stored pixels are wrong for a rendition, which is upright, resized and 8-bit.
_STALE = ("orientation", "jpeg-thumbnail-data", "bits-per-sample", "palette", "jpeg-chroma-subsample", "gif-palette")
_PARTS = (("icc", "icc-profile-data"), ("gainmap", "gainmap-data"))
_DESCRIPTIONS = ("exif-", "xmp-", "iptc-")
_FRAMES = ("page-height", "n-pages", "delay", "loop", "gif-delay", "gif-loop")


def select(image: pyvips.Image, transform: Transform) -> tuple[pyvips.Image, str]:
    """Return an image without private metadata, and the value of libvips' `keep` for the rest."""
    image = without(image, *_STALE)
    kept = [name for name, part in _PARTS if image.get_typeof(part)]
    if transform.metadata == "keep":
        xmp = _without_references(field(image, "xmp-data", b""))
        image = with_fields(without(image, "exif-ifd0-Orientation", "xmp-data"), {"xmp-data": xmp})
        return image, ":".join(["exif", "xmp", "iptc", "other", *kept])
    texts = rights(image) if transform.metadata == "copyright" else {}
    image = without(image, *(name for name in image.get_fields() if name.startswith("exif-")))
    # libvips takes parentheses at the end for its own description of the field.
    image = with_fields(image, {name: f"{text} ()" for name, text in texts.items()})
    return image, ":".join((["exif"] if texts else []) + kept) or "none"


_REFERENCES = {
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    "http://ns.apple.com/pixeldatainfo/1.0/",
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
    "http://ns.adobe.com/xmp/note/",
}
"""Namespaces of XMP that describe other parts of the original file: gain map, motion photo, extended XMP."""


def _without_references(xmp: bytes) -> bytes:
    """Return an XMP packet without what refers to parts of the original that a rendition does not have."""
    if not any(space.encode() in xmp for space in _REFERENCES):
        return xmp
    try:
        document = parseString(xmp.decode().strip("\0 \t\r\n"), forbid_dtd=True)
        for element in document.getElementsByTagName("*"):
            if element.namespaceURI in _REFERENCES and element.parentNode:
                element.parentNode.removeChild(element)
            for name, value in element.attributes.items():
                if value in _REFERENCES or element.attributes[name].namespaceURI in _REFERENCES:
                    element.removeAttribute(name)
        return "".join(node.toxml() for node in document.childNodes).encode()
    except (ExpatError, DefusedXmlException, ValueError, LookupError, RecursionError):
        return b""


def for_next_step(image: pyvips.Image, transform: Transform) -> pyvips.Image:
    """Return an image without the metadata that is wrong or unwanted after this step."""
    unwanted = _DESCRIPTIONS if transform.metadata == "strip" else ("exif-ifd0-Orientation",)
    return without(image, *_STALE, *(name for name in image.get_fields() if name.startswith(unwanted)))


def still(image: pyvips.Image) -> pyvips.Image:
    """Return an image without the metadata of an animation."""
    return without(image, *_FRAMES)


def rights(image: pyvips.Image) -> dict[str, str]:
    """Return copyright and artist by their names in libvips, as plain text without markup."""
    found: dict[str, str] = {}
    for name in sorted(_RIGHTS & set(image.get_fields())):
        text = str(image.get(name))
        # libvips writes the text twice: `text (text, ASCII, 5 components, 5 bytes)`.
        twice, _, _ = text.rpartition(", ASCII, ")
        length = (len(twice) - 2) // 2
        text = twice[:length] if length >= 0 and twice == f"{twice[:length]} ({twice[:length]}" else text
        if text := plain_text(text):
            found[name] = text
    return found


def plain_text(text: str) -> str:
    """Return a text in one line, without markup, of bounded length."""
    return line(text).translate(_MARKUP)[:_RIGHTS_CHARACTERS].rstrip()
