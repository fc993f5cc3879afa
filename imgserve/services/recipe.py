"""How this server renders, whatever the picture, and what of that decides the bytes."""

import hashlib
from dataclasses import dataclass

from imgserve.errors import TooLarge
from imgserve.model import Limits, Original
from imgserve.pipeline.encode import EncoderSettings
from imgserve.pipeline.process import Discipline, RenderJob
from imgserve.services.mezzanines import Start
from imgserve.transform import Transform


@dataclass(frozen=True, slots=True)
class Recipe:
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
