"""HEIC files with a gain map as an iPhone writes them, made for tests."""

import io
import struct

import pillow_heif
import pyvips
from PIL import Image

from tests.embedded import UNDEFINED, exif

_MAKER_NOTE = 0x927C
_GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"


def iphone_heic(picture: pyvips.Image, gains: pyvips.Image, headroom: tuple[float, float]) -> bytes:
    """Make a HEIC with a gain map of one band, and a note with these values of the tags 33 and 48."""
    note = exif({}, {_MAKER_NOTE: (UNDEFINED, _note(headroom))}, order=">")
    file = pillow_heif.from_pillow(Image.frombytes("RGB", (picture.width, picture.height), picture.write_to_memory()))
    file.add_from_pillow(Image.frombytes("L", (gains.width, gains.height), gains.write_to_memory()))
    buffer = io.BytesIO()
    file.save(buffer, quality=95, primary_index=0, exif=note, chroma=444)
    return _second_as_gain_map(buffer.getvalue())


def _note(values: tuple[float, float]) -> bytes:
    start = 16 + 2 * 12 + 4
    entries = b"".join(struct.pack(">HHII", tag, 10, 1, start + 8 * at) for at, tag in enumerate((33, 48)))
    numbers = b"".join(struct.pack(">ii", round(value * 10_000), 10_000) for value in values)
    return b"Apple iOS\0\0\x01MM" + struct.pack(">H", 2) + entries + bytes(4) + numbers


def _second_as_gain_map(data: bytes) -> bytes:
    """Make the second image of a file of pillow-heif an auxiliary one of the first (ISO/IEC 23008-12, 6.5.8)."""
    starts = {name: data.index(name) - 4 for name in (b"meta", b"iloc", b"iprp", b"ipco", b"ipma", b"iref", b"mdat")}
    file, at, number = bytearray(data), starts[b"ipco"] + 8, 1
    while at < starts[b"ipma"]:
        number, at = number + 1, at + int.from_bytes(data[at : at + 4], "big")
    # The second of three items is EXIF.
    kind, reference = _box(b"auxC", bytes(4) + _GAIN_MAP), _box(b"auxl", struct.pack(">HHH", 3, 1, 1))
    grown = {b"ipco": len(kind), b"ipma": 1, b"iprp": len(kind) + 1, b"iref": len(reference)}
    grown[b"meta"] = grown[b"iprp"] + grown[b"iref"]
    for name, by in grown.items():
        _add(file, starts[name], by)
    for item in range(3):
        _add(file, starts[b"iloc"] + 20 + 18 * item, grown[b"meta"])
    first = starts[b"ipma"] + 16
    second = first + 3 + file[first + 2]
    end = second + 3 + file[second + 2]
    file[second + 2] += 1
    return bytes(
        file[: starts[b"ipma"]] + kind + file[starts[b"ipma"] : end] + bytes((number,))
        + file[end : starts[b"mdat"]] + reference + file[starts[b"mdat"] :]
    )  # fmt: skip


def _add(file: bytearray, at: int, number: int) -> None:
    struct.pack_into(">I", file, at, int.from_bytes(file[at : at + 4], "big") + number)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content
