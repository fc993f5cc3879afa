"""How this server renders, and the revision of its renditions."""

import hashlib
from dataclasses import dataclass

from imgserve.errors import TooLarge
from imgserve.images.mezzanines import Start
from imgserve.model import Limits, Original
from imgserve.pipeline.encode import EncoderSettings
from imgserve.rendering.wire import RenderJob
from imgserve.transform import Transform


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
        """Return the job for a rendering process.

        Args:
            original: the original.
            transform: the transform; None: only the mezzanine is written.
            start: the mezzanine to start from or to write.
            then: transforms of the result.

        Raises:
            TooLarge: the original has more bytes than allowed.
        """
        if original.size > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")
        return RenderJob(
            original.path,
            original.file_version,
            transform,
            self.limits,
            self.encoders,
            damaged=self.damaged,
            mezzanine=start.mezzanine,
            store=start.store,
            focal_point=original.focal_point,
            then=then,
        )

    def revision(self, pipeline: str) -> str:
        """Return a hash of everything except original and transform that decides the bytes of a rendition."""
        limits = self.limits
        return _digest(
            (
                pipeline,
                sorted(self.encoders.quality.items()),
                sorted(self.encoders.effort.items()),
                (limits.frames, limits.animation_pixels, limits.output_side, limits.output_pixels),
                self.damaged,
            )
        )

    def mezzanine_revision(self, pipeline: str) -> str:
        """Return a hash of everything except the original that decides the bytes of a mezzanine."""
        return _digest((pipeline, self.damaged))


def _digest(values: object) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=4).hexdigest()
