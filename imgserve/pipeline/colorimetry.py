"""Primaries, transfer functions, and ICC profiles made of them."""

import functools
import struct
from collections.abc import Mapping, Sequence

import pyvips

PQ, HLG = 16, 18
"""Codes of transfer functions (ITU-T H.273, table 3)."""
D65, _C = (0.3127, 0.3290), (0.310, 0.316)
BT709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *D65)
Chromaticities = tuple[float, ...]
"""x and y of red, green, blue and white."""
PRIMARIES_OF: Mapping[int, Chromaticities] = {
    1: BT709,
    4: (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, *_C),
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, *D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *D65),
}
"""By code (ITU-T H.273, table 2); others are taken for sRGB."""
_REFERENCE_WHITE = 203
"""Candela per square meter (ITU-R BT.2408)."""
_HLG_PEAK = 1000
_HLG_MIDDLE = 0.5


def light_of(colors: pyvips.Image, transfer: int, to_luma: Sequence[float]) -> pyvips.Image:
    """Return the linear light of PQ or HLG in 8 or 16 bits (ITU-R BT.2100), with reference white at 1."""
    deep = colors.format == "ushort"
    signal = pyvips.Image.identity(ushort=deep) / (65535 if deep else 255)
    if transfer == PQ:
        root = signal ** (1 / 78.84375)
        base = (root - 0.8359375) / (root * -18.6875 + 18.8515625)
        table = (base > 0).ifthenelse(base, 0) ** (1 / 0.1593017578125) * (10_000 / _REFERENCE_WHITE)
        return colors.maplut(table.cast("float"))
    upper = (((signal - 0.55991073) / 0.17883277).exp() + 0.28466892) / 12
    scene = colors.maplut((signal <= _HLG_MIDDLE).ifthenelse(signal**2 / 3, upper).cast("float"))
    return scene * scene.recomb([list(to_luma)]) ** 0.2 * (_HLG_PEAK / _REFERENCE_WHITE)


def primaries_to_xyz(primaries: int) -> list[list[float]]:
    """Return the matrix from linear RGB of primaries to XYZ, whose Y is 1 for white."""
    return _to_xyz(PRIMARIES_OF.get(primaries, BT709))


def profile_of(primaries: int) -> bytes:
    """Return an ICC profile of primaries, with the curve of sRGB."""
    return icc_profile(PRIMARIES_OF.get(primaries, BT709), None)


def _to_xyz(xy: Chromaticities) -> list[list[float]]:
    columns = [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(xy[::2], xy[1::2], strict=True)]
    red, green, blue, white = columns
    whole = _determinant(red, green, blue)
    scales = (
        _determinant(white, green, blue) / whole,
        _determinant(red, white, blue) / whole,
        _determinant(red, green, white) / whole,
    )
    return [
        [part * scale for part, scale in zip(row, scales, strict=True)] for row in zip(red, green, blue, strict=True)
    ]


def _determinant(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])


_BRADFORD = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
_FROM_BRADFORD = [
    [0.9869929, -0.1470543, 0.1599627],
    [0.4323053, 0.5183603, 0.0492912],
    [-0.0085287, 0.0400428, 0.9684867],
]
_D50 = (0.9642, 1.0, 0.8249)


def _times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


@functools.lru_cache(maxsize=64)
def icc_profile(xy: Chromaticities, gamma: float | None) -> bytes:
    """Return an ICC profile (ICC.1:2022) of primaries and a gamma, or the curve of sRGB.

    Primaries that cannot exist raise ZeroDivisionError.
    """
    x, y = xy[6:]
    response, wanted = _times(_BRADFORD, (x / y, 1.0, (1 - x - y) / y)), _times(_BRADFORD, _D50)
    gains = [one / other for one, other in zip(wanted, response, strict=True)]
    colorants = [
        _times(_FROM_BRADFORD, [part * gain for part, gain in zip(_times(_BRADFORD, column), gains, strict=True)])
        for column in zip(*_to_xyz(xy), strict=True)
    ]
    curve = (0, gamma) if gamma else (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    name = "Declared color".encode("utf-16-be")
    tags = {
        b"desc": b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(name), 28) + name,
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(colorants[0]),
        b"gXYZ": _xyz(colorants[1]),
        b"bXYZ": _xyz(colorants[2]),
    }
    para = b"para\0\0\0\0" + struct.pack(">HH", curve[0], 0) + b"".join(map(_fixed, curve[1:]))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), para)
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for sign, content in tags.items():
        table += sign + struct.pack(">II", offset + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4xI", offset + len(body), 0x04300000) + b"mntrRGB XYZ ".ljust(24, b"\0") + b"acsp"
    head = head.ljust(64, b"\0") + struct.pack(">I", 1) + b"".join(map(_fixed, _D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))
