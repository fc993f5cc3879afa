"""Encode AVIF and WebP with the codecs of the optional extra `fast`: as libvips does, in less time.

benchmarks/ENCODERS.md has the measurement: with equal settings a WebP has the same bytes, and an AVIF the same quality
and size, but libyuv rounds chroma down, by half a step of 255 on average.
"""

import functools
import importlib
import os
from collections.abc import Mapping
from typing import Any

import pyvips

from imgserve.pipeline import animation
from imgserve.pipeline.nclx import BT601, BT709, SRGB
from imgserve.pipeline.order import FAST_ENCODERS, fast_encoders

_MAX_SIDE = 16_382
"""One less than that of WebP, which the package refuses."""
_COLORS, _WITH_ALPHA = 3, 4
_BANDS = {"webp": (_COLORS, _WITH_ALPHA), "avif": (_COLORS,)}
_FASTEST = 9
"""The speed of libaom at effort 0."""
_BEST = 100
"""From this quality on, libavif and libheif differ."""


@functools.cache
def codecs() -> Any | None:
    """Return the module, with its libraries loaded, or None if the extra is not installed."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that are of no use here
    try:
        module = importlib.import_module(FAST_ENCODERS)
    except ImportError:
        return None
    return module if module.AVIF.available and module.WEBP.available else None


def version() -> str:
    """Return the name and version of the encoders, which is part of every rendition key; empty without the extra."""
    return fast_encoders() if codecs() else ""


def encode(image: pyvips.Image, name: str, keep: str, options: Mapping[str, Any]) -> bytes | None:
    """Return what libvips writes with these options; None if it is needed for that: metadata, frames, gray, 16 bits."""
    module = codecs() if name in _BANDS and keep == "none" else None
    if module is None or image.format != "uchar" or image.bands not in _BANDS[name]:
        return None
    if animation.height_of(image) != image.height or max(image.width, image.height) > _MAX_SIDE:
        return None
    quality, effort, lossless = options["Q"], options["effort"], options["lossless"]
    if (lossless and (name == "avif" or image.hasalpha())) or (name == "avif" and quality == _BEST):
        return None
    pixels = image.numpy()
    if name == "webp":
        return bytes(module.webp_encode(pixels, level=quality, method=effort, lossless=lossless, numthreads=1))
    return bytes(
        module.avif_encode(
            pixels, level=quality, speed=_FASTEST - effort, numthreads=1, codec="aom",
            pixelformat="yuv444" if options["subsample_mode"] == "off" else "yuv420",
            primaries=BT709, transfer=SRGB, matrix=BT601,
        )
    )  # fmt: skip
