"""What the watcher needs of the one door and of the catalog. Nothing is done here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from imgserve.model import ImageRecord
from imgserve.originals.base import Walked
from imgserve.services.ingest import Recorded


class Ingest(Protocol):
    """Where changes of originals pass."""

    async def record(self, image_id: str, *, background: bool = True, version: str = "") -> Recorded:
        """Record a file of a version that lies in its place, nothing where it is known; one that is gone is forgotten.

        Raises:
            CatalogUnavailable, Unavailable: it cannot be told now.
        """
        ...

    async def record_many(self, walked: Sequence[Walked], *, background: bool = True) -> list[Recorded]:
        """Record many together; what cannot be told now is LATER, and names that cannot be recorded are left out."""
        ...

    async def vanished(self, image_id: str) -> bool:
        """Forget an image whose file is gone; tell whether it was known."""
        ...


class Versions(Protocol):
    """What is known by its version: images, or problems."""

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Tell ids and versions in the order of ids."""
        ...


class Records(Versions, Protocol):
    """The records of images."""

    async def get_many(self, image_ids: Collection[str]) -> Mapping[str, ImageRecord]:
        """Read those that there are."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog knows of the originals."""

    images: Records
    problems: Versions
