"""Blocks of metadata as programs write them into files, made for tests."""

import struct
from collections.abc import Mapping

ASCII, BYTE, LONG, RATIONAL, UNDEFINED = 2, 1, 4, 5, 7

IMAGE_DESCRIPTION, MAKE, ARTIST, COPYRIGHT, EXIF_DIRECTORY, GPS_DIRECTORY = (
    0x010E,
    0x010F,
    0x013B,
    0x8298,
    0x8769,
    0x8825,
)
XP_TITLE, XP_COMMENT, XP_KEYWORDS = 0x9C9B, 0x9C9C, 0x9C9E
TAKEN, OFFSET, USER_COMMENT, SERIAL = 0x9003, 0x9011, 0x9286, 0xA431

Directory = Mapping[int, tuple[int, bytes]]


def ascii_value(text: str, encoding: str = "utf-8") -> tuple[int, bytes]:
    """Make a value of EXIF as cameras write it."""
    return ASCII, text.encode(encoding) + b"\0"


def wide_value(text: str) -> tuple[int, bytes]:
    """Make a value of EXIF as Windows writes it."""
    return BYTE, (text + "\0").encode("utf-16-le")


def exif(main: Directory, deeper: Directory | None = None, gps: Directory | None = None, order: str = "<") -> bytes:
    """Make a block of EXIF of three directories."""
    data = b"Exif\0\0" + (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    directories = {EXIF_DIRECTORY: deeper, GPS_DIRECTORY: gps}
    entries = dict(main) | {tag: (LONG, bytes(4)) for tag, each in directories.items() if each}
    at = 8 + _size(entries)
    for tag, each in directories.items():
        if each:
            entries[tag] = (LONG, struct.pack(order + "I", at))
            at += _size(each)
    data += _directory(entries, 8, order)
    at = 8 + _size(entries)
    for each in directories.values():
        if each:
            data += _directory(each, at, order)
            at += _size(each)
    return data


def _size(entries: Directory) -> int:
    return 6 + 12 * len(entries) + sum(len(value) for _, value in entries.values() if len(value) > 4)


def _directory(entries: Directory, start: int, order: str) -> bytes:
    heads, values = struct.pack(order + "H", len(entries)), b""
    place = start + 6 + 12 * len(entries)
    for tag, (kind, value) in sorted(entries.items()):
        number = len(value) // {LONG: 4, RATIONAL: 8}.get(kind, 1)
        if len(value) > 4:
            heads += struct.pack(order + "HHII", tag, kind, number, place + len(values))
            values += value
        else:
            heads += struct.pack(order + "HHI", tag, kind, number) + value.ljust(4, b"\0")
    return heads + bytes(4) + values


def iptc(*values: tuple[int, bytes], utf8: bool = True) -> bytes:
    """Make a block of IPTC of data sets of the second record."""
    sets = [(1, 90, b"\x1b%G")] if utf8 else []
    sets += [(2, number, value) for number, value in values]
    return b"".join(struct.pack(">BBBH", 0x1C, record, number, len(value)) + value for record, number, value in sets)


def photoshop(block: bytes) -> bytes:
    """Wrap a block of IPTC as JPEG has it, behind a resource of another kind."""
    other = b"8BIM" + struct.pack(">H", 0x03ED) + b"\x03abc" + struct.pack(">I", 3) + b"xyz\0"
    return (
        b"Photoshop 3.0\0"
        + other
        + b"8BIM"
        + struct.pack(">H", 0x0404)
        + b"\0\0"
        + struct.pack(">I", len(block))
        + block
    )


def xmp(properties: str, attributes: str = "") -> bytes:
    """Make a packet of XMP."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" {attributes}>
{properties}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def listed(name: str, *values: str, kind: str = "Bag") -> str:
    """Write a property of several values."""
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"
