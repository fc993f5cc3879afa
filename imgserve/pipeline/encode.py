"""Encoders, set for an origin: a picture is made once and sent often, but somebody waits for the first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pyvips

from imgserve.formats import FORMATS, Format
from imgserve.transform.value import Transform

# Efforts by benchmarks/encoders.py; its table and the choice are in benchmarks/ENCODERS.md.
EFFORTS: Mapping[str, int] = MappingProxyType({"webp": 2, "avif": 0, "png": 6, "gif": 3})
QUALITIES: Mapping[str, int] = MappingProxyType({n: f.quality for n, f in FORMATS.items() if f.quality is not None})


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Qualities where the URL names none, and how hard each encoder tries."""

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
        return {"palette": True, "bitdepth": _png_bits(transform.colors), "effort": 4}
    return {"compression": settings.effort["png"], "filter": "all" if settings.effort["png"] > 3 else "up"}  # noqa: PLR2004


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
    """Palettes hold a power of two; the asked number is the most."""
    return max(1, colors.bit_length() - 1)


def _png_bits(colors: int) -> int:
    """Indexes of a PNG palette have 1, 2, 4 or 8 bits (PNG 11.2.1)."""
    return max(bits for bits in (1, 2, 4, 8) if bits <= _bits(colors))


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


def encode(image: pyvips.Image, output: Format, transform: Transform, settings: EncoderSettings, *, keep: str) -> bytes:
    """Encode 8 bit sRGB or gray pixels.

    Args:
        image: one frame, or frames joined top to bottom with `page-height` set.
        output: a writable format.
        transform: settled; its quality and the like.
        settings: what the transform leaves open.
        keep: which metadata libvips writes.
    """
    data: bytes = _SAVERS[output.name](image, keep=keep, **_OPTIONS[output.name](transform, settings))
    return data
