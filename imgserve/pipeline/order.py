"""What to render and how: encoder settings, the plan and steps between; shared with the server, without pixels."""

import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from imgserve.formats import FORMATS, SIMILARITY, Format, default_output
from imgserve.geometry.box import Size
from imgserve.geometry.plan import Plan, plan
from imgserve.model import Limits
from imgserve.transform import Transform, normalize

# Measured by benchmarks/encoders.py; the table and the choice are in benchmarks/ENCODERS.md.
EFFORTS: Mapping[str, int] = MappingProxyType({"webp": 2, "avif": 0, "png": 6, "gif": 3, "jxl": 3})
QUALITIES: Mapping[str, int] = MappingProxyType({n: f.quality for n, f in FORMATS.items() if f.quality is not None})
_THOROUGH: Mapping[str, int] = MappingProxyType({"webp": 4, "avif": 3})
_MADE_UP: Mapping[str, int] = MappingProxyType({"webp": 2, "avif": 3})
"""Quality that this effort makes up for: measured for equal structural similarity."""
HITS_TO_PAY: Mapping[str, int] = MappingProxyType({"jpg": 10, "webp": 25, "avif": 50})
"""Where the bytes saved outweigh the time: benchmarks/ENCODERS.md."""
FAST_ENCODERS = "imagecodecs"
"""The package of the extra `fast`."""
VECTOR_SIDE = 4096
"""Longer side of the grid on which an SVG is planned."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Default qualities and efforts by format."""

    quality: Mapping[str, int] = field(default_factory=lambda: dict(QUALITIES))
    effort: Mapping[str, int] = field(default_factory=lambda: dict(EFFORTS))
    similarity: float = SIMILARITY
    """Structural similarity that `quality=auto` aims at."""
    progressive: bool = False
    """Write every jpg progressive."""
    lower: Mapping[str, int] = field(default_factory=dict)
    """How much lower every quality is, by format."""

    def thorough(self) -> "EncoderSettings":
        """Return the settings for renditions that are requested often."""
        efforts = {name: max(effort, _THOROUGH.get(name, 0)) for name, effort in self.effort.items()}
        return replace(self, effort=efforts, progressive=True, lower=dict(_MADE_UP))

    def hits_to_pay(self, transform: Transform) -> int | None:
        """Return after how many hits of a rendition more effort pays; None if there is none to add."""
        name = "avif" if "best" in transform.auto else transform.format or ""
        # A limit on bytes is used up in any case.
        if transform.lossless or transform.max_bytes or (name == "jpg" and (transform.progressive or self.progressive)):
            return None
        return HITS_TO_PAY.get(name) if self.effort.get(name, 0) < _THOROUGH.get(name, 1) else None


def fast_encoders() -> str:
    """Return name and version of the package of the extra `fast`; empty if it is not installed."""
    try:
        return f"{FAST_ENCODERS} {importlib.metadata.version(FAST_ENCODERS)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


@dataclass(frozen=True, slots=True)
class Order:
    """What to render, from an original or a mezzanine."""

    transform: Transform
    limits: Limits = field(default_factory=Limits)
    encoders: EncoderSettings = field(default_factory=EncoderSettings)
    focal_point: tuple[float, float] | None = None
    """Stored on the image, as fractions of the upright picture."""
    damaged: bool = False
    """Decode a broken file as far as possible instead of refusing it."""
    marks: Mapping[str, bytes] = field(default_factory=dict)
    """The bytes of the originals that transforms name as marks, by these names."""

    def normalized(self, original: Format) -> tuple[Transform, Format]:
        """Return the normalized transform for an original of some format, and the output format."""
        output = FORMATS[self.transform.format] if self.transform.format else default_output(original)
        focal = self.focal_point is not None
        return normalize(self.transform, original, output, qualities=self.encoders.quality, focal_point=focal), output

    def plan(
        self, stored: Size, transform: Transform, *, orientation: int = 1, frames: int = 1, vector: bool = False
    ) -> Plan:
        """Return the plan of a rendition within the limits; frames of an animation share its pixels."""
        max_pixels = self.limits.output_pixels
        if frames > 1:
            max_pixels = min(max_pixels, max(1, self.limits.animation_pixels // frames))
        uncapped = plan(stored, transform, orientation=orientation, focal_point=self.focal_point, vector=vector)
        return uncapped.capped(self.limits.output_side, max_pixels)


def planning_size(size: Size, transform: Transform, *, vector: bool) -> Size:
    """Return the size for planning; for an SVG requested in pixels it is on a finer grid than its own few units."""
    relative = isinstance(transform.width, float) or isinstance(transform.height, float)
    sized = transform.width is not None or transform.height is not None
    if not vector or transform.rect or relative or not sized or transform.fit in {"max", "fillmax"}:
        return size
    finer = max(1, math.ceil(VECTOR_SIDE / max(size.width, size.height)))
    return Size(size.width * finer, size.height * finer)


def between(transform: Transform) -> Transform:
    """Return a transform for a step that another follows: the same picture without loss, in a format of frames."""
    return replace(transform, format="webp", lossless=True, quality=None, colors=None, max_bytes=None, auto=frozenset())
