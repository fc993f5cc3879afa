"""Color that a file declares outside an ICC profile: nclx in AVIF and HEIC, chunks in PNG, hints in EXIF.

A declaration becomes an ICC profile of the loaded image. PQ and HLG, which a profile cannot express, become fields that
`color` tone-maps.
"""

import itertools
import struct
from collections.abc import Mapping

import pyvips

from imgserve.formats import png_chunks
from imgserve.pipeline.colorimetry import BT709, D65, HLG, PQ, PRIMARIES_OF, Chromaticities, icc_profile
from imgserve.pipeline.exif import declares_adobe_rgb
from imgserve.pipeline.fields import field, with_fields, without

TRANSFER, PRIMARIES = "imgserve-transfer", "imgserve-primaries"
"""Fields of an image with PQ or HLG: codes of ITU-T H.273."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
"""By code of the transfer (table 3). Those of video and unknown ones are taken for sRGB, as in browsers."""
_ADOBE_RGB = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, *D65)
_ADOBE_GAMMA = 563 / 256
_PNG_GAMMA = 0.45455
_MAX_CHUNKS = 1000


def with_declared_color(image: pyvips.Image, name: str, data: bytes, nclx: Mapping[str, int] | None) -> pyvips.Image:
    """Return an image loaded from data of a format with its declared color; `nclx` is that of a HEIF file."""
    has_profile = bool(image.get_typeof("icc-profile-data"))
    if name == "png":
        return _of_png(image, _color_chunks(data), has_profile=has_profile)
    if has_profile:
        return image
    if nclx:
        return _of_codes(image, nclx["color_primaries"], nclx["transfer_characteristics"])
    if declares_adobe_rgb(field(image, "exif-data", b"")):
        return _with_profile(image, _ADOBE_RGB, _ADOBE_GAMMA)
    return image


def _color_chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a PNG before its pixels that describe color."""
    found: dict[bytes, bytes] = {}
    before = itertools.takewhile(lambda chunk: chunk[0] != b"IDAT", png_chunks(data))
    for kind, content in itertools.islice(before, _MAX_CHUNKS):
        if kind in {b"cICP", b"sRGB", b"gAMA", b"cHRM"}:
            found.setdefault(kind, content)
    return found


def _of_png(image: pyvips.Image, chunks: Mapping[bytes, bytes], *, has_profile: bool) -> pyvips.Image:
    """Return an image with the color of the chunk that decides (PNG 3, 4.3): cICP, iCCP, sRGB, then gAMA and cHRM."""
    if len(chunks.get(b"cICP", b"")) == 4:  # noqa: PLR2004  primaries, transfer, matrix, range
        primaries, transfer, _matrix, full = chunks[b"cICP"]
        if not full:
            # Black is at 16 of 255 and white at 235; alpha has the whole range.
            step = 1 if image.format == "uchar" else 256
            bands = image.bands - image.hasalpha()
            colors = ((image[:bands] - 16 * step) * (255 / 219)).cast(image.format)
            image = (colors.bandjoin(image[bands]) if image.hasalpha() else colors).copy(
                interpretation=image.interpretation
            )
        return _of_codes(without(image, "icc-profile-data"), primaries, transfer)
    if has_profile or b"sRGB" in chunks:
        return image
    try:
        gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000 if b"gAMA" in chunks else _PNG_GAMMA
        stated = [part / 100_000 for part in struct.unpack(">8I", chunks[b"cHRM"])] if b"cHRM" in chunks else None
    except struct.error:
        return image
    xy = (*stated[2:], *stated[:2]) if stated else BT709
    plain = abs(gamma - _PNG_GAMMA) < 0.01  # noqa: PLR2004  what encoders write for sRGB
    same = all(abs(one - other) < 0.003 for one, other in zip(xy, BT709, strict=True))  # noqa: PLR2004  rounded
    if (plain and same) or not 0.05 < gamma < 20:  # noqa: PLR2004  no display has it
        return image
    return _with_profile(image, xy, None if plain else 1 / gamma)


def _of_codes(image: pyvips.Image, primaries: int, transfer: int) -> pyvips.Image:
    if transfer in {PQ, HLG}:
        return with_fields(image, {TRANSFER: transfer, PRIMARIES: primaries})
    gamma = _GAMMAS.get(transfer)
    xy = PRIMARIES_OF.get(primaries, BT709)
    return image if gamma is None and xy == BT709 else _with_profile(image, xy, gamma)


def _with_profile(image: pyvips.Image, xy: Chromaticities, gamma: float | None) -> pyvips.Image:
    if image.bands < 3 and not gamma:  # noqa: PLR2004  gray has no primaries
        return image
    try:
        profile = icc_profile(tuple(xy), gamma)
    except ZeroDivisionError:
        return image  # impossible chromaticities
    if image.bands < 3:  # noqa: PLR2004  gray: the profile is one for colors
        image = image.colourspace("rgb16" if image.format == "ushort" else "srgb")
    return with_fields(image, {"icc-profile-data": profile})
