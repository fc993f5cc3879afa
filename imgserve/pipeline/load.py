"""Open an original from its bytes with the loader of its format; a header is read here, pixels are not.

Always from bytes, never from a path: libvips parses options out of file names, and an SVG loaded by path reads its
neighbors.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pyvips

from imgserve.errors import LimitExceeded, TooLarge, UnreadableImage, UnsupportedImage
from imgserve.formats import HEAD_BYTES, sniff
from imgserve.model import Limits
from imgserve.pipeline import heic, tiff, vips

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
    """The bytes of one original, its format known, ready to be opened as often as needed."""

    data: bytes
    format: str
    fail_on: str

    def open(self, **options: object) -> pyvips.Image:
        """Open with loader options such as `shrink`, `scale`, `page` or `n`."""
        if self.format == "heic":
            return heic.open_image(self.data)
        with vips.translated(self.format):
            return _LOADERS[self.format](self.data, fail_on=self.fail_on, **options)

    @property
    def animated(self) -> bool:
        """The format can hold an animation."""
        return self.format in _ANIMATED

    @property
    def paged(self) -> bool:
        """The format can hold pages."""
        return self.format in _PAGED


def recognize(data: bytes, limits: Limits, *, damaged: bool = False) -> Recognized:
    """Recognize the bytes of an original; with `damaged`, what can be decoded of a broken file is shown.

    Raises:
        TooLarge: more bytes than allowed.
        LimitExceeded: more bytes than allowed after inflating an SVG.
        UnsupportedImage: not an image format that imgserve reads.
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
        tiff.refuse_camera_raw(data)
    return Recognized(data, found.name, "none" if damaged else "error")


def _inflated(data: bytes, most: int) -> bytes:
    """Inflate an SVGZ up to a cap: a few hundred kilobytes can hold a gigabyte."""
    if data.startswith(b"\x1f\x8b"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, most + 1)
        except zlib.error as error:
            raise UnreadableImage("The original is a damaged SVGZ.") from error
        if data.startswith(b"\x1f\x8b"):
            # librsvg would inflate what is packed in it, without our cap.
            raise LimitExceeded(f"The SVG is packed twice and cannot be held to the limit svg_bytes of {most}.")
        if sniff(data[:HEAD_BYTES]) is None:
            raise UnsupportedImage
    if len(data) > most:
        raise LimitExceeded(f"The SVG is over the limit svg_bytes of {most}.")
    return data
