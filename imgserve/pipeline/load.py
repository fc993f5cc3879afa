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

# All loaders are blocked first, since the untrusted flag alone allows loaders such as `matrixload`: a text file of
# numbers would be a picture. The names are libvips class names, so that an operator can allow further ones.
LOADERS = (
    "VipsForeignLoadJpeg",
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


def _open_heic(data: bytes) -> pyvips.Image:
    """Return the primary image of a HEIC, decoded and upright: libheif applies the rotation of the file."""
    with _errors_translated():
        image = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
        pixels, stride, info = bytes(image.data), image.stride, image.info
        width, height = image.size
        bands = len(image.mode)  # L, LA, RGB, RGBA
    rows = pyvips.Image.new_from_memory(pixels, stride, height, 1, "uchar")
    if stride != width * bands:
        rows = rows.crop(0, 0, width * bands, height)
    picture = pyvips.Image.new_from_memory(rows.write_to_memory(), width, height, bands, "uchar")
    picture = picture.copy(interpretation="srgb" if image.mode.startswith("RGB") else "b-w").copy_memory().copy()
    for name, field in (("icc_profile", "icc-profile-data"), ("exif", "exif-data"), ("xmp", "xmp-data")):
        if info.get(name):
            picture.set_type(pyvips.GValue.blob_type, field, info[name])
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


_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_MAX_ENTRIES = 512


def refuse_camera_raw(data: bytes) -> None:
    """Reject a TIFF that is a camera RAW: DNG, CR2, or a reduced first image with the real one in a sub-directory.

    Raises:
        UnsupportedImage: the bytes are a camera RAW.
    """
    if data[8:10] == b"CR":
        raise UnsupportedImage("Camera RAW originals (CR2) are not read.")
    # Values or offsets of the first directory by tag (TIFF 6.0, section 2); none of a BigTIFF or a damaged file.
    order = "<" if data[:2] == b"II" else ">"
    tags: dict[int, int] = {}
    with contextlib.suppress(struct.error):
        magic, offset = struct.unpack_from(order + "HI", data, 2)
        (count,) = struct.unpack_from(order + "H", data, offset) if magic == 42 else (0,)  # noqa: PLR2004  classic TIFF
        for at in range(min(count, _MAX_ENTRIES)):
            tag, _kind, _length, value = struct.unpack_from(order + "HHII", data, offset + 2 + 12 * at)
            tags[tag] = value
    if _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags):
        raise UnsupportedImage("Camera RAW originals are not read.")


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

    def open(self, **options: object) -> pyvips.Image:
        """Return the image, opened with loader options such as `shrink`, `scale`, `page` or `n`."""
        if self.format == "heic":
            return _open_heic(self.data)
        with translated(self.format):
            return _LOADERS[self.format](self.data, fail_on=self.fail_on, **options)

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
    if found.name == "tiff":
        refuse_camera_raw(data)
    return Recognized(data, found.name, "none" if damaged else "error")


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
