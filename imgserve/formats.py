"""The image formats: names, first bytes and abilities.

A format is decided by the first bytes of a file, never by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass

HEAD_BYTES = 4096
"""Number of bytes that `sniff` needs; SVG may start with a long comment or DOCTYPE."""


@dataclass(frozen=True, slots=True)
class Format:
    """One image format."""

    name: str
    media_type: str
    extensions: tuple[str, ...]
    readable: bool = True
    writable: bool = True
    web_safe: bool = False
    """Every browser shows it in an `<img>`."""
    alpha: bool = True
    animation: bool = False
    lossy: bool = False
    quality: int | None = None
    """Default quality of the encoder, if the format has one."""
    fallback: str = "jpg"
    """Format for a client that does not accept this one."""


FORMATS = {
    item.name: item
    for item in (
        Format("jpg", "image/jpeg", ("jpg", "jpeg", "jpe", "jfif"), web_safe=True, alpha=False, lossy=True, quality=80),
        Format("png", "image/png", ("png",), web_safe=True, fallback="png"),
        Format("webp", "image/webp", ("webp",), web_safe=True, animation=True, lossy=True, quality=84, fallback="png"),
        Format("avif", "image/avif", ("avif",), web_safe=True, lossy=True, quality=66),
        Format("gif", "image/gif", ("gif",), web_safe=True, animation=True, fallback="gif"),
        Format("tiff", "image/tiff", ("tiff", "tif")),
        Format("heic", "image/heic", ("heic", "heif"), writable=False),
        Format("svg", "image/svg+xml", ("svg", "svgz"), writable=False, fallback="png"),
    )
}

BY_EXTENSION = {extension: item for item in FORMATS.values() for extension in item.extensions}

_HEVC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}


def _isobmff(head: bytes) -> str | None:
    """Distinguish AVIF from HEIC by the brands of the `ftyp` box (ISO/IEC 14496-12, 4.3)."""
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if any(brand in _AVIF_BRANDS for brand in brands):
        return "avif"
    if any(brand in _HEVC_BRANDS for brand in brands):
        return "heic"
    return None


def _svg(head: bytes) -> str | None:
    """Detect an `<svg` root after an optional byte order mark, XML declaration, comments and DOCTYPE."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"<"):
        return None
    return "svg" if b"<svg" in text else None


def _riff(head: bytes) -> str | None:
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _svgz(head: bytes) -> str | None:
    """Detect gzip, which only a compressed SVG uses."""
    return "svg" if head[:3] == b"\x1f\x8b\x08" else None


def _magic(name: str, *starts: bytes) -> Callable[[bytes], str | None]:
    return lambda head: name if head.startswith(starts) else None


_SNIFFERS: tuple[Callable[[bytes], str | None], ...] = (
    _magic("jpg", b"\xff\xd8\xff"),
    _magic("png", b"\x89PNG\r\n\x1a\n"),
    _magic("gif", b"GIF87a", b"GIF89a"),
    _riff,
    _isobmff,
    _magic("tiff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    _svg,
    _svgz,
)


def sniff(head: bytes) -> Format | None:
    """Return the format of the first bytes of a file, or None if it is unknown."""
    for sniffer in _SNIFFERS:
        if name := sniffer(head):
            return FORMATS[name]
    return None


def default_output(original: Format) -> Format:
    """Return the default format of a rendition: that of the original if it is web-safe."""
    return original if original.web_safe else FORMATS[original.fallback]
