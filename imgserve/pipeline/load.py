"""Open an original from its bytes with the loader of its format, and configure libvips."""

import contextlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pi_heif
import pyvips

from imgserve.errors import TooLarge, UnreadableImage
from imgserve.formats import FORMATS, HEAD_BYTES, identify
from imgserve.model import Limits
from imgserve.pipeline import extras, gif, pillow, svg
from imgserve.pipeline.colorimetry import HLG, PQ
from imgserve.pipeline.declared import with_declared_color
from imgserve.pipeline.failures import failure
from imgserve.pipeline.fields import blocks_of, with_fields
from imgserve.pipeline.progressive import END, jpeg_segments

# All loaders are blocked first, since the untrusted flag alone allows loaders such as `matrixload`: a text file of
# numbers would be a picture. The names are libvips class names, so that an operator can allow further ones.
LOADERS = (
    "VipsForeignLoadJpeg",
    "VipsForeignLoadUhdr",
    "VipsForeignLoadPng",
    "VipsForeignLoadWebp",
    "VipsForeignLoadNsgif",
    "VipsForeignLoadHeif",
    "VipsForeignLoadTiff",
    "VipsForeignLoadSvg",
)
FONTS = Path(__file__).with_name("fonts")
"""DejaVu Sans: Latin, Greek, Cyrillic, Arabic, Hebrew and many more, but not Chinese, Japanese and Korean."""


def prepare(allowed: Iterable[str] = (), *, threads: int = 1) -> None:
    """Block every loader except the named ones, switch the operation cache off, set the threads of this process.

    The fonts of this package are added to those of the system, for the texts of SVG. Must run before the first drawing.
    """
    os.environ.setdefault("FONTCONFIG_FILE", str(FONTS / "fonts.conf"))
    os.environ.setdefault("VIPS_DISC_THRESHOLD", "1000g")  # never in a temporary file
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(threads)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in (*LOADERS, *allowed):
        pyvips.operation_block_set(name, False)


def create_font_cache() -> None:
    """Create the folder in which fontconfig looks for its cache; without one it complains at each first text."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  no home: a relative path
    with contextlib.suppress(OSError):
        Path(caches, "fontconfig").mkdir(parents=True, exist_ok=True)


def version() -> str:
    """Return the version of libvips."""
    return ".".join(str(pyvips.version(part)) for part in range(3))


@contextlib.contextmanager
def translated(format_name: str) -> Iterator[None]:
    """Raise an error of libvips inside as one of the original."""
    try:
        yield
    except pyvips.Error as error:
        raise failure(format_name, str(error.detail or error.message)) from error


_PREMULTIPLIED = "RGBa"


def _open_heic(data: bytes) -> pi_heif.HeifFile:
    """Return the primary image of a HEIC, not decoded yet, of 8 bits unless it is PQ or HLG."""
    with pillow.translated("heic"):
        opened = pi_heif.open_heif(data)
        if opened.info.get("nclx_profile", {}).get("transfer_characteristics") in {PQ, HLG}:
            opened = pi_heif.open_heif(data, convert_hdr_to_8bit=False)
        return opened


def _open_avif(data: bytes) -> pi_heif.HeifFile | None:
    """Return the description of an AVIF; None if it has codes that pi-heif refuses, and libvips does not."""
    with contextlib.suppress(ValueError, EOFError, SyntaxError, RuntimeError, OSError):
        return pi_heif.open_heif(data)
    return None


def _is_plain_avif(heif: pi_heif.HeifFile, data: bytes) -> bool:
    """Return whether dav1d, several times faster, decodes what libheif does: 8 bits, not turned or cut, one picture."""
    unusual = any(box in data for box in (b"irot", b"imir", b"clap", b"avis", b"grid"))
    return not unusual and heif.mode in {"RGB", "RGBA"} and heif.info.get("bit_depth") == 8  # noqa: PLR2004


def _heic_pixels(opened: pi_heif.HeifFile) -> pyvips.Image:
    """Return a HEIC, decoded and upright: libheif applies the rotation of the file."""
    with pillow.translated("heic"):
        pixels, stride, info = bytes(opened.data), opened.stride, opened.info
        width, height = opened.size
    mode, _, deep = opened.mode.partition(";")
    bands = 1 if mode == "I" else len(mode)  # L, LA, RGB, RGBA, I;16, RGB;16
    bytes_a_row = width * bands * (2 if deep else 1)
    rows = pyvips.Image.new_from_memory(pixels, stride, height, 1, "uchar")
    if stride != bytes_a_row:
        rows = rows.crop(0, 0, bytes_a_row, height)
    kind, spaces = ("ushort", ("grey16", "rgb16")) if deep else ("uchar", ("b-w", "srgb"))
    picture = pyvips.Image.new_from_memory(rows.write_to_memory(), width, height, bands, kind)
    picture = picture.copy(interpretation=spaces[bands > 2]).copy_memory()  # noqa: PLR2004  colors
    return with_fields(picture, blocks_of(info))


def heic_size(data: bytes) -> tuple[int, int]:
    """Return the size of the primary image of a HEIC without decoding it."""
    with pillow.translated("heic"):
        width, height = pi_heif.open_heif(data).size
    return width, height


_PHOTOMETRIC = 262
_MAX_ENTRIES = _MAX_DIRECTORIES = 512
_SHORT = 3
_RGB, _CIELAB, _ICCLAB = 2, 8, 9


def _directories(data: bytes) -> list[dict[int, tuple[int, int]]]:
    """Return value and place of each tag, by directory (TIFF 6.0, section 2); none of a BigTIFF or a damaged file."""
    order = "<" if data[:2] == b"II" else ">"
    found: list[dict[int, tuple[int, int]]] = []
    with contextlib.suppress(struct.error):
        magic, offset = struct.unpack_from(order + "HI", data, 2)
        while magic == 42 and offset and len(found) < _MAX_DIRECTORIES:  # noqa: PLR2004  classic TIFF
            (count,) = struct.unpack_from(order + "H", data, offset)
            found.append({})
            for at in range(offset + 2, offset + 2 + 12 * min(count, _MAX_ENTRIES), 12):
                tag, kind = struct.unpack_from(order + "HH", data, at)
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, at + 8)
                found[-1][tag] = value, at + 8
            (offset,) = struct.unpack_from(order + "I", data, offset + 2 + 12 * count)
    return found


def _readable_tiff(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return a TIFF as libvips reads it, and the photometric interpretation of each page.

    libvips reads no CIELab of 8 bits and no alpha next to one of 16 bits. Such pages are declared as RGB in a copy.
    """
    directories = _directories(data)
    photometric = tuple(tags.get(_PHOTOMETRIC, (_RGB, 0))[0] for tags in directories)
    if _CIELAB in photometric or _ICCLAB in photometric:
        copied = bytearray(data)
        for tags, value in zip(directories, photometric, strict=True):
            if value in {_CIELAB, _ICCLAB}:
                struct.pack_into("<H" if data[:2] == b"II" else ">H", copied, tags[_PHOTOMETRIC][1], _RGB)
        data = bytes(copied)
    return data, photometric


def _as_lab(image: pyvips.Image, photometric: int) -> pyvips.Image:
    """Return CIELab from values that were loaded as RGB (TIFF 6.0, section 23; ICC-Lab in technical note 4)."""
    if image.bands >= 3 and image.format == "float":  # noqa: PLR2004  lightness, a, b
        return image.copy(interpretation="lab")
    if image.bands < 3 or image.format not in {"uchar", "ushort"}:  # noqa: PLR2004  the same
        raise UnreadableImage("The original is damaged: a CIELab TIFF has three channels of 8, 16 or 32 bits.")
    step = 1 if image.format == "uchar" else 256
    a_b = image[1:3]
    signed = a_b - 128 * step if photometric == _ICCLAB else (a_b >= 128 * step).ifthenelse(a_b - 256 * step, a_b)
    scale = 100 / 255 / step if step == 1 or photometric == _ICCLAB else 100 / 65535
    lab = [image[0] * scale, signed / step]
    if image.bands > 3:  # noqa: PLR2004  alpha
        lab.append(image[3] / (1 if step == 1 else 257))
    return lab[0].bandjoin(lab[1:]).copy(interpretation="lab")


_LOADERS: dict[str, Callable[..., pyvips.Image]] = {
    "jpg": pyvips.Image.jpegload_buffer,
    "png": pyvips.Image.pngload_buffer,
    "webp": pyvips.Image.webpload_buffer,
    "gif": pyvips.Image.gifload_buffer,
    "avif": pyvips.Image.heifload_buffer,
    "tiff": pyvips.Image.tiffload_buffer,
    "svg": pyvips.Image.svgload_buffer,
}
_SVG_DPI = 96
_SVG_SCALE = 72 / 96
"""CSS has 96 pixels in an inch, and librsvg would scale the drawing for the display."""
_COLOR_BANDS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3, "scrgb": 3, "lab": 3, "labs": 3, "cmyk": 4}
_SEQUENCE_BRANDS = {b"avis", b"hevc", b"hevx", b"msf1"}


@dataclass(frozen=True, slots=True)
class Recognized:
    """The bytes of one original and their format."""

    data: bytes
    format: str
    fail_on: str
    photometric: tuple[int, ...] = ()
    """Of each page of a TIFF, as the file declares it."""

    def open(self, **options: object) -> pyvips.Image:
        """Return the image, opened with loader options such as `shrink`, `scale`, `page` or `n`.

        It may be decoded already, unless the option `header` says that its pixels are not needed.
        """
        header = bool(options.pop("header", False))
        if self.format in pillow.FORMATS:
            image = pillow.open_image(self.data, self.format, options, damaged=self.fail_on == "none")
            return with_declared_color(image, "png" if self.format == "apng" else self.format, self.data, None)
        if self.format in extras.FORMATS:
            return extras.open_image(self.data, self.format, int(str(options.get("page", 0))))
        if self.format == "svg":
            scale = float(str(options.pop("scale", 1.0))) * _SVG_SCALE
            # Without entities, which `svg.prepared` bounds less than libxml2 does, its limits are those on the bytes.
            options |= {"dpi": _SVG_DPI, "scale": scale, "unlimited": b"<!ENTITY" not in self.data}
        heif = _open_heic(self.data) if self.format == "heic" else None
        heif = _open_avif(self.data) if self.format == "avif" else heif
        with translated(self.format):
            if heif and self.format == "heic":
                image = _heic_pixels(heif)
            elif heif and not header and self.fail_on != "none" and _is_plain_avif(heif, self.data):
                image = pillow.open_avif(self.data)
            else:
                image = _without_extra_bands(_LOADERS[self.format](self.data, fail_on=self.fail_on, **options))
            if heif and heif.mode == _PREMULTIPLIED:
                image = image.unpremultiply().rint().cast(image.format).copy(interpretation=image.interpretation)
            page = int(str(options.get("page", 0)))
            if page < len(self.photometric) and self.photometric[page] in {_CIELAB, _ICCLAB}:
                return _as_lab(image, self.photometric[page])
            return with_declared_color(image, self.format, self.data, heif.info.get("nclx_profile") if heif else None)

    @property
    def animated(self) -> bool:
        """Return whether the format can contain an animation."""
        return FORMATS[self.format].animation

    @property
    def is_sequence(self) -> bool:
        """Return whether this is a HEIF with an image sequence, of which only the primary image is read."""
        return self.format in {"avif", "heic"} and self.data[8:12] in _SEQUENCE_BRANDS

    @property
    def paged(self) -> bool:
        """Return whether the format can contain pages."""
        return FORMATS[self.format].pages


def _without_extra_bands(image: pyvips.Image) -> pyvips.Image:
    """Return the bands of color and alpha; those of an unknown meaning are dropped, or taken for red, green, blue."""
    colors = _COLOR_BANDS.get(image.interpretation)
    if colors is None:
        known = image.bands <= 2 and image.format in {"uchar", "ushort"}  # noqa: PLR2004  gray and alpha
        wide = image.format == "ushort"
        if image.bands >= 3:  # noqa: PLR2004  red, green, blue
            image = image.copy(interpretation="rgb16" if wide else "srgb")
            colors = 3
        elif known:
            image = image.copy(interpretation="grey16" if wide else "b-w")
            colors = 1
        else:
            return image
    if image.bands > colors + 1:
        return image.extract_band(0, n=colors)
    return image


def recognize(data: bytes, limits: Limits, *, damaged: bool = False) -> Recognized:
    """Return an original with its format; with `damaged`, a broken file is decoded as far as possible.

    Raises:
        TooLarge: more bytes than allowed.
        LimitExceeded: more bytes than allowed after inflating an SVG.
        UnsupportedImage: no image format that imgserve reads.
        UnreadableImage: an empty file.
    """
    if not data:
        raise UnreadableImage("The original is empty.")
    if len(data) > limits.original_bytes:
        raise TooLarge(f"The original has over {limits.original_bytes} bytes, the limit original_bytes.")
    found, fail_on = identify(data[:HEAD_BYTES]), "none" if damaged else "error"
    if found.name == "svg":
        data = svg.prepared(data, limits.svg_bytes)
    if found.name == "gif":
        data = gif.with_clear_disposal(data)
    photometric: tuple[int, ...] = ()
    if found.name == "tiff":
        found = identify(data)  # the directory of a camera RAW may be behind the head
    if found.name == "tiff":
        data, photometric = _readable_tiff(data)
    if found.name == "jpg" and not damaged and not _has_end(data):
        # With an end marker libjpeg decodes what is there, and warns if that is not all.
        data, fail_on = data + _END_MARKER, "warning"
    return Recognized(data, found.name, fail_on, photometric)


_END_MARKER = bytes((0xFF, END))


def _has_end(data: bytes) -> bool:
    """Return whether a JPEG has its end marker, behind which there may be anything."""
    return data.endswith(_END_MARKER) or any(kind == END for kind, *_ in jpeg_segments(data))
