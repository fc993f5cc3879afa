"""GIF files written byte by byte, as no encoder writes them."""

import struct
from collections.abc import Sequence

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
_BITS = 2


def plain_gif(frames: Sequence[tuple[int, int, int, int, int]], side: int = 16) -> bytes:
    """Return frames of one color (left, top, width, height, index) that are all disposed to the background.

    None declares a transparent color.
    """
    data = (
        b"GIF89a" + struct.pack("<HHBBB", side, side, 0x81, 0, 0) + bytes(part for color in PALETTE for part in color)
    )
    for left, top, width, height, index in frames:
        data += b"\x21\xf9\x04" + struct.pack("<BHBB", 2 << 2, 10, 0, 0)
        data += b"\x2c" + struct.pack("<HHHHB", left, top, width, height, 0) + _coded([index] * (width * height))
    return data + b";"


def _coded(pixels: Sequence[int]) -> bytes:
    """Return pixels as codes of one length: the table is cleared before codes grow."""
    clear, number, bits = 1 << _BITS, 0, 0
    codes = [clear if at % 3 == 0 else pixels[at - at // 3 - 1] for at in range(len(pixels) + -(-len(pixels) // 2))]
    for code in (*codes, clear + 1):
        number |= code << bits
        bits += _BITS + 1
    coded = number.to_bytes(-(-bits // 8), "little")
    blocks = (coded[at : at + 255] for at in range(0, len(coded), 255))
    return bytes([_BITS]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
