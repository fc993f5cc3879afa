"""Read texts from EXIF (CIPA DC-008, TIFF 6.0)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from imgserve.pipeline.embedded_text import EmbeddedText, block, decoded, keywords, line, moment

_MAX_ENTRIES = 512
_MAX_BYTES = 1 << 16
"""Bytes of one value."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 13: 4}
"""Bytes of the types that are read: BYTE, ASCII, SHORT, LONG, UNDEFINED, IFD."""
_IMAGE_DESCRIPTION, _ARTIST, _COPYRIGHT, _EXIF_DIRECTORY = 0x010E, 0x013B, 0x8298, 0x8769
_XP_TITLE, _XP_COMMENT, _XP_KEYWORDS = 0x9C9B, 0x9C9C, 0x9C9E
_TAKEN, _OFFSET, _USER_COMMENT, _MAKER_NOTE = 0x9003, 0x9011, 0x9286, 0x927C
_INTEROPERABILITY_DIRECTORY, _COLOR_SPACE, _INTEROPERABILITY = 0xA005, 0xA001, 0x0001
_TAGS = {
    _INTEROPERABILITY_DIRECTORY, _COLOR_SPACE, _INTEROPERABILITY,
    _IMAGE_DESCRIPTION, _ARTIST, _COPYRIGHT, _EXIF_DIRECTORY,
    _XP_TITLE, _XP_COMMENT, _XP_KEYWORDS, _TAKEN, _OFFSET, _USER_COMMENT, _MAKER_NOTE,
}  # fmt: skip
_BOILERPLATE = {
    "olympus digital camera", "sony dsc", "digital camera", "minolta digital camera", "konica minolta digital camera",
    "kodak digital still camera", "samsung camera pictures", "dcim", "default", "screenshot", "untitled",
}  # fmt: skip
"""Descriptions that cameras and programs write into every picture."""


@dataclass(frozen=True, slots=True)
class _Block:
    data: bytes
    order: str

    def directory(self, offset: int) -> dict[int, bytes]:
        """Return the values of known tags in one directory; values outside the block are skipped."""
        (count,) = struct.unpack_from(self.order + "H", self.data, offset)
        found: dict[int, bytes] = {}
        for at in range(offset + 2, offset + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            if at + 12 > len(self.data):
                break
            tag, kind, number, place = struct.unpack_from(self.order + "HHII", self.data, at)
            size = number * _SIZES.get(kind, 0)
            if tag not in _TAGS or not 0 < size <= _MAX_BYTES:
                continue
            start = at + 8 if size <= 4 else place  # noqa: PLR2004  a value that fits replaces the offset
            found.setdefault(tag, self.data[start : start + size])
        return found

    def number(self, value: bytes) -> int:
        """Return an offset from the first four bytes."""
        return int.from_bytes(value[:4], "little" if self.order == "<" else "big")


def _values(data: bytes) -> tuple[dict[int, bytes], str]:
    """Return the values of an EXIF block or a TIFF, and its byte order; none if it is neither, or damaged."""
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    found: dict[int, bytes] = {}
    if order is None:
        return found, ""
    exif = _Block(data, order)
    try:
        found = exif.directory(exif.number(data[4:8]))
        for deeper in (_EXIF_DIRECTORY, _INTEROPERABILITY_DIRECTORY):
            if deeper in found:
                found |= exif.directory(exif.number(found[deeper]))
    except struct.error:
        return {}, ""
    return found, order


def declares_adobe_rgb(data: bytes) -> bool:
    """Return whether an EXIF block declares Adobe RGB, as cameras do without a profile: R03 (DCF 2.0), or 2."""
    found, order = _values(data)
    return found.get(_INTEROPERABILITY) == b"R03\0" or (
        bool(order) and found.get(_COLOR_SPACE) == struct.pack(order + "H", 2)
    )


def maker_note(data: bytes) -> bytes:
    """Return the note of the camera's maker in an EXIF block; no bytes without one."""
    return _values(data)[0].get(_MAKER_NOTE, b"")


def read_exif(data: bytes) -> EmbeddedText:
    """Return the texts of an EXIF block or a TIFF; no texts if it is neither."""
    found, order = _values(data)
    return _texts(found, little=order == "<") if found else EmbeddedText()


def _texts(found: Mapping[int, bytes], *, little: bool) -> EmbeddedText:
    def ascii_of(tag: int) -> str:
        return decoded(found.get(tag, b"").partition(b"\0")[0])

    def wide(tag: int) -> str:
        """Return a text of Windows, which is always UTF-16 in little endian."""
        return _until_end(found.get(tag, b"").decode("utf-16-le", "ignore"))

    comment = _comment(found.get(_USER_COMMENT, b""), little)
    descriptions = map(block, (ascii_of(_IMAGE_DESCRIPTION), wide(_XP_COMMENT), comment))
    # Photographer and editor are separated by a zero byte and may be blank.
    rights = (decoded(part).strip() for part in found.get(_COPYRIGHT, b"").split(b"\0")[:2])
    # `2024:05:17 10:30:00` and `+02:00`.
    day, _, time = ascii_of(_TAKEN).strip().partition(" ")
    taken = f"{day.replace(':', '-')}T{time.strip()}"
    artist = ascii_of(_ARTIST).replace(";", ", ")
    return EmbeddedText(
        title=line(wide(_XP_TITLE)),
        description=next((text for text in descriptions if text and text.casefold() not in _BOILERPLATE), ""),
        keywords=keywords(wide(_XP_KEYWORDS).split(";")),
        copyright=line(", ".join(filter(None, rights))),
        creator=line(artist),
        taken=moment(taken + ascii_of(_OFFSET).strip()) or moment(taken),
    )


def _until_end(text: str) -> str:
    return text.partition("\0")[0]


def _comment(value: bytes, little: bool) -> str:
    """Return a comment, which begins with eight bytes that name its encoding."""
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        return _until_end(text.decode("utf-16-le" if little else "utf-16-be", "ignore"))
    if code.startswith(b"JIS"):
        return ""
    return decoded(text.partition(b"\0")[0]) if code.startswith(b"ASCII") or not code.strip(b"\0") else ""
