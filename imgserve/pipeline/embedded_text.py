"""Read texts from IPTC-IIM and XMP (ISO 16684-1), bounded and without control characters."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from unicodedata import category
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imgserve.model import TEXT_CHARACTERS

KEYWORDS = 100
"""Further ones are dropped; agencies write at most 50."""
_KEYWORD_CHARACTERS = 200
_MAX_READ = 4 * TEXT_CHARACTERS
"""Characters of a text that are read, including those that are dropped."""
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the following text."""
_DROPPED = {"Cc", "Cs", "Cn", "Co"}
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """Texts of one metadata block, or of all blocks together."""

    title: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    copyright: str = ""
    creator: str = ""
    credit: str = ""
    taken: str = ""
    """ISO 8601; without an offset if the camera did not write one."""

    def over(self, other: "EmbeddedText") -> "EmbeddedText":
        """Return these texts, with missing ones from another block."""
        values = {item.name: getattr(self, item.name) or getattr(other, item.name) for item in fields(self)}
        return EmbeddedText(**values)


def line(text: str) -> str:
    """Return a cleaned text in one line."""
    return " ".join(block(text).split())


def block(text: str) -> str:
    """Return a cleaned text of several lines."""
    lines = text[:_MAX_READ].replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = (each == "\n" or (category(each) not in _DROPPED and each not in _DIRECTION) for each in lines)
    return "".join(itertools.compress(lines, kept))[:TEXT_CHARACTERS].strip()


def keywords(words: Iterable[str]) -> tuple[str, ...]:
    """Return cleaned keywords, each once, in the order of the file."""
    found: dict[str, None] = {}
    for word in words:
        if cleaned := line(word)[:_KEYWORD_CHARACTERS].rstrip():
            found[cleaned] = None
        if len(found) == KEYWORDS:
            break
    return tuple(found)


def moment(text: str) -> str:
    """Return a time as ISO 8601, or an empty text, as for the zeros of a camera whose clock was never set."""
    text = line(text[:40])
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text if _ISO_DATE.fullmatch(text) else parsed.isoformat(timespec="seconds")


def decoded(data: bytes) -> str:
    """Return the text of bytes of unknown encoding: most are UTF-8 whatever the file says, the others Windows-1252."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace").replace("\ufffd", "")


_PHOTOSHOP_BLOCK, _RESOURCE, _IPTC_RESOURCE = b"Photoshop 3.0\0", b"8BIM", 0x0404
_MARKER, _CHARSET, _APPLICATION = 0x1C, (1, 90), 2
_UTF8 = b"\x1b%G"
_EXTENDED = 0x8000
_MAX_DATASETS = 2000
_OBJECT_NAME, _KEYWORDS, _DATE, _TIME, _BYLINE = 5, 25, 55, 60, 80
_HEADLINE, _CREDIT, _COPYRIGHT, _CAPTION = 105, 110, 116, 120


def read_iptc(data: bytes) -> EmbeddedText:
    """Return the texts of an IPTC block, with or without the wrapping of Photoshop; no texts if it is none."""
    found: dict[int, list[bytes]] = {}
    utf8 = False
    for record, number, value in _datasets(_unwrapped(data)):
        if (record, number) == _CHARSET:
            utf8 = value == _UTF8
        elif record == _APPLICATION:
            found.setdefault(number, []).append(value)

    def texts(number: int) -> list[str]:
        return [value.decode(errors="ignore") if utf8 else decoded(value) for value in found.get(number, [])]

    def first(*numbers: int) -> str:
        return next((text for number in numbers for text in texts(number) if text.strip()), "")

    date, time = first(_DATE), first(_TIME)  # CCYYMMDD and HHMMSS±HHMM
    day = f"{date[:4]}-{date[4:6]}-{date[6:8]}"
    offset = f"{time[6:9]}:{time[9:11]}" if len(time) >= len("HHMMSS+HHMM") else ""
    return EmbeddedText(
        title=line(first(_OBJECT_NAME, _HEADLINE)),
        description=block(first(_CAPTION)),
        keywords=keywords(texts(_KEYWORDS)),
        copyright=line(first(_COPYRIGHT)),
        creator=line(", ".join(texts(_BYLINE))),
        credit=line(first(_CREDIT)),
        taken=moment(f"{day}T{time[:2]}:{time[2:4]}:{time[4:6]}{offset}") or moment(day),
    )


def _unwrapped(data: bytes) -> bytes:
    """Return the block in the resources of Photoshop: sign, number, name of even length, size, data of even length."""
    if not data.startswith((_PHOTOSHOP_BLOCK, _RESOURCE)):
        return data
    at = len(_PHOTOSHOP_BLOCK) if data.startswith(_PHOTOSHOP_BLOCK) else 0
    while data[at : at + 4] == _RESOURCE and at + 12 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        at += 6 + _even(1 + data[at + 6])
        size = int.from_bytes(data[at : at + 4], "big")
        if number == _IPTC_RESOURCE:
            return data[at + 4 : at + 4 + size]
        at += 4 + _even(size)
    return b""


def _datasets(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield record, number and value of each data set, up to the first invalid one."""
    at = 0
    for _ in range(_MAX_DATASETS):
        if at + 5 > len(data) or data[at] != _MARKER:
            return
        record, number, size = data[at + 1], data[at + 2], int.from_bytes(data[at + 3 : at + 5], "big")
        at += 5
        if size & _EXTENDED:  # the length of the length
            length = size & ~_EXTENDED
            if length > 4:  # noqa: PLR2004  no file is that long
                return
            size = int.from_bytes(data[at : at + length], "big")
            at += length
        if at + size > len(data):
            return
        yield record, number, data[at : at + size]
        at += size


def _even(size: int) -> int:
    return size + size % 2


_MAX_BYTES = 1 << 20
"""Longer packets contain the history of an edited picture, or previews."""
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC, _PHOTOSHOP_NS = "{http://purl.org/dc/elements/1.1/}", "{http://ns.adobe.com/photoshop/1.0/}"
_EXIF, _XMP = "{http://ns.adobe.com/exif/1.0/}", "{http://ns.adobe.com/xap/1.0/}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def read_xmp(data: bytes) -> EmbeddedText:
    """Return the texts of an XMP packet; no texts if it is none or has entities."""
    if len(data) > _MAX_BYTES:
        return EmbeddedText()
    try:
        root = fromstring(data.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return EmbeddedText()
    found = _properties(root)

    def first(*names: str) -> str:
        return next((text for name in names for text in found.get(name, []) if text.strip()), "")

    taken = (_PHOTOSHOP_NS + "DateCreated", _EXIF + "DateTimeOriginal", _XMP + "CreateDate")
    return EmbeddedText(
        title=line(first(_DC + "title", _PHOTOSHOP_NS + "Headline")),
        description=block(first(_DC + "description")),
        keywords=keywords(found.get(_DC + "subject", [])),
        copyright=line(first(_DC + "rights")),
        creator=line(", ".join(found.get(_DC + "creator", []))),
        credit=line(first(_PHOTOSHOP_NS + "Credit")),
        taken=next((text for name in taken if (text := moment(first(name)))), ""),
    )


def _properties(root: Element) -> dict[str, list[str]]:
    """Return the values of each property in all descriptions, those in the default language first."""
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
