"""How a rendering process is asked for the facts of a file, with the limits of this server."""

from dataclasses import dataclass

from imgserve.errors import TooLarge
from imgserve.model import Facts, Limits
from imgserve.pipeline.facts import InspectJob
from imgserve.pipeline.process import Discipline
from imgserve.services.workers import Workers


@dataclass(frozen=True, slots=True)
class Inspector:
    """Has facts read by the processes that render."""

    workers: Workers
    discipline: Discipline
    limits: Limits
    damaged: bool = False
    """Take what can be decoded of a broken file."""

    async def __call__(self, path: str, version: str, *, size: int, megapixels: float, background: bool) -> Facts:
        """Decode a file of this version and tell its facts; see `Inspect`."""
        if size > self.limits.original_bytes:
            raise TooLarge(f"The original has over {self.limits.original_bytes} bytes, the limit original_bytes.")
        job = InspectJob(path, version, self.discipline, self.limits, self.damaged)
        # Beyond the limit it is refused on its header, which takes no time.
        beyond = megapixels * 1e6 > self.limits.original_pixels
        return await self.workers.inspect(job, megapixels=0.0 if beyond else megapixels, background=background)
