"""Serve the coded data of an original without private metadata, where encoding the same pixels takes more bytes."""

import struct
import zlib
from collections.abc import Callable

from imgserve.formats import png_chunks
from imgserve.geometry.box import Box, Size, Turn
from imgserve.geometry.surround import PLAIN
from imgserve.model import Rendition
from imgserve.pipeline import color
from imgserve.pipeline.embedded_text import EmbeddedText
from imgserve.pipeline.exif import read_exif
from imgserve.pipeline.gain_map import read_gain_map
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.metadata import plain_text
from imgserve.pipeline.probe import Header
from imgserve.pipeline.progressive import END, jpeg_segments
from imgserve.pipeline.stages import Job
from imgserve.pipeline.targets import REDUCED
from imgserve.transform import Transform
from imgserve.transform.parameters import EFFECTS

_ENCODING = (
    *("progressive", "chroma", "colors", "lossless", "background", "page", "frame", "loop", "fps", "reverse"),
    *("text", "mark"),
)
"""Attributes that ask for other coded data."""
_PLAIN = {"srgb", "b-w"}


def smaller(rendition: Rendition, opened: Recognized, header: Header, job: Job, frames: int) -> Rendition:
    """Return the original's own coded data, if it shows the same pixels in fewer bytes; else the rendition.

    The rendition was made by the job, of so many frames.
    """
    transform, stored, made = job.transform, Size(header.width, header.height), job.plan
    clean = _CLEANERS.get(job.output.name)
    shown = (made.region, made.scaled, made.inner, made.surround, made.turn, made.angle, header.orientation, frames)
    unchanged = (Box(0, 0, stored.width, stored.height), stored, stored, PLAIN, Turn(), 0, 1, header.frames)
    if clean is None or job.output.name != opened.format or shown != unchanged:
        return rendition
    image, plain = opened.open(), Transform()
    icc = bool(image.get_typeof("icc-profile-data"))
    if transform.profile == "origin" and icc and opened.format != "png":
        icc = image.get("icc-profile-data") in opened.data  # else it stands for a color that EXIF declares
        if not icc:
            return rendition
    same_colors = transform.profile != "srgb" or not icc or color.has_srgb_profile(image)
    coded_alike = all(getattr(transform, name) == getattr(plain, name) for name in (*_ENCODING, *EFFECTS))
    coded_alike = coded_alike and "enhance" not in transform.auto
    if not (same_colors and coded_alike and image.interpretation in _PLAIN and image.format == "uchar"):
        return rendition
    with_rights = transform.metadata == "copyright" and image.get_typeof("exif-data")
    exif = _exif(read_exif(image.get("exif-data"))) if with_rights else b""
    try:
        keeps_all = transform.metadata == "keep"
        data = opened.data if keeps_all else clean(opened.data, exif, icc and transform.profile == "origin")
    except (struct.error, IndexError, ValueError):
        data = None  # damaged in a way that a decoder accepts
    # A reduced picture is worse than the original's own data.
    reduced = any(note.startswith(REDUCED) for note in rendition.notes)
    most = transform.max_bytes or 0 if reduced else len(rendition.data) - 1
    if data is None or len(data) > most:
        return rendition
    if (transform.hdr == "preserve") != keeps_all and read_gain_map(opened):
        return rendition  # the gain map is in the original's data only as a whole
    notes = tuple(note for note in rendition.notes if not note.startswith(REDUCED))
    return Rendition(data, job.output.media_type, stored.width, stored.height, notes)


_ARTIST, _COPYRIGHT = 0x013B, 0x8298


def _exif(text: EmbeddedText) -> bytes:
    """Return an EXIF block with artist and copyright only, or no bytes (TIFF 6.0, section 2)."""
    rights = {_ARTIST: plain_text(text.creator), _COPYRIGHT: plain_text(text.copyright)}
    texts = {tag: value.encode() + b"\0" for tag, value in rights.items() if value}
    if not texts:
        return b""
    directory, values = struct.pack(">H", len(texts)), b""
    start = 8 + 2 + 12 * len(texts) + 4
    for tag, value in texts.items():
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(">I", start + len(values))  # noqa: PLR2004
        values += value if len(value) > 4 else b""  # noqa: PLR2004  a value that fits replaces its offset
        directory += struct.pack(">HHI", tag, 2, len(value)) + place
    return b"MM\0*\0\0\0\x08" + directory + bytes(4) + values


_APP0, _APP2, _APP14, _LAST_APPLICATION, _COMMENT = 0xE0, 0xE2, 0xEE, 0xEF, 0xFE


def clean_jpeg(data: bytes, exif: bytes, profile: bool) -> bytes | None:
    """Return a JPEG without comments and application data, up to its end; None if the end is missing."""
    parts = [data[:2]]
    if exif:
        block = b"Exif\0\0" + exif
        parts.append(b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
    for kind, start, body, end in jpeg_segments(data):
        kept = kind < _APP0 or kind == _APP14 or (kind == _APP0 and body[:4] == b"JFIF")
        if kept or (profile and kind == _APP2 and body[:12] == b"ICC_PROFILE\0"):
            parts.append(data[start:end])
        if kind == END:
            return b"".join(parts)
        if not kept and kind > _LAST_APPLICATION and kind != _COMMENT:
            return None
    return None


_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sRGB", b"pHYs"}
_PNG_COLOR = {b"cICP", b"gAMA", b"cHRM", b"mDCV", b"cLLI"}
"""Colors that a rendition expresses by other pixels, unless they only repeat sRGB."""


def clean_png(data: bytes, exif: bytes, profile: bool) -> bytes | None:
    """Return a PNG without texts, times, animation and unknown chunks; None if they may change its colors."""
    chunks = list(png_chunks(data))
    names = {name for name, _ in chunks}
    whole = chunks[-1][0] == b"IEND" and len(data) >= len(_PNG_HEAD) + sum(12 + len(content) for _, content in chunks)
    if not whole or (names & _PNG_COLOR and not (b"sRGB" in names and b"cICP" not in names)):
        return None
    parts = [_PNG_HEAD]
    for name, body in chunks:
        if name == b"IEND" and exif:
            parts.append(_png_chunk(b"eXIf", exif))
        if name in _PNG_KEPT or (profile and name == b"iCCP"):
            parts.append(_png_chunk(name, body))
    return b"".join(parts)


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


_WEBP_KEPT = {b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"}
_WEBP_EXIF, _WEBP_XMP, _WEBP_ICC = 0x08, 0x04, 0x20


def clean_webp(data: bytes, exif: bytes, profile: bool) -> bytes | None:
    """Return a WebP without XMP, unknown chunks and what follows its end."""
    data, body, at = data[: 8 + int.from_bytes(data[4:8], "little")], b"", 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        content, at = data[at + 8 : at + 8 + size], at + 8 + size + size % 2
        if len(content) < size:
            return None
        if name == b"VP8X":
            flags = content[0] & ~(_WEBP_EXIF | _WEBP_XMP | _WEBP_ICC)
            flags |= (_WEBP_EXIF if exif else 0) | (_WEBP_ICC if profile else 0)
            body += _webp_chunk(name, bytes((flags,)) + content[1:])
        elif name in _WEBP_KEPT or (profile and name == b"ICCP"):
            body += _webp_chunk(name, content)
    body += _webp_chunk(b"EXIF", exif) if exif else b""
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _webp_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


_GIF_IMAGE, _GIF_EXTENSION, _GIF_CONTROL, _GIF_APPLICATION = 0x2C, 0x21, 0xF9, 0xFF


def clean_gif(data: bytes, exif: bytes, profile: bool) -> bytes | None:  # noqa: ARG001  it has neither
    """Return a GIF without comments and application data other than the number of repetitions."""

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    def after_blocks(at: int) -> int:
        while data[at]:
            at += data[at] + 1
        return at + 1

    at = 13 + table(data[10])
    parts = [data[:at]]
    while data[at] in {_GIF_IMAGE, _GIF_EXTENSION}:
        image = data[at] == _GIF_IMAGE
        end = after_blocks(at + 11 + table(data[at + 9]) if image else at + 2)
        repeats = data[at + 1] == _GIF_APPLICATION and data[at + 3 : at + 14] in {b"NETSCAPE2.0", b"ANIMEXTS1.0"}
        if image or repeats or data[at + 1] == _GIF_CONTROL:
            parts.append(data[at:end])
        at = end
    return b"".join((*parts, b";")) if data[at : at + 1] == b";" else None


_CLEANERS: dict[str, Callable[[bytes, bytes, bool], bytes | None]] = {
    "jpg": clean_jpeg,
    "png": clean_png,
    "webp": clean_webp,
    "gif": clean_gif,
}
