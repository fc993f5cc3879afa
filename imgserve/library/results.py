"""Values that the ingest service accepts and returns, its rules, and its locks of names."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from imgserve.catalog import Similar
from imgserve.errors import ImgserveError
from imgserve.model import FocalPoint, ImageRecord, Problem

CHANGEABLE = ("title", "alt", "description", "tags", "metadata", "focal_point")
"""The fields of a record that people write; all others follow from the bytes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of the ingest service."""

    duplicates: Literal["existing", "refuse"] = "existing"
    """Whether an upload of bytes that are stored already returns the existing image, or is refused."""
    near: int = 6
    """Bits of 64 in which the perceptual hashes of similar images differ at most; -1 to report no similar images."""
    trash_seconds: float = 0.0
    """How long deleted images are kept; 0 for no trash."""
    settle: float = 2.0
    """Age in seconds from which a file can be reported as damaged: a younger one may still be written."""
    refused: tuple[str, ...] = ()
    """Formats that this server does not serve."""
    at_once: int = 4
    """Files of a scan that are inspected in parallel."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def until(self, deleted: datetime) -> datetime:
        """Return when an image leaves the trash."""
        return deleted + timedelta(seconds=self.trash_seconds)


@dataclass(frozen=True, slots=True)
class Details:
    """What an uploader states about an image; an empty value states nothing."""

    title: str = ""
    alt: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    focal_point: FocalPoint | None = None

    @property
    def said(self) -> dict[str, Any]:
        """The values that are not empty, by the names of `ImageRecord`."""
        return {name: value for name in CHANGEABLE if (value := getattr(self, name))}


class Recording(StrEnum):
    """The outcome of recording a file that is in place."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    RENAMED = "renamed"
    PROBLEM = "problem"
    """The file is not an image, or cannot be used."""
    GONE = "gone"
    """The file does not exist any more, and its record was removed."""
    LATER = "later"
    """The file cannot be read now and has to be tried again. Only `record_many` returns it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The state of a file that is in place."""

    image_id: str
    outcome: Recording
    record: ImageRecord | None = None
    """None also where the record was known and therefore not read."""
    problem: Problem | None = None
    error: ImgserveError | None = None
    """Why the file has to be tried again."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An uploaded image, or the existing one of the same bytes."""

    record: ImageRecord
    outcome: Literal["created", "replaced", "existing"]
    similar: tuple[Similar, ...] = ()
    """Images that look alike, and those of the same bytes under other ids, the most similar first."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted image."""

    image_id: str
    item: str | None = None
    """Its name in the trash; None if there is no trash."""
    until: datetime | None = None
    """When it leaves the trash for good."""


@dataclass(frozen=True, slots=True)
class TrashItem:
    """A deleted image that can be restored."""

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
    """How many images were purged, with or without renditions."""
    renditions: int


@dataclass(slots=True, eq=False)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """How many tasks hold it or wait for it."""


class NameLocks:
    """Locks by name: one task at a time changes what has a name."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        """Return how many names are held or waited for."""
        return len(self._entries)

    @contextlib.asynccontextmanager
    async def hold(self, *names: str) -> AsyncIterator[None]:
        """Hold names. They are acquired in sorted order, so that no deadlock is possible."""
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._hold(name))
            yield

    @contextlib.asynccontextmanager
    async def hold_if_free(self, name: str) -> AsyncIterator[bool]:
        """Hold a name in addition to others, in any order, unless it is in use; yield whether it is held."""
        if name in self._entries:
            yield False
            return
        # Free, so it is acquired without waiting.
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
