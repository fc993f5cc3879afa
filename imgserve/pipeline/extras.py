"""Codecs of the optional extras: JPEG XL, camera RAW and PDF."""

import contextlib
import importlib
import io
import math
from collections.abc import Iterator
from typing import Any

import pyvips

from imgserve.formats import FORMATS as ALL_FORMATS
from imgserve.pipeline.fields import field, with_fields
from imgserve.pipeline.pillow import Summary, to_vips, translated

FORMATS = frozenset(name for name, form in ALL_FORMATS.items() if form.module)
"""The formats that are read here."""
_PDF_SCALE = 150 / 72
"""Pixels for each point: 150 in an inch, 1240x1754 for A4."""
_GRAY = 2
_MAX_DISTANCE_QUALITY = 30


def _codec(name: str) -> Any:
    return importlib.import_module(ALL_FORMATS[name].module)


def summary(data: bytes, name: str, page: int = 0) -> Summary:
    """Return size, frames or pages, and alpha of an original; the size is that of a page, by its index."""
    with translated(name):
        if name == "jxl":
            info = _codec(name).probe(data)
            return Summary(info["width"], info["height"], 1, info["has_alpha"])
        if name == "raw":
            with _codec(name).imread(io.BytesIO(data)) as raw:
                sizes = raw.sizes
            # libraw turns the picture upright; 5 and 6 are quarter turns.
            turned = sizes.flip in {5, 6}
            width, height = (sizes.iheight, sizes.iwidth) if turned else (sizes.iwidth, sizes.iheight)
            return Summary(width, height, 1, alpha=False)
        with _pdf(data) as document:
            width, height = document[min(page, len(document) - 1)].get_size()
            return Summary(math.ceil(width * _PDF_SCALE), math.ceil(height * _PDF_SCALE), len(document), alpha=False)


def open_image(data: bytes, name: str, page: int = 0) -> pyvips.Image:
    """Return decoded pixels."""
    profile = exif = b""
    with translated(name):
        if name == "jxl":
            pixels, metadata = _codec(name).decode(data, metadata=True)
            profile, exif = metadata.get("icc", b""), metadata.get("exif", b"")
        elif name == "raw":
            with _codec(name).imread(io.BytesIO(data)) as raw:
                pixels = raw.postprocess(use_camera_wb=True, output_bps=8)
        else:
            with _pdf(data) as document:
                return to_vips(document[page].render(scale=_PDF_SCALE).to_pil())
        height, width, bands = (*pixels.shape, 1)[:3]
        picture = pyvips.Image.new_from_memory(pixels.tobytes(), width, height, bands, "uchar")
    picture = picture.copy(interpretation="srgb" if bands > _GRAY else "b-w")
    return with_fields(picture, {"icc-profile-data": profile, "exif-data": exif})


@contextlib.contextmanager
def _pdf(data: bytes) -> Iterator[Any]:
    document = _codec("pdf").PdfDocument(data)
    try:
        yield document
    finally:
        document.close()


def encode_jxl(image: pyvips.Image, quality: int, effort: int, *, lossless: bool) -> bytes:
    """Return 8-bit sRGB or gray pixels as JPEG XL.

    A lossy picture without alpha is a JPEG of this quality whose data is packed again, without another loss. Measured
    on photographs: a sixth smaller than the JPEG, where pylibjxl's own lossy encoder, which needs no JPEG but does not
    convert to XYB, is two to three times larger.
    """
    codec = _codec("jxl")
    if not lossless and not image.hasalpha():
        jpeg = image.jpegsave_buffer(Q=quality, optimize_coding=True, keep="icc")
        return bytes(codec.jpeg_to_jxl(jpeg, effort=effort))
    if image.bands == _GRAY:
        image = image.colourspace("srgb")
    # As libjxl's JxlEncoderDistanceFromQuality.
    distance = 0.1 + (100 - quality) * 0.09 if quality >= _MAX_DISTANCE_QUALITY else 6.4 + (30 - quality) * 0.25
    profile = field(image, "icc-profile-data")
    distance = 0.0 if lossless else distance
    return bytes(codec.encode(image.numpy(), effort=effort, distance=distance, lossless=lossless, icc=profile))
