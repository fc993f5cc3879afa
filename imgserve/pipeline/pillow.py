"""Decode and encode with Pillow what libvips does not read or write."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyvips
from PIL import AvifImagePlugin, Image, ImageFile

from imgserve.errors import ImgserveError, UnreadableImage
from imgserve.pipeline.failures import failure
from imgserve.pipeline.fields import blocks_of, field, with_fields

FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "apng": ("PNG",),
        "bmp": ("BMP",),
        "ico": ("ICO",),
        "psd": ("PSD",),
        "jp2": ("JPEG2000",),
        "tga": ("TGA",),
        "qoi": ("QOI",),
    }
)
"""Pillow's names of the formats that it decodes."""
_INTERPRETATIONS = {"L": "b-w", "LA": "b-w", "RGB": "srgb", "RGBA": "srgb", "CMYK": "cmyk", "I;16": "grey16"}
_DEFAULT_DELAY = 100
# The limits on sizes are imgserve's own, and are checked before anything is decoded.
Image.MAX_IMAGE_PIXELS = None
# A rendering process has one thread.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """Facts that need no decoding."""

    width: int
    height: int
    frames: int
    alpha: bool


@contextlib.contextmanager
def translated(format_name: str) -> Iterator[None]:
    """Raise any error inside as one of the original: parsers in Python raise all kinds for a damaged file."""
    try:
        yield
    except (ImgserveError, MemoryError):
        raise
    except Exception as error:
        raise failure(format_name, str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    with translated(name), Image.open(io.BytesIO(data), formats=FORMATS[name]) as image:
        yield image


def summary(data: bytes, name: str) -> Summary:
    """Return size, frames and alpha of an original."""
    with _opened(data, name) as image:
        frames = _frames_of(image) if name == "apng" else range(1)
        return Summary(*image.size, len(frames), image.has_transparency_data)


def open_image(data: bytes, name: str, options: Mapping[str, Any], *, damaged: bool = False) -> pyvips.Image:
    """Return decoded pixels: frames by the options `page` and `n` of libvips, joined as it joins them."""
    page, number = options.get("page", 0), options.get("n", 1)
    ImageFile.LOAD_TRUNCATED_IMAGES = damaged
    with _opened(data, name) as image:
        frames = _frames_of(image) if name == "apng" else range(image.tell(), image.tell() + 1)
        pictures, delays = [], []
        for at in frames[page : page + number]:
            if at != image.tell():
                image.seek(at)
            pictures.append(to_vips(image))
            delays.append(round(image.info.get("duration", 0)) or _DEFAULT_DELAY)
        loop, profile, exif = image.info.get("loop", 0), image.info.get("icc_profile"), image.info.get("exif")
    if not pictures:
        raise UnreadableImage("The original is damaged and has fewer frames than it states.")
    fields = {"icc-profile-data": profile, "exif-data": exif}
    if len(frames) > 1:
        fields |= {"n-pages": len(frames), "page-height": pictures[0].height, "delay": delays, "loop": loop}
    return with_fields(pyvips.Image.arrayjoin(pictures, across=1) if len(pictures) > 1 else pictures[0], fields)


def open_avif(data: bytes) -> pyvips.Image:
    """Return the decoded pixels of an AVIF of 8 bits whose file neither turns nor cuts them."""
    with translated("avif"), Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
        return with_fields(to_vips(image), blocks_of(image.info))


def _frames_of(image: Image.Image) -> range:
    """Return the indexes of the frames of an animation; the picture for other readers is not one of them."""
    return range(bool(image.info.get("default_image")), getattr(image, "n_frames", 1))


def to_vips(image: Image.Image) -> pyvips.Image:
    """Return the pixels of a decoded picture, a palette as its colors."""
    mode = image.mode
    if mode not in _INTERPRETATIONS:
        if mode == "1":
            mode = "L"
        elif mode.startswith("I;16"):
            mode = "I;16"
        else:
            mode = "RGBA" if image.has_transparency_data else "RGB"
    converted = (
        image
        if image.mode == mode and "transparency" not in image.info
        else image.convert("RGBA" if mode in {"L", "RGB"} and image.has_transparency_data else mode)
    )
    kind = "ushort" if converted.mode == "I;16" else "uchar"
    bands = len(converted.getbands())
    picture = pyvips.Image.new_from_memory(converted.tobytes(), *converted.size, bands, kind)
    return picture.copy(interpretation=_INTERPRETATIONS[converted.mode])


def encode_animation(roll: pyvips.Image) -> bytes:
    """Return frames that are joined top to bottom as an animated PNG."""
    height = field(roll, "page-height", roll.height)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[roll.bands]
    frames = [
        Image.frombytes(mode, (roll.width, height), roll.crop(0, top, roll.width, height).write_to_memory())
        for top in range(0, roll.height, height)
    ]
    delays = field(roll, "delay", [_DEFAULT_DELAY] * len(frames))[: len(frames)]
    loop = field(roll, "loop", 0)
    profile = field(roll, "icc-profile-data")
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "PNG", save_all=True, append_images=frames[1:], duration=delays, loop=loop, icc_profile=profile,
        compress_level=6,
    )  # fmt: skip
    return buffer.getvalue()
