"""The gain map of a photograph of an iPhone (HEIC), expressed as ISO 21496-1 does.

Apple describes it in "Applying Apple HDR effect to your photos": the HDR picture is the picture times
1 + (headroom - 1) * gain, with a gain of one band that has the transfer of Rec. 709.
"""

import math
import struct

import pi_heif
import pyvips

from imgserve.pipeline import pillow
from imgserve.pipeline.exif import maker_note

_TYPE = "urn:com:apple:photo:2020:aux:hdrgainmap"
_QUALITY = 95
_SIGN = b"Apple iOS\0"
_DIRECTORY = 14
"""Offset in the note, behind its name, version and byte order."""
_MAX_ENTRIES = 512
_HEADROOM, _GAIN = 33, 48
_RATIONAL = 10
_LOW_GAIN = 0.01
_MAX_STOPS = 8.0


def gain_map_of(data: bytes) -> tuple[bytes, float] | None:
    """Return the gains of a HEIC as a JPEG of logarithms, and the headroom that its white stands for; None without.

    Raises ImgserveError if the gain map is damaged.
    """
    with pillow.translated("heic"):
        opened = pi_heif.open_heif(data)
        found, headroom = opened.info.get("aux", {}).get(_TYPE), _headroom(maker_note(opened.info.get("exif") or b""))
        if not found or headroom <= 1:
            return None
        gains = opened.get_aux_image(found[0])
        pixels, stride, (width, height) = bytes(gains.data), gains.stride, gains.size
    bands = len(gains.mode)
    rows = pyvips.Image.new_from_memory(pixels, stride, height, 1, "uchar").crop(0, 0, width * bands, height)
    image = pyvips.Image.new_from_memory(rows.write_to_memory(), width, height, bands, "uchar")
    image = image.maplut(_logarithms(headroom))[0].copy(interpretation="b-w")
    return bytes(image.jpegsave_buffer(Q=_QUALITY, keep="none")), headroom


def _logarithms(headroom: float) -> pyvips.Image:
    """Return a table from the values of Apple's gain map to the share of the headroom's stops."""
    coded = pyvips.Image.identity() / 255
    linear = (coded < 0.081).ifthenelse(coded / 4.5, ((coded + 0.099) / 1.099) ** (1 / 0.45))  # noqa: PLR2004  Rec. 709
    stops = (linear * (headroom - 1) + 1).log() / math.log(headroom)
    return (stops * 255).rint().cast("uchar")


def _headroom(note: bytes) -> float:
    """Return how many times as bright as white the picture gets, by Apple's note in EXIF; 1 without it."""
    values: dict[int, float] = {}
    if note.startswith(_SIGN):
        order = "<" if note[12:14] == b"II" else ">"
        try:
            (count,) = struct.unpack_from(order + "H", note, _DIRECTORY)
            for at in range(_DIRECTORY + 2, _DIRECTORY + 2 + 12 * min(count, _MAX_ENTRIES), 12):
                tag, kind, _, place = struct.unpack_from(order + "HHII", note, at)
                if tag in {_HEADROOM, _GAIN} and kind == _RATIONAL:
                    above, below = struct.unpack_from(order + "ii", note, place)
                    values[tag] = above / below
        except (struct.error, ZeroDivisionError):
            return 1.0
    if values.keys() != {_HEADROOM, _GAIN}:
        return 1.0
    low, gain = values[_HEADROOM] < 1, values[_GAIN]
    if gain <= _LOW_GAIN:
        stops = 1.8 - 20 * gain if low else 3.0 - 70 * gain
    else:
        stops = 1.601 - 0.101 * gain if low else 2.303 - 0.303 * gain
    return math.exp2(min(max(stops, 0.0), _MAX_STOPS))
