"""Encoders: fast for the first request, small for all others."""

from dataclasses import dataclass

import pyvips

from imgserve.formats import Format
from imgserve.pipeline import extras, fast, pillow
from imgserve.pipeline.nclx import with_declared_colors
from imgserve.pipeline.order import EncoderSettings
from imgserve.transform.value import Transform

_QUICK_PNG = 3
_PNG_BITS = (1, 2, 4, 8)
"""Bits of the indexes of a PNG palette (PNG 11.2.1)."""


def _options(  # noqa: PLR0911  one return for each format
    name: str, transform: Transform, settings: EncoderSettings
) -> dict[str, object]:
    effort, quality = settings.effort.get(name), transform.quality or settings.quality.get(name)
    quality = quality and max(1, quality - settings.lower.get(name, 0))
    chroma = "off" if transform.chroma == "444" else "on"
    match name:
        case "jpg":
            # Tables of its own cost a baseline JPEG more time than all else, for 3 % of its bytes.
            progressive = transform.progressive or settings.progressive
            return {
                "Q": quality, "interlace": progressive, "optimize_coding": progressive, "subsample_mode": chroma
            }  # fmt: skip
        case "png" if transform.colors:
            return {"palette": True, "effort": 4}
        case "png":
            # All filters only if the compression itself takes longer than trying them.
            return {"compression": effort, "filter": "all" if effort and effort > _QUICK_PNG else "up"}
        case "webp":
            return {"Q": quality, "effort": effort, "lossless": transform.lossless}
        case "avif":
            chroma = "off" if transform.lossless else chroma
            return {
                "Q": quality, "effort": effort, "compression": "av1", "bitdepth": 8, "lossless": transform.lossless,
                "subsample_mode": chroma,
            }  # fmt: skip
        case "gif":
            return {"effort": effort, "bitdepth": _bits(transform.colors or 256)}
        case _:
            return {"compression": "deflate", "predictor": "horizontal"}


_SAVERS = {
    "jpg": pyvips.Image.jpegsave_buffer,
    "png": pyvips.Image.pngsave_buffer,
    "webp": pyvips.Image.webpsave_buffer,
    "avif": pyvips.Image.heifsave_buffer,
    "gif": pyvips.Image.gifsave_buffer,
    "tiff": pyvips.Image.tiffsave_buffer,
}


def _bits(colors: int) -> int:
    """Return the bits of the largest palette, a power of two, with at most so many colors."""
    return max(1, colors.bit_length() - 1)


def _palette(image: pyvips.Image, colors: int) -> tuple[pyvips.Image, int]:
    """Return an image with at most so many colors, and the bits of its PNG index."""
    bits = _bits(colors)
    if bits in _PNG_BITS:
        return image, bits
    if image.hasalpha():
        return image, max(legal for legal in _PNG_BITS if legal <= bits)
    # A PNG index cannot have so many bits, but a GIF palette can, and its colors fit a wider index.
    reduced = pyvips.Image.gifload_buffer(image.gifsave_buffer(bitdepth=bits, keep="none")).copy_memory()
    return reduced, min(legal for legal in _PNG_BITS if legal >= bits)


@dataclass(frozen=True, slots=True)
class Indexed:
    """An original with a palette, or with few shades of gray."""

    bits: int
    """Bits of a pixel."""
    size: int
    """Bytes of the file."""


_MAX_GROWTH = 1.5


def _indexed(image: pyvips.Image, original: Indexed, keep: str) -> bytes:
    """Return a PNG with the finest palette at which it is not much larger than its indexed original."""
    data = b""
    for bits in (bits for bits in (8, 4, 2, 1) if bits >= min(original.bits, 8)):
        data = image.pngsave_buffer(keep=keep, palette=True, bitdepth=bits, dither=0, effort=7, compression=9)
        if len(data) <= _MAX_GROWTH * original.size:
            break
    return data


def encode(
    image: pyvips.Image,
    output: Format,
    transform: Transform,
    settings: EncoderSettings,
    *,
    keep: str,
    indexed: Indexed | None = None,
) -> bytes:
    """Return 8-bit sRGB or gray pixels as a file, with the metadata that `keep` names in libvips.

    Frames of an animation are joined top to bottom, with `page-height` set. A PNG of an indexed original is indexed.
    """
    if output.name == "apng":
        return pillow.encode_animation(image)
    if output.name == "jxl":
        quality, effort = transform.quality or settings.quality["jxl"], settings.effort["jxl"]
        return extras.encode_jxl(image, quality, effort, lossless=transform.lossless)
    if output.name == "png" and indexed and not transform.colors:
        return _indexed(image.copy_memory(), indexed, keep)
    options = _options(output.name, transform, settings)
    if output.name == "png" and transform.colors:
        image, options["bitdepth"] = _palette(image, transform.colors)
    data: bytes = fast.encode(image, output.name, keep, options) or _SAVERS[output.name](image, keep=keep, **options)
    return with_declared_colors(data) if output.name == "avif" else data
