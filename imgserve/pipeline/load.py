"""Open an original from its bytes with the loader of its format, and configure libvips."""

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pi_heif
import pyvips

from imgserve.errors import LimitExceeded, TooLarge, UnreadableImage, UnsupportedImage
from imgserve.formats import HEAD_BYTES, sniff
from imgserve.model import Limits
from imgserve.pipeline.colorimetry import HLG, PQ
from imgserve.pipeline.declared import with_declared_color

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


def prepare(allowed: Iterable[str] = (), *, threads: int = 1) -> None:
    """Block every loader except the named ones, switch the operation cache off, set the threads of this process."""
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(threads)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in (*LOADERS, *allowed):
        pyvips.operation_block_set(name, False)


def version() -> str:
    """Return the version of libvips."""
    return ".".join(str(pyvips.version(part)) for part in range(3))


@contextlib.contextmanager
def translated(format_name: str) -> Iterator[None]:
    """Raise an error of libvips inside as an UnreadableImage."""
    try:
        yield
    except pyvips.Error as error:
        lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
        said = lines[0][:160] if lines else "no detail"
        if "out of memory" in said:
            text = f"The original needs more memory than one picture may take ({format_name})."
            raise LimitExceeded(text) from error
        raise UnreadableImage(f"The original is damaged and cannot be decoded ({format_name}: {said}).") from error


_PREMULTIPLIED = "RGBa"


def _open_heic(data: bytes) -> pi_heif.HeifFile:
    """Return the primary image of a HEIC, not decoded yet, of 8 bits unless it is PQ or HLG."""
    with _errors_translated():
        opened = pi_heif.open_heif(data)
        if opened.info.get("nclx_profile", {}).get("transfer_characteristics") in {PQ, HLG}:
            opened = pi_heif.open_heif(data, convert_hdr_to_8bit=False)
        return opened


def _open_avif(data: bytes) -> pi_heif.HeifFile | None:
    """Return the description of an AVIF; None if it has codes that pi-heif refuses, and libvips does not."""
    with contextlib.suppress(ValueError, EOFError, SyntaxError, RuntimeError, OSError):
        return pi_heif.open_heif(data)
    return None


def _heic_pixels(opened: pi_heif.HeifFile) -> pyvips.Image:
    """Return a HEIC, decoded and upright: libheif applies the rotation of the file."""
    with _errors_translated():
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
    picture = picture.copy(interpretation=spaces[bands > 2]).copy_memory().copy()  # noqa: PLR2004  colors
    for key, field in (("icc_profile", "icc-profile-data"), ("exif", "exif-data"), ("xmp", "xmp-data")):
        if info.get(key):
            picture.set_type(pyvips.GValue.blob_type, field, info[key])
    return picture


def heic_size(data: bytes) -> tuple[int, int]:
    """Return the size of the primary image of a HEIC without decoding it."""
    with _errors_translated():
        width, height = pi_heif.open_heif(data).size
    return width, height


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # pi-heif parses in Python too: a damaged file can lead to any exception.
        said = f"heic: {str(error)[:160] or type(error).__name__}"
        raise UnreadableImage(f"The original is damaged and cannot be decoded ({said}).") from error


_NEW_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 262, 330, 50706
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

    Raises:
        UnsupportedImage: a camera RAW: DNG, CR2, or a reduced first image with the real one in a sub-directory.
    """
    if data[8:10] == b"CR":
        raise UnsupportedImage("Camera RAW originals (CR2) are not read.")
    directories = _directories(data)
    first = directories[0] if directories else {}
    if _DNG_VERSION in first or (_SUB_IFDS in first and first.get(_NEW_SUBFILE_TYPE, (0, 0))[0] == 1):
        raise UnsupportedImage("Camera RAW originals are not read.")
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
_ANIMATED = {"gif", "webp"}
_PAGED = {"tiff"}


@dataclass(frozen=True, slots=True)
class Recognized:
    """The bytes of one original and their format."""

    data: bytes
    format: str
    fail_on: str
    photometric: tuple[int, ...] = ()
    """Of each page of a TIFF, as the file declares it."""

    def open(self, **options: object) -> pyvips.Image:
        """Return the image, opened with loader options such as `shrink`, `scale`, `page` or `n`."""
        heif = _open_heic(self.data) if self.format == "heic" else None
        heif = _open_avif(self.data) if self.format == "avif" else heif
        with translated(self.format):
            if heif and self.format == "heic":
                image = _heic_pixels(heif)
            else:
                image = _LOADERS[self.format](self.data, fail_on=self.fail_on, **options)
            if heif and heif.mode == _PREMULTIPLIED:
                image = image.unpremultiply().rint().cast(image.format).copy(interpretation=image.interpretation)
            page = int(str(options.get("page", 0)))
            if page < len(self.photometric) and self.photometric[page] in {_CIELAB, _ICCLAB}:
                return _as_lab(image, self.photometric[page])
            return with_declared_color(image, self.format, self.data, heif.info.get("nclx_profile") if heif else None)

    @property
    def animated(self) -> bool:
        """Return whether the format can contain an animation."""
        return self.format in _ANIMATED

    @property
    def paged(self) -> bool:
        """Return whether the format can contain pages."""
        return self.format in _PAGED


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
    found = sniff(data[:HEAD_BYTES])
    if found is None or not found.readable:
        raise UnsupportedImage
    if found.name == "svg":
        data = _inflated(data, limits.svg_bytes)
    photometric: tuple[int, ...] = ()
    if found.name == "tiff":
        data, photometric = _readable_tiff(data)
    return Recognized(data, found.name, "none" if damaged else "error", photometric)


def _inflated(data: bytes, max_bytes: int) -> bytes:
    """Return an SVG, inflated up to a cap: a few hundred kilobytes can contain a gigabyte."""
    if data.startswith(b"\x1f\x8b"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, max_bytes + 1)
        except zlib.error as error:
            raise UnreadableImage("The original is a damaged SVGZ.") from error
        if data.startswith(b"\x1f\x8b"):
            # librsvg would inflate the inner one without our cap.
            raise LimitExceeded(f"The SVG is packed twice and cannot be held to the limit svg_bytes of {max_bytes}.")
        if sniff(data[:HEAD_BYTES]) is None:
            raise UnsupportedImage
    if len(data) > max_bytes:
        raise LimitExceeded(f"The SVG is over the limit svg_bytes of {max_bytes}.")
    return data
