"""Declare the colors of an AVIF, as libheif does only for some (ISO/IEC 14496-12, 12.1.5, and 23008-12)."""

import struct
from collections.abc import Iterator

BT709, SRGB, BT601, FULL_RANGE = 1, 13, 6, 0x80
"""Primaries, transfer function and matrix of the YCbCr that libheif makes of sRGB (ITU-T H.273), and its range."""
_NCLX = struct.pack(">I4s4sHHHB", 19, b"colr", b"nclx", BT709, SRGB, BT601, FULL_RANGE)
_GROWTH = len(_NCLX) + 1


def with_declared_colors(data: bytes) -> bytes:
    """Return an AVIF of sRGB pixels that says so; one that has a profile or a declaration is returned as it is.

    Raises:
        ValueError: the file does not have the structure that libheif writes.
    """
    meta = _box(data, b"meta", 0, len(data))
    iprp = _box(data, b"iprp", meta + 12, _end(data, meta))
    ipco = _box(data, b"ipco", iprp + 8, _end(data, iprp))
    properties = [kind for _, kind in _boxes(data, ipco + 8, _end(data, ipco))]
    if b"colr" in properties:
        return data
    ipma = _box(data, b"ipma", iprp + 8, _end(data, iprp))
    iloc = _box(data, b"iloc", meta + 12, _end(data, meta))
    pitm = _box(data, b"pitm", meta + 12, _end(data, meta))
    versions = {data[box + 8 : box + 12] for box in (ipma, iloc, pitm)}
    places = data[iloc + 12 : iloc + 14]
    if versions != {bytes(4)} or places != b"\x44\x40" or data[ipma + 16 : ipma + 18] != data[pitm + 12 : pitm + 14]:
        raise ValueError("an AVIF has another structure than libheif's")
    changed = bytearray(data)
    for box, growth in ((meta, _GROWTH), (iprp, _GROWTH), (ipco, len(_NCLX)), (ipma, 1)):
        struct.pack_into(">I", changed, box, _size(data, box) + growth)
    for at in _base_offsets(data, iloc):
        struct.pack_into(">I", changed, at, struct.unpack_from(">I", data, at)[0] + _GROWTH)
    # The first entry is that of the picture: its id, then the number of its properties, and the index of each.
    count = ipma + 18
    changed[count] += 1
    end = count + 1 + data[count]
    changed[end:end] = bytes([len(properties) + 1])
    changed[_end(data, ipco) : _end(data, ipco)] = _NCLX
    return bytes(changed)


def _base_offsets(data: bytes, iloc: int) -> Iterator[int]:
    """Yield where the place of each item in the file is stated."""
    at = iloc + 16
    for _ in range(struct.unpack_from(">H", data, iloc + 14)[0]):
        yield at + 4
        at += 10 + 8 * struct.unpack_from(">H", data, at + 8)[0]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    while start + 8 <= end:
        yield start, data[start + 4 : start + 8]
        start += max(8, _size(data, start))


def _box(data: bytes, kind: bytes, start: int, end: int) -> int:
    """Return where the first box of a kind is."""
    for at, name in _boxes(data, start, end):
        if name == kind:
            return at
    raise ValueError(f"an AVIF has no box {kind.decode()}")


def _size(data: bytes, box: int) -> int:
    return int(struct.unpack_from(">I", data, box)[0])


def _end(data: bytes, box: int) -> int:
    return box + _size(data, box)
