"""The image formats: names, first bytes and abilities.

A format is decided by the first bytes of a file, never by its name.
"""

import contextlib
import functools
import importlib.util
import itertools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from imgserve.errors import UnsupportedImage

HEAD_BYTES = 4096
"""Number of bytes that `sniff` needs; SVG may start with a long comment or DOCTYPE."""


@functools.cache  # asked for every look at a file of the format, and searches the whole path
def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@dataclass(frozen=True, slots=True)
class Format:
    """One image format."""

    name: str
    media_type: str
    extensions: tuple[str, ...]
    writable: bool = True
    web_safe: bool = False
    """Every browser shows it in an `<img>`."""
    alpha: bool = True
    animation: bool = False
    pages: bool = False
    """A file can contain several pages, which may have different sizes."""
    quality: int | None = None
    """Default quality of the encoder, if the format has one."""
    fallback: str = "jpg"
    """Format for a client that does not accept this one."""
    extra: str = ""
    """Optional extra of this package that installs the codec; empty: always installed."""
    module: str = ""
    """Python module of the codec in the extra."""

    @property
    def missing_extra(self) -> str:
        """Return the sentence that names the extra if it is not installed."""
        if not self.module or _is_installed(self.module):
            return ""
        return f"{self.name} needs an optional codec: install imgserve[{self.extra}]."


_RAW = ("dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "pef", "srw")
FORMATS = {
    item.name: item
    for item in (
        Format("jpg", "image/jpeg", ("jpg", "jpeg", "jpe", "jfif"), web_safe=True, alpha=False, quality=80),
        Format("png", "image/png", ("png",), web_safe=True, fallback="png"),
        Format("apng", "image/apng", ("apng",), web_safe=True, animation=True, fallback="apng"),
        Format("webp", "image/webp", ("webp",), web_safe=True, animation=True, quality=84, fallback="png"),
        Format("avif", "image/avif", ("avif",), web_safe=True, quality=66),
        Format("gif", "image/gif", ("gif",), web_safe=True, animation=True, fallback="gif"),
        Format("tiff", "image/tiff", ("tiff", "tif"), pages=True),
        Format("heic", "image/heic", ("heic", "heif"), writable=False),
        Format("svg", "image/svg+xml", ("svg", "svgz"), writable=False, fallback="png"),
        Format("bmp", "image/bmp", ("bmp", "dib"), writable=False),
        Format("ico", "image/vnd.microsoft.icon", ("ico",), writable=False, fallback="png"),
        Format("psd", "image/vnd.adobe.photoshop", ("psd",), writable=False, fallback="png"),
        Format("jp2", "image/jp2", ("jp2", "j2k", "jpx", "jpf", "j2c"), writable=False),
        Format("tga", "image/x-tga", ("tga",), writable=False, fallback="png"),
        Format("qoi", "image/qoi", ("qoi",), writable=False, fallback="png"),
        Format("jxl", "image/jxl", ("jxl",), quality=80, extra="jxl", module="pylibjxl"),
        Format("raw", "image/x-dcraw", _RAW, writable=False, alpha=False, extra="raw", module="rawpy"),
        Format(
            "pdf",
            "application/pdf",
            ("pdf",),
            writable=False,
            alpha=False,
            pages=True,
            fallback="png",
            extra="pdf",
            module="pypdfium2",
        ),
    )
}

MODERN: tuple[Literal["avif", "jxl", "webp"], ...] = ("avif", "jxl", "webp")
"""The formats that are only for clients that accept them, best first: ties go to the earlier."""
CHOSEN = "best"
"""Extension of a rendition whose format is chosen when it is rendered."""
SIMILARITY = 0.98
"""Default structural similarity of a picture whose quality is found automatically."""
BY_MEDIA_TYPE = {item.media_type: item for item in FORMATS.values()}
BY_EXTENSION = {extension: item for item in FORMATS.values() for extension in item.extensions}

_HEVC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_CR3_BRAND = b"crx "


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
    return "raw" if _CR3_BRAND in brands else None


_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_MAX_ENTRIES = 512


def _tiff(head: bytes) -> str | None:
    """Distinguish a camera RAW: CR2, DNG, or a reduced first image with the real one in a sub-directory."""
    if not head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return None
    if head[8:10] == b"CR":
        return "raw"
    # Values or offsets of the first directory by tag (TIFF 6.0, section 2); none of a BigTIFF or a damaged file.
    order = "<" if head[:2] == b"II" else ">"
    tags: dict[int, int] = {}
    with contextlib.suppress(struct.error):
        magic, offset = struct.unpack_from(order + "HI", head, 2)
        (count,) = struct.unpack_from(order + "H", head, offset) if magic == 42 else (0,)  # noqa: PLR2004  classic TIFF
        for at in range(min(count, _MAX_ENTRIES)):
            tag, _kind, _length, value = struct.unpack_from(order + "HHII", head, offset + 2 + 12 * at)
            tags[tag] = value
    raw = _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags)
    return "raw" if raw else "tiff"


def _png(head: bytes) -> str | None:
    """Distinguish an animation by its control chunk, which is in front of the pixels (PNG third edition, 11.3.6)."""
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    before = itertools.takewhile(lambda chunk: chunk[0] != b"IDAT", png_chunks(head))
    control = next((content for kind, content in before if kind == b"acTL"), b"")
    return "apng" if int.from_bytes(control[:4], "big") > 1 else "png"


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the chunks of a PNG, up to its end; the last content may be cut off."""
    at, kind = 8, b""
    while kind != b"IEND" and (kind := data[at + 4 : at + 8]):
        size = int.from_bytes(data[at : at + 4], "big")
        yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


# The prolog of an XML document (XML 1.0, 2.8), then the root, which a DOCTYPE that is longer than the head names.
_PROLOG = re.compile(r"(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?:\[.*?\]\s*+)?>)*+", re.DOTALL)
_ROOT = re.compile(r"<(?:[\w.-]+:)?svg[\s/>]|<!DOCTYPE\s+svg\b")
_UNICODE = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z][\w.-]*)""")


def xml_text(data: bytes) -> str:
    """Return an XML document as text, by its byte order mark, the width of its first characters, or its declaration.

    Raises LookupError or UnicodeError if the encoding is unknown or wrong.
    """
    for start, encoding in _UNICODE.items():
        if data.startswith(start):
            return data.decode(encoding)
    declared = _ENCODING.match(data[:200])
    name = declared[1].decode().lower() if declared else "utf-8"
    return data.decode("utf-8" if name.startswith("utf-16") else name)  # it is not, or it was recognized above


def _svg(head: bytes) -> str | None:
    """Detect an `<svg` root after an optional byte order mark, XML declaration, comments and DOCTYPE."""
    wide = next((code for start, code in _UNICODE.items() if head.startswith(start)), "utf-8")
    text = head.decode(wide, "replace").lstrip("\ufeff")
    prolog = _PROLOG.match(text)
    end = prolog.end() if prolog else 0
    return "svg" if _ROOT.match(text, end) else None


def _riff(head: bytes) -> str | None:
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _bmp(head: bytes) -> str | None:
    known = head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in {12, 16, 40, 52, 56, 64, 108, 124}
    return "bmp" if known else None


def _ico(head: bytes) -> str | None:
    """Detect a directory of icons: type, number, and the zero in the first entry."""
    known = head[:4] == b"\0\0\1\0" and 0 < int.from_bytes(head[4:6], "little") <= 256 and head[9:10] == b"\0"  # noqa: PLR2004
    return "ico" if known else None


_TGA_DEPTHS = {1: (8,), 2: (15, 16, 24, 32), 3: (8, 16)}
_TGA_MAP = (15, 16, 24, 32)


def _tga(head: bytes) -> str | None:
    """Detect a Targa picture, which has no signature, by a header in which every field is valid."""
    if len(head) < 18:  # noqa: PLR2004  the header
        return None
    _, has_map, kind, first, length, map_depth, _, _, width, height, depth, bits = struct.unpack_from(
        "<BBBHHBHHHHBB", head
    )
    plain = kind & 7
    if kind & ~8 not in _TGA_DEPTHS or not (width and height) or depth not in _TGA_DEPTHS[plain]:
        return None
    indexed = has_map == 1 and plain == 1 and 0 < length <= 256 and map_depth in _TGA_MAP  # noqa: PLR2004
    direct = has_map == 0 and plain > 1 and (first, length, map_depth) == (0, 0, 0)
    return "tga" if (indexed or direct) and bits & 0xC0 == 0 and bits & 15 in (0, 1, 8) else None


def _magic(name: str, *starts: bytes) -> Callable[[bytes], str | None]:
    return lambda head: name if head.startswith(starts) else None


_SNIFFERS: tuple[Callable[[bytes], str | None], ...] = (
    _magic("jpg", b"\xff\xd8\xff"),
    _png,
    _magic("gif", b"GIF87a", b"GIF89a"),
    _riff,
    _isobmff,
    _tiff,
    _magic("raw", b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR"),
    _svg,
    _magic("svg", b"\x1f\x8b\x08"),  # gzip, which only a compressed SVG uses
    _magic("psd", b"8BPS\0\1"),
    _magic("jp2", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    _magic("qoi", b"qoif"),
    _magic("jxl", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    _magic("pdf", b"%PDF-"),
    _bmp,
    _ico,
    _tga,
)


def sniff(head: bytes) -> Format | None:
    """Return the format of the first bytes of a file, or None if it is unknown."""
    for sniffer in _SNIFFERS:
        if name := sniffer(head):
            return FORMATS[name]
    return None


def identify(head: bytes) -> Format:
    """Return the format of the first bytes of a file.

    Raises UnsupportedImage if it is unknown, or its codec is not installed.
    """
    found = sniff(head)
    if found is None:
        raise UnsupportedImage
    if found.missing_extra:
        raise UnsupportedImage(f"The original is not read by this server: {found.missing_extra}")
    return found


def default_output(original: Format) -> Format:
    """Return the default format of a rendition: that of the original if it is web-safe."""
    return original if original.web_safe else FORMATS[original.fallback]
