"""How this server renders, and the negative cache of failures."""

import hashlib
from dataclasses import dataclass

from cachetools import TTLCache

from imgserve.cache import RenditionKey
from imgserve.errors import (
    ImgserveError,
    RenderCrashed,
    RenderTimeout,
    TooLarge,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.images.mezzanines import Start
from imgserve.model import Limits, Original
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.jobs import Discipline, RenderJob
from imgserve.transform import Transform


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How this server renders, whatever the picture."""

    discipline: Discipline
    limits: Limits
    encoders: EncoderSettings
    damaged: bool = False
    settle: float = 2.0
    """Seconds that an original must be old before a rendition of it is kept."""

    def job(
        self, original: Original, transform: Transform | None, start: Start, then: tuple[Transform, ...] = ()
    ) -> RenderJob:
        """Write the order for a rendering process; without a transform, for the mezzanine alone.

        Args:
            original: of what.
            transform: what is made of it.
            start: what to start from, and what to write beside it.
            then: what is made of that.

        Raises:
            TooLarge: without reading it.
        """
        if original.size > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")
        return RenderJob(
            original.path, original.file_version, transform, self.discipline, self.limits, self.encoders, self.damaged,
            start.mezzanine, start.keep, original.focal_point, then,
        )  # fmt: skip

    def revision(self, pipeline: str) -> str:
        """Name everything beside original and transform that decides the bytes."""
        limits = self.limits
        decisive = (
            pipeline,
            sorted(self.encoders.quality.items()),
            sorted(self.encoders.effort.items()),
            (limits.frames, limits.animation_pixels, limits.output_side, limits.output_pixels),
            self.damaged,
        )
        return _digest(decisive)

    def mezzanine_revision(self, pipeline: str) -> str:
        """Name everything beside the original that decides a mezzanine."""
        return _digest((pipeline, self.damaged))


def _digest(decisive: object) -> str:
    return hashlib.blake2b(repr(decisive).encode(), digest_size=4).hexdigest()


_MOST = 10_000
_TIMEOUTS_OF_A_FILE = 2
"""One modest picture over time may have met a busy moment; two of one file mean the file."""


class FailureCache:
    """Errors by rendition, and by original where the whole file is at fault."""

    def __init__(self, seconds: float) -> None:
        """Remember each failure for so long."""
        self._pictures: TTLCache[str, ImgserveError] = TTLCache(_MOST, seconds)
        self._files: TTLCache[tuple[str, str], ImgserveError] = TTLCache(_MOST, seconds)
        self._timeouts: TTLCache[tuple[str, str], int] = TTLCache(_MOST, seconds)

    def check(self, key: RenditionKey) -> None:
        """Raise again what this picture, or its file, failed with a moment ago."""
        known = self._files.get((key.image_id, key.version)) or self._pictures.get(key.path)
        if known is not None:
            raise known.with_traceback(None)

    def remember(self, key: RenditionKey, error: ImgserveError, *, modest: bool = True) -> None:
        """Keep an error that would come again; what may pass by itself is not kept.

        `modest` tells that little was asked for. Only then a timeout speaks against the file: else anyone could have a
        good one refused, by asking too much of it.
        """
        file = (key.image_id, key.version)
        if isinstance(error, RenderCrashed | UnsupportedImage):
            self._files[file] = error
        elif isinstance(error, RenderTimeout) and modest:
            self._timeouts[file] = self._timeouts.get(file, 0) + 1
            if self._timeouts[file] >= _TIMEOUTS_OF_A_FILE:
                self._files[file] = error
        if isinstance(error, UnreadableImage | TooLarge):
            self._pictures[key.path] = error
