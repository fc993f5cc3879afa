"""Collaborators and rules of the ingest service."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

from imgserve.catalog import Catalog
from imgserve.library.publish import ChangePublisher
from imgserve.library.results import NameLocks
from imgserve.metrics import Metrics
from imgserve.model import Facts, Origin
from imgserve.originals.base import WritableOriginals


class Inspect(Protocol):
    """Reads the facts of a file in a rendering process."""

    async def __call__(self, path: str, version: str, *, size: int, megapixels: float, background: bool) -> Facts:
        """Decode a file of this version and tell its facts; `background` gives way to pictures that clients wait for.

        Raises:
            UnreadableImage, UnsupportedImage, TooLarge: it is no image that can be used.
            OriginalChanged, Busy, Unavailable: not now.
        """
        ...


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say."""

    duplicates: Literal["existing", "refuse"] = "existing"
    """What becomes of an upload of bytes that are here: the image that is here is the answer, or it is refused."""
    near: int = 6
    """Bits of 64 in which the perceptual hashes of images differ at most that are told to be similar; -1 for none."""
    trash_seconds: float = 0.0
    """How long deleted images are kept; 0 for no trash."""
    settle: float = 2.0
    """Seconds that a file must be old before it is called damaged: it may still be written."""
    refused: tuple[str, ...] = ()
    """Formats that this server does not serve."""
    at_once: int = 4
    """Files of a scan that are looked at in parallel."""
    clock: Callable[[], datetime] = _now

    def until(self, deleted: datetime) -> datetime:
        """Tell when what was deleted leaves the trash."""
        return deleted + timedelta(seconds=self.trash_seconds)


@dataclass(frozen=True, slots=True)
class Means:
    """The parts."""

    originals: WritableOriginals
    catalog: Catalog
    inspect: Inspect
    telling: ChangePublisher
    locks: NameLocks
    metrics: Metrics
    rules: Rules

    def count(self, origin: Origin, outcome: str, seconds: float) -> None:
        """Count an original that came in, and what it took."""
        self.metrics.ingested.labels(origin.value, outcome).inc()
        self.metrics.ingest_seconds.labels(origin.value).observe(seconds)
