"""Encoders and their settings: fast for the first request, small for all others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import pyvips

from imgserve.formats import FORMATS, SIMILARITY, Format
from imgserve.pipeline import extras, pillow
from imgserve.pipeline.nclx import with_declared_colors
from imgserve.transform.value import Transform

# Measured by benchmarks/encoders.py; the table and the choice are in benchmarks/ENCODERS.md.
EFFORTS: Mapping[str, int] = MappingProxyType({"webp": 2, "avif": 0, "png": 6, "gif": 3, "jxl": 3})
QUALITIES: Mapping[str, int] = MappingProxyType({n: f.quality for n, f in FORMATS.items() if f.quality is not None})
_THOROUGH: Mapping[str, int] = MappingProxyType({"webp": 4, "avif": 3})
_MADE_UP: Mapping[str, int] = MappingProxyType({"webp": 2, "avif": 3})
"""Quality that this effort makes up for: measured for equal structural similarity."""
HITS_TO_PAY: Mapping[str, int] = MappingProxyType({"jpg": 10, "webp": 25, "avif": 50})
"""Where the bytes saved outweigh the time: benchmarks/ENCODERS.md."""
_QUICK_PNG = 3
_PNG_BITS = (1, 2, 4, 8)
"""Bits of the indexes of a PNG palette (PNG 11.2.1)."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Default qualities and efforts by format."""

    quality: Mapping[str, int] = field(default_factory=lambda: dict(QUALITIES))
    effort: Mapping[str, int] = field(default_factory=lambda: dict(EFFORTS))
    similarity: float = SIMILARITY
    """Structural similarity that `quality=auto` aims at."""
    progressive: bool = False
    """Write every jpg progressive."""
    lower: Mapping[str, int] = field(default_factory=dict)
    """How much lower every quality is, by format."""

    def thorough(self) -> "EncoderSettings":
        """Return the settings for renditions that are requested often."""
        efforts = {name: max(effort, _THOROUGH.get(name, 0)) for name, effort in self.effort.items()}
        return replace(self, effort=efforts, progressive=True, lower=dict(_MADE_UP))

    def hits_to_pay(self, transform: Transform) -> int | None:
        """Return after how many hits of a rendition more effort pays; None if there is none to add."""
        name = "avif" if "best" in transform.auto else transform.format or ""
        # A limit on bytes is used up in any case.
        if transform.lossless or transform.max_bytes or (name == "jpg" and (transform.progressive or self.progressive)):
            return None
        return HITS_TO_PAY.get(name) if self.effort.get(name, 0) < _THOROUGH.get(name, 1) else None


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
    data: bytes = _SAVERS[output.name](image, keep=keep, **options)
    return with_declared_colors(data) if output.name == "avif" else data
