"""Settings that decide what a query means, what URLs may request, and how renditions are made."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imgserve.errors import BadTransform, TooLarge
from imgserve.http.headers import AcceptClass
from imgserve.images.mezzanines import Start
from imgserve.model import Limits, Original
from imgserve.pipeline.order import EncoderSettings
from imgserve.rendering.wire import MarkFile, RenderJob
from imgserve.transform import ParsedQuery, Preset, Transform
from imgserve.transform.hints import ClientHints


@dataclass(frozen=True, slots=True)
class Variety:
    """Allow lists for the parameters of URLs; an empty one allows everything."""

    presets_only: bool = False
    """Only presets, without further parameters."""
    presets: frozenset[str] = frozenset()
    """The only presets; without one of them, a URL is rejected."""
    parameters: frozenset[str] = frozenset()
    """Attributes of the transform."""
    formats: frozenset[str] = frozenset()
    """Output formats; an original's own format is always allowed."""
    qualities: tuple[int, ...] = ()
    """Ascending."""
    output_pixels: int = 0
    """Maximum width x height of a rendition, summed over its frames; 0 for the limit of the server."""
    reject: bool = False
    """Reject sizes and qualities that are not listed, instead of choosing the next one."""

    def check(self, parsed: ParsedQuery) -> ParsedQuery:
        """Return a query with a listed quality; raise BadTransform with everything in the query that is not allowed."""
        own = parsed.named
        mistakes = []
        if self.presets and parsed.preset not in self.presets:
            mistakes.append(f"preset: expected one of {', '.join(sorted(self.presets))}")
        if self.presets_only and own:
            mistakes.append(f"{_words(own)}: only presets are allowed here")
        elif self.parameters and (other := own - self.parameters):
            mistakes.append(f"{_words(other)}: not allowed here, where URLs may use {_words(self.parameters)}")
        quality = parsed.transform.quality
        listed = not self.qualities or "quality" not in own or not quality or quality in self.qualities
        if not listed and self.reject:
            mistakes.append(f"quality: expected one of {', '.join(map(str, self.qualities))}")
        if mistakes:
            raise BadTransform(mistakes)
        if listed or quality is None:
            return parsed
        nearest = next((one for one in self.qualities if one >= quality), self.qualities[-1])
        note = f"quality={nearest}"
        return replace(parsed, transform=replace(parsed.transform, quality=nearest), notes=(*parsed.notes, note))

    def hints(self, hints: ClientHints) -> ClientHints | None:
        """Return the client hints that may decide something, or None."""
        if self.presets_only:
            return None
        hints = hints.within(self.parameters)
        return replace(hints, used=hints.used - {"save-data"}) if self.qualities else hints

    def accepted(self, names: AcceptClass) -> AcceptClass:
        """Return the formats among which one may be negotiated."""
        return tuple(name for name in names if name in self.formats) if self.formats else names

    def check_format(self, name: str, own: str) -> None:
        """Check the output format of an original with its own format; raise BadTransform if it is not allowed."""
        if self.formats and name != own and name not in self.formats:
            raise BadTransform([f"format: expected one of {', '.join(sorted(self.formats))}"])

    def check_pixels(self, pixels: int) -> None:
        """Check the size of a rendition; raise BadTransform if it is too large."""
        if self.output_pixels and pixels > self.output_pixels:
            raise BadTransform([f"size: expected at most {self.output_pixels} pixels, but this picture has {pixels}"])


def _words(attributes: Iterable[str]) -> str:
    return ", ".join(sorted(name.replace("_", "-") for name in attributes))


ANYTHING = Variety()


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Settings that decide what a query means."""

    presets: dict[str, Preset] = field(default_factory=dict)
    """By name in lower case and by alias. Those of the catalog may change at any time."""
    strict: bool = False
    max_side: int = 8192
    avif_pixels: int = 0
    qualities: Mapping[str, int] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    """The only widths made, or heights of pictures requested by height, ascending. Empty: any."""
    pass_svg: bool = False
    """An SVG requested without parameters is returned sanitized instead of drawn."""
    variety: Variety = ANYTHING
    """What URLs may request."""
    watermark: Mapping[str, Any] = field(default_factory=dict)
    """Values by attribute of a mark on every picture, which replace those of URLs and presets; none: no such mark."""


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """Settings that all renditions share."""

    limits: Limits
    encoders: EncoderSettings
    damaged: bool = False
    settle: float = 2.0
    """Seconds that an original must be old before its renditions are stored."""

    def job(
        self, original: Original, transform: Transform | None, start: Start, then: tuple[Transform, ...] = ()
    ) -> RenderJob:
        """Return the job of a rendering process, or raise TooLarge; no transform: it only writes the mezzanine."""
        self.check_size(original)
        return RenderJob(
            original.path,
            original.file_version,
            transform,
            self.limits,
            self.encoders,
            damaged=self.damaged,
            mezzanine=start.mezzanine,
            store=start.store,
            compact=start.compact,
            focal_point=original.focal_point,
            then=then,
            image_id=original.image_id,
            marks=tuple(MarkFile(mark.image_id, mark.path, mark.file_version) for mark in original.marks),
        )

    def check_size(self, original: Original) -> None:
        """Raise TooLarge for an original, or a mark on it, of more bytes than are read as a whole."""
        if max(original.size, *(mark.size for mark in original.marks), 0) > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")

    def revision(self, pipeline: str) -> str:
        """Return a hash of everything except original and transform that decides the bytes of a rendition."""
        limits, encoders = self.limits, self.encoders
        caps = (limits.frames, limits.animation_pixels, limits.output_side, limits.output_pixels)
        settings = (sorted(encoders.quality.items()), sorted(encoders.effort.items()), encoders.similarity)
        return _digest((pipeline, *settings, caps, self.damaged))

    def mezzanine_revision(self, pipeline: str) -> str:
        """Return a hash of everything except the original that decides the bytes of a mezzanine."""
        return _digest((pipeline, self.damaged))


def _digest(values: object) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=4).hexdigest()
