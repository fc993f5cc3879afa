"""Originals written byte by byte, in formats that no library of the tests writes: camera RAW and PDF."""

import struct
from collections.abc import Sequence

_TYPES = {"B": 1, "H": 3, "I": 4, "u": 5, "i": 10}
"""Types of TIFF by their codes for struct; `u` stands for fractions of `I`."""


def dng(width: int = 64, height: int = 48, *, orientation: int = 1) -> bytes:
    """Return a camera RAW of one reddish color: a Bayer mosaic of 16 bits, as Adobe's DNG."""
    red, green, blue = 40000, 8000, 6000
    rows = [struct.pack("<HH", *pair) * (width // 2) for pair in ((red, green), (green, blue))]
    pixels = b"".join(rows) * (height // 2)
    matrix = (32400, -15400, -5000, -9700, 18800, 400, 600, -2000, 10600)
    entries: list[tuple[int, str, Sequence[int]]] = [
        (254, "I", [0]), (256, "I", [width]), (257, "I", [height]), (258, "H", [16]), (259, "H", [1]),
        (262, "H", [32803]), (273, "I", [0]), (274, "H", [orientation]), (277, "H", [1]), (278, "I", [height]),
        (279, "I", [len(pixels)]), (33421, "H", [2, 2]), (33422, "B", [0, 1, 1, 2]), (50706, "B", [1, 4, 0, 0]),
        (50707, "B", [1, 1, 0, 0]), (50717, "I", [65535]),
        (50721, "i", [part for one in matrix for part in (one, 10000)]),
        (50728, "u", [1, 1, 1, 1, 1, 1]), (50778, "H", [21]),
    ]  # fmt: skip
    directory, extra, start = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, code, values in entries:
        packed = struct.pack(f"<{len(values)}{code.replace('u', 'I')}", *values)
        number = len(values) // 2 if code in "ui" else len(values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", start + len(extra)), extra + packed
        directory += struct.pack("<HHI", tag, _TYPES[code], number) + packed.ljust(4, b"\0")
    at = directory.index(struct.pack("<HHI", 273, 4, 1)) + 8
    directory = directory[:at] + struct.pack("<I", start + len(extra)) + directory[at + 4 :]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + b"\0" * 4 + extra + pixels


def pdf(pages: Sequence[tuple[int, int, tuple[int, int, int]]]) -> bytes:
    """Return a document of plain pages: width and height in points, and color."""
    kids = b" ".join(b"%d 0 R" % (3 + 2 * at) for at in range(len(pages)))
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(pages))]
    for at, (width, height, color) in enumerate(pages):
        drawing = b"%g %g %g rg 0 0 %d %d re f" % (*(part / 255 for part in color), width, height)
        box = b"/MediaBox[0 0 %d %d]" % (width, height)
        objects.append(b"<</Type/Page/Parent 2 0 R%s/Contents %d 0 R>>" % (box, 4 + 2 * at))
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(drawing), drawing))
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(b"%010d 00000 n \n" % len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(places)
    return data + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, len(data))
