"""Values that the ingest service accepts and returns."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from imgserve.catalog import Similar
from imgserve.errors import ImgserveError
from imgserve.model import FocalPoint, ImageRecord, Original, Problem


@dataclass(slots=True, eq=False)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Who holds it or waits for it."""


class NameLocks:
    """Lets one at a time change what has a name."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        """Count the names that are held or waited for."""
        return len(self._entries)

    @contextlib.asynccontextmanager
    async def hold(self, *names: str) -> AsyncIterator[None]:
        """Hold names, which are waited for in their order, so that nobody waits in a circle."""
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._hold(name))
            yield

    @contextlib.asynccontextmanager
    async def hold_if_free(self, name: str) -> AsyncIterator[bool]:
        """Hold a name beside others, in any order, if nobody does; tell whether it is held."""
        if name in self._entries:
            yield False
            return
        # Free, so that it is taken without waiting.
        async with self._hold(name):
            yield True

    @contextlib.asynccontextmanager
    async def _hold(self, name: str) -> AsyncIterator[None]:
        entry = self._entries.setdefault(name, _Entry())
        entry.users += 1
        try:
            async with entry.lock:
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[name]


@dataclass(frozen=True, slots=True)
class Details:
    """What an uploader says of an image; what is empty was not said."""

    title: str = ""
    alt: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    focal_point: FocalPoint | None = None

    @property
    def said(self) -> dict[str, Any]:
        """What was said, by the names of `ImageRecord`."""
        names = ("title", "alt", "description", "tags", "metadata", "focal_point")
        return {name: value for name in names if (value := getattr(self, name))}


class Recording(StrEnum):
    """What became of a file that lies in place."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    RENAMED = "renamed"
    PROBLEM = "problem"
    """It is no image, or none that can be used."""
    GONE = "gone"
    """It was not there any more, and is forgotten."""
    LATER = "later"
    """It cannot be read now: still being written, or there is no time for it; to be tried again. Of many only."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a file that lies in place."""

    image_id: str
    outcome: Recording
    record: ImageRecord | None = None
    """None too where the record was known and not read."""
    problem: Problem | None = None
    renamed_from: str | None = None
    error: ImgserveError | None = None
    """Why it is to be tried again later."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that came in, or was there already."""

    record: ImageRecord
    outcome: Literal["created", "replaced", "existing"]
    similar: tuple[Similar, ...] = ()
    """Images that look alike, and those of the same bytes under other ids, the most alike first."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """An image that was taken away."""

    image_id: str
    item: str | None = None
    """Its name in the trash; None where there is no trash."""
    until: datetime | None = None
    """When it leaves the trash for good."""


@dataclass(frozen=True, slots=True)
class TrashItem:
    """A deleted image that can be brought back."""

    item: str
    image_id: str
    deleted: datetime
    until: datetime
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge removed."""

    images: int
    """How many images were purged, had they renditions or not."""
    renditions: int


class Listener(Protocol):
    """Is told of changes after they are made, and awaited; what it raises is logged and changes nothing."""

    async def on_purged(self, ids: Collection[str] | None, tags: Collection[str]) -> None:
        """Hear that what was made of these images is not to be used any more; None for all images.

        `tags` names what else answers may be known by: `preset:NAME` after the purge of a preset.
        """
        ...

    async def on_recorded(self, original: Original) -> None:
        """Hear of a new original, or a new version of one."""
        ...
