"""Encoders and their settings: fast for the first request, small for all others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pyvips

from imgserve.formats import FORMATS, Format
from imgserve.transform.value import Transform

# Measured by benchmarks/encoders.py; the table and the choice are in benchmarks/ENCODERS.md.
EFFORTS: Mapping[str, int] = MappingProxyType({"webp": 2, "avif": 0, "png": 6, "gif": 3})
QUALITIES: Mapping[str, int] = MappingProxyType({n: f.quality for n, f in FORMATS.items() if f.quality is not None})


_QUICK_PNG = 3
_PNG_BITS = (1, 2, 4, 8)
"""Bits of the indexes of a PNG palette (PNG 11.2.1)."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Default qualities and efforts by format."""

    quality: Mapping[str, int] = field(default_factory=lambda: dict(QUALITIES))
    effort: Mapping[str, int] = field(default_factory=lambda: dict(EFFORTS))


def _jpg(transform: Transform, settings: EncoderSettings) -> dict[str, object]:
    return {
        "Q": transform.quality or settings.quality["jpg"],
        "interlace": transform.progressive,
        "optimize_coding": True,
        "subsample_mode": "off" if transform.chroma == "444" else "on",
    }


def _png(transform: Transform, settings: EncoderSettings) -> dict[str, object]:
    if transform.colors:
        return {"palette": True, "effort": 4}
    return {"compression": settings.effort["png"], "filter": _png_filter(settings.effort["png"])}


def _png_filter(compression: int) -> str:
    """Return all filters only if the compression itself takes longer than trying them."""
    return "all" if compression > _QUICK_PNG else "up"


def _webp(transform: Transform, settings: EncoderSettings) -> dict[str, object]:
    return {
        "Q": transform.quality or settings.quality["webp"],
        "effort": settings.effort["webp"],
        "lossless": transform.lossless,
    }


def _avif(transform: Transform, settings: EncoderSettings) -> dict[str, object]:
    return {
        "Q": transform.quality or settings.quality["avif"],
        "effort": settings.effort["avif"],
        "compression": "av1",
        "bitdepth": 8,
        "lossless": transform.lossless,
        "subsample_mode": "off" if transform.chroma == "444" or transform.lossless else "on",
    }


def _gif(transform: Transform, settings: EncoderSettings) -> dict[str, object]:
    return {"effort": settings.effort["gif"], "bitdepth": _bits(transform.colors or 256)}


def _tiff(_transform: Transform, _settings: EncoderSettings) -> dict[str, object]:
    return {"compression": "deflate", "predictor": "horizontal"}


def _bits(colors: int) -> int:
    """Return the bits of the largest palette, a power of two, with at most so many colors."""
    return max(1, colors.bit_length() - 1)


_OPTIONS: dict[str, Callable[[Transform, EncoderSettings], dict[str, object]]] = {
    "jpg": _jpg,
    "png": _png,
    "webp": _webp,
    "avif": _avif,
    "gif": _gif,
    "tiff": _tiff,
}

_SAVERS = {
    "jpg": pyvips.Image.jpegsave_buffer,
    "png": pyvips.Image.pngsave_buffer,
    "webp": pyvips.Image.webpsave_buffer,
    "avif": pyvips.Image.heifsave_buffer,
    "gif": pyvips.Image.gifsave_buffer,
    "tiff": pyvips.Image.tiffsave_buffer,
}


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


def encode(image: pyvips.Image, output: Format, transform: Transform, settings: EncoderSettings, *, keep: str) -> bytes:
    """Return 8-bit sRGB or gray pixels as a file.

    Args:
        image: one frame, or frames joined top to bottom with `page-height` set.
        output: a writable format.
        transform: a normalized transform.
        settings: defaults of the transform.
        keep: metadata that libvips writes.
    """
    options = _OPTIONS[output.name](transform, settings)
    if output.name == "png" and transform.colors:
        image, options["bitdepth"] = _palette(image, transform.colors)
    data: bytes = _SAVERS[output.name](image, keep=keep, **options)
    return data
