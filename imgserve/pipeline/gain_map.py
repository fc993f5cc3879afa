"""The gain map of an original, in the terms of Ultra HDR (ISO 21496-1): read, and changed like its picture."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyvips

from imgserve.errors import ImgserveError
from imgserve.pipeline import apple
from imgserve.pipeline.fields import without
from imgserve.pipeline.load import Recognized
from imgserve.pipeline.stages import Job, angle, background, canvas, cut, outline, pad, region, resample, turn

DATA = "gainmap-data"
_MAX_BOOST, _MIN_BOOST, _GAMMA = "gainmap-max-content-boost", "gainmap-min-content-boost", "gainmap-gamma"
_ARRAYS = (_MAX_BOOST, _MIN_BOOST, _GAMMA, "gainmap-offset-sdr", "gainmap-offset-hdr")
_FIELDS = (*_ARRAYS, "gainmap-hdr-capacity-min", "gainmap-hdr-capacity-max", "gainmap-use-base-cg", DATA)
"""As libvips names them."""
_SIGNS = (b"urn:iso:std:iso:ts:21496:-1", b"http://ns.adobe.com/hdr-gain-map/1.0/")
_HEAD_BYTES = 1 << 18
"""EXIF, profile and XMP come before the pixels and have at most 64 KB each."""
_FINENESS = 0.5
"""Pixels of the gain map a pixel of the picture, if the original has so many."""
_QUALITY = 90
GainMap = Mapping[str, Any]


def read_gain_map(opened: Recognized) -> GainMap:
    """Return the fields of the gain map of an original; none if it has no gain map, or a damaged one."""
    if opened.format == "jpg":
        return _of_jpeg(opened.data)
    return _of_heic(opened.data) if opened.format == "heic" else {}


def _of_heic(data: bytes) -> GainMap:
    try:
        found = apple.gain_map_of(data)
    except (ImgserveError, pyvips.Error):
        found = None  # the picture itself is readable
    if found is None:
        return {}
    coded, headroom = found
    values = ([headroom] * 3, [1.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3, 1.0, headroom, 1, coded)
    return dict(zip(_FIELDS, values, strict=True))


def _of_jpeg(data: bytes) -> GainMap:
    """Return the fields of the gain map of a JPEG; none of one that is larger than its picture."""
    if not any(sign in data[:_HEAD_BYTES] for sign in _SIGNS):
        return {}
    try:
        image = pyvips.Image.uhdrload_buffer(data)
        found = {name: image.get(name) for name in _FIELDS}
        gains = pyvips.Image.jpegload_buffer(found[DATA])
    except pyvips.Error:
        return {}  # the picture itself is readable
    return found if gains.width <= image.width and gains.height <= image.height else {}


def fields_of(image: pyvips.Image) -> GainMap:
    """Return the fields of the gain map of an image; none if it has no gain map."""
    return {name: image.get(name) for name in _FIELDS} if image.get_typeof(DATA) else {}


def without_gain_map(image: pyvips.Image) -> pyvips.Image:
    """Return an image without the fields of a gain map."""
    return without(image, *(name for name in image.get_fields() if name.startswith("gainmap")))


def adapted(gain_map: GainMap, job: Job) -> GainMap:
    """Return a gain map that is cropped, resized and turned like its picture; none if it is damaged.

    A crop that is searched in the pixels is a planned one here.
    """
    image = pyvips.Image.jpegload_buffer(gain_map[DATA])
    plan, needed = job.plan, job.plan.scaled_stored()
    share = image.width / job.stored.width
    available = plan.region.width * share / needed.width
    factor = min(1.0, available, max(share, _FINENESS))
    shrink = next((by for by in (8, 4, 2) if available >= 2 * by * factor), 1)
    image = pyvips.Image.jpegload_buffer(gain_map[DATA], shrink=shrink, fail_on="error")
    job = replace(job, plan=plan.scaled_by(factor))
    paint = _no_gain(gain_map)
    border = job.transform.border and (job.transform.border[0], paint)
    plain = replace(job.transform, background=paint, fill_color=None, fill="solid", border=border)
    job = replace(job, transform=plain)
    try:
        for stage in (region, resample, turn, angle, cut, canvas, outline, pad, background):
            image = stage(image, job)
        return {**gain_map, DATA: image.jpegsave_buffer(Q=_QUALITY, keep="icc")}
    except pyvips.Error:
        return {}


def _no_gain(gain_map: GainMap) -> tuple[int, int, int, int]:
    """Return the values of a gain map where picture and HDR picture are equal."""
    values = []
    for most, least, gamma in zip(*(gain_map[name] for name in (_MAX_BOOST, _MIN_BOOST, _GAMMA)), strict=True):
        share = -math.log2(least) / (math.log2(most) - math.log2(least)) if most > least > 0 else 0.0
        values.append(round(255 * min(1.0, max(0.0, share)) ** gamma))
    return values[0], values[1], values[2], 255
