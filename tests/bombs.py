"""Hostile originals, made here: small files that cost much where nobody looks at their header first."""

import base64
import functools
import gzip
import struct
import zlib

import pyvips

from tests.pictures import encoded, noise

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{0}" height="{0}">'


def png(width: int, height: int, *, color_type: int = 0, interlaced: bool = False) -> bytes:
    """Make a picture of one color whose rows are really there, for any size."""
    pixel = {0: 1, 2: 3, 6: 4}[color_type]
    left = sum(
        rows * (1 + columns * pixel) for columns, rows in _passes(width, height, interlaced=interlaced) if columns
    )
    packer, piece, packed = zlib.compressobj(1), bytes(1 << 20), []
    while left:
        packed.append(packer.compress(piece[:left]))
        left -= min(left, len(piece))
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, interlaced)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", b"".join(packed) + packer.flush()) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _passes(width: int, height: int, *, interlaced: bool) -> list[tuple[int, int]]:
    """Return columns and rows of the passes of Adam7 (PNG, 8.2)."""
    if not interlaced:
        return [(width, height)]
    steps = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
    return [(len(range(x, width, across)), len(range(y, height, down))) for x, across, y, down in steps]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg(width: int, height: int) -> bytes:
    """Make a picture whose header tells another size than it has."""
    data = bytearray(encoded(noise(64, 64), "jpg"))
    at = next(at for at in range(len(data)) if bytes(data[at : at + 2]) in {b"\xff\xc0", b"\xff\xc2"})
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif(side: int, frames: int) -> bytes:
    """Make an animation of as many frames, each but a pixel of its own."""
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\x04\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return head + frame * frames + b"\x3b"


def tiff(pages: int) -> bytes:
    """Make a file of as many directories, all of one pixel."""
    data = [b"II*\0", struct.pack("<I", 8)]
    entries = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 0), (277, 1), (278, 1), (279, 1))
    size = 2 + 12 * len(entries) + 4
    for page in range(pages):
        following = 8 + (page + 1) * size if page + 1 < pages else 0
        packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
        data.append(struct.pack("<H", len(entries)) + packed + struct.pack("<I", following))
    return b"".join(data)


def svg(body: str, side: int = 100) -> bytes:
    """Make a drawing."""
    return (_SVG.format(side) + body + "</svg>").encode()


def nested_uses(depth: int = 40) -> bytes:
    """Make a drawing of ten to the power of `depth` dots."""
    groups = ['<g id="a0"><rect width="1" height="1"/></g>']
    groups += [f'<g id="a{at}">' + f'<use xlink:href="#a{at - 1}"/>' * 10 + "</g>" for at in range(1, depth)]
    return svg(f'<defs>{"".join(groups)}</defs><use xlink:href="#a{depth - 1}"/>')


def embedding(picture: bytes) -> bytes:
    """Make a drawing that holds a compressed picture."""
    packed = base64.b64encode(picture).decode()
    return svg(f'<image width="100" height="100" xlink:href="data:image/png;base64,{packed}"/>')


def many_elements(number: int = 1_000_000) -> bytes:
    """Make a drawing that takes more memory than 256 MB: librsvg gives up by aborting the process."""
    return svg("<g/>" * number)


def entities(depth: int = 12) -> bytes:
    """Make a drawing of entities that grow tenfold at every level."""
    kinds = ['<!ENTITY e0 "<g/>">']
    kinds += [f'<!ENTITY e{at} "{f"&e{at - 1};" * 10}">' for at in range(1, depth)]
    doctype = f'<?xml version="1.0"?><!DOCTYPE svg [{"".join(kinds)}]>'
    return doctype.encode() + svg(f"&e{depth - 1};")


def svgz(inflated: int, layers: int = 1) -> bytes:
    """Make a compressed drawing of as many bytes, packed once or again and again."""
    start, end = svg("").replace(b"</svg>", b""), b"</svg>"
    data = start + b" " * (inflated - len(start) - len(end)) + end
    for _ in range(layers):
        data = gzip.compress(data, 9)
    return data


@functools.cache
def avif(width: int, height: int) -> bytes:
    """Make a picture of one color."""
    return encoded(pyvips.Image.black(width, height, bands=3).copy(interpretation="srgb"), "avif")
