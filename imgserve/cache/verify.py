"""Whether a file without a row is what its name promises: complete, and of that format."""

import io
import struct
from collections.abc import Callable
from typing import Literal

import imagesize

from imgserve.formats import BY_EXTENSION, CHOSEN, HEAD_BYTES, Format, sniff


def named_format(path: str, head: bytes) -> Format | None:
    """Return the format of the first bytes, or None if the file's name promises another one."""
    extension, found = path.rpartition(".")[2], sniff(head[:HEAD_BYTES])
    return found if extension == CHOSEN or found is BY_EXTENSION.get(extension) else None


def whole_format(path: str, data: bytes) -> Format | None:
    """Return the format of a complete file, or None for a copy in progress, a torn file or another format."""
    expected = named_format(path, data)
    if expected is None:
        return None
    ends_well = _ENDINGS.get(expected.name)
    return expected if ends_well is None or ends_well(data) else None


def size_in_pixels(data: bytes) -> tuple[int, int]:
    """Return width and height from the header, or 0, 0 if it does not contain them."""
    width, height = imagesize.get(io.BytesIO(data), exif_rotation=False)
    return max(0, int(width)), max(0, int(height))


def _riff_is_whole(data: bytes) -> bool:
    size = int.from_bytes(data[4:8], "little") + 8
    return len(data) in {size, size + size % 2}


def _boxes_are_whole(data: bytes) -> bool:
    """Walk the outer boxes of ISO/IEC 14496-12, 4.2: size 0 reaches to the end, size 1 means a 64-bit size follows."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return True
        if size < 8:  # noqa: PLR2004  the length of a box header
            return False
        at += size
    return at == len(data)


_TIFF_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of a value by its type (TIFF 6.0, section 2)."""


def _tiff_is_whole(data: bytes) -> bool:
    """Check the first directory and its values, which libtiff writes behind the pixels."""
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    try:
        magic, at = struct.unpack_from(f"{order}2xHI", data)
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        ends: list[int] = [at + 2 + entries * 12 + 4]
        for entry in range(at + 2, at + 2 + entries * 12, 12):
            kind, count, offset = struct.unpack_from(f"{order}2xHII", data, entry)
            size = int(_TIFF_VALUE_BYTES.get(kind, 1) * count)
            ends.append(entry + 12 if size <= 4 else offset + size)  # noqa: PLR2004  small values are in the entry
    except struct.error:
        return False
    # Number 43 is BigTIFF, for files beyond 4 GB, which no rendition is.
    return magic == 42 and entries > 0 and max(ends) <= len(data)  # noqa: PLR2004  TIFF


_ENDINGS: dict[str, Callable[[bytes], bool]] = {
    "jpg": lambda data: data.endswith(b"\xff\xd9"),
    "png": lambda data: data.endswith(b"IEND\xae\x42\x60\x82"),
    "gif": lambda data: data.endswith(b"\x3b"),
    "webp": _riff_is_whole,
    "avif": _boxes_are_whole,
    "tiff": _tiff_is_whole,
}
