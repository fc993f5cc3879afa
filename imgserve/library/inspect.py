"""Inspect one file: the facts of a valid image, or the problem of an invalid one."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from anyio import to_thread

from imgserve.errors import (
    ImageNotFound,
    ImgserveError,
    OriginalDenied,
    OriginalUnsettled,
    TooLarge,
    Unavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imgserve.images.prefetch import EarlyMezzanine, MezzaninePrefetcher
from imgserve.model import Facts, ImageRecord, Limits, Origin, Original, bytes_version, size_in
from imgserve.originals.incoming import Incoming
from imgserve.originals.writable import WritableOriginals
from imgserve.records import FileProblem
from imgserve.rendering.wire import InspectJob
from imgserve.rendering.workers import Workers

_logger = logging.getLogger(__name__)
DENIED = ""
"""The version of the problem of a file that may not be read: no file has it, so each scan tries that file again."""
_UNKNOWN = "unknown"
"""Stands for a version that cannot be read now."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of the ingest service."""

    duplicates: Literal["existing", "refuse"] = "existing"
    """Whether an upload of bytes that are stored already returns the existing image, or is refused."""
    near: int = 6
    """Bits of 64 in which the perceptual hashes of similar images differ at most; -1 to report no similar images."""
    trash_seconds: float = 0.0
    """How long deleted images are kept; 0 for no trash."""
    redirect_seconds: float = 0.0
    """How long the old id of a moved image is redirected to the new one; 0 for no redirects."""
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
class Candidate:
    """A file to inspect, and what the catalog knows of it."""

    image_id: str
    origin: Origin = Origin.WATCH
    who: str = ""
    background: bool = True
    """Wait while clients wait for renditions."""
    version: str = ""
    """Version of the file, if the caller knows it. A file in an unknown format has no other."""
    known: str | None = None
    """Version of the record."""
    known_problem: str | None = None
    """Version of the file that was recorded as a problem."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """A valid image, and what is to be recorded with it."""

    original: Original
    """In its place."""
    facts: Facts
    known: str | None
    """Version of the existing record."""
    origin: Origin
    who: str = ""
    details: Mapping[str, Any] | None = field(default=None, hash=False)
    """What the uploader states, by the names of editable fields; None for a file that was found in its place."""
    name: str = ""
    """Name of the uploaded file, if the id does not contain it."""

    @property
    def image_id(self) -> str:
        """The id of the image."""
        return self.original.image_id


@dataclass(frozen=True, slots=True)
class Invalid:
    """A file that is not an image, or cannot be used."""

    problem: FileProblem
    known: str | None
    """Version of the existing record."""
    origin: Origin

    @property
    def image_id(self) -> str:
        """The id of the file."""
        return self.problem.image_id


def is_same_file(recorded: str | None, file_version: str) -> bool:
    """Return whether a recorded version is of these bytes, whatever the focal point."""
    return recorded is not None and bytes_version(recorded) == file_version


def is_permanent(error: ImgserveError) -> bool:
    """Return whether an error says that the file cannot be used, so that trying again would not help."""
    return isinstance(error, UnreadableImage | UnsupportedImage | TooLarge)


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks at the files of originals, and has their facts read by the rendering processes."""

    originals: WritableOriginals
    workers: Workers
    limits: Limits
    rules: Rules
    damaged: bool = False
    """Accept the readable part of a broken file."""
    prefetcher: MezzaninePrefetcher | None = None
    """Makes mezzanines from the pixels of inspections; None for no mezzanines."""

    async def inspect(self, file: Candidate) -> Inspected | Invalid | Recording:
        """Inspect a file as it is now; return UNCHANGED or GONE if there is nothing to record.

        Raises OriginalUnsettled, OriginalChanged, Busy or Unavailable if it cannot be inspected now; try again.
        """
        version = file.version
        try:
            original = await self.stat(file.image_id)
            version = original.file_version
            if is_same_file(file.known, version) or file.known_problem == version:
                return Recording.UNCHANGED
            try:
                facts = await self._facts(original.path, version, original.megapixels, background=file.background)
            except UnreadableImage as error:
                if await to_thread.run_sync(_age, original) < self.rules.settle:
                    raise OriginalUnsettled(retry_after=2) from error
                raise
            return Inspected(original, facts, file.known, file.origin, file.who)
        except OriginalDenied as error:
            problem = FileProblem(file.image_id, error.code, error.detail, self.rules.clock(), DENIED)
            if file.known_problem != DENIED:
                _logger.warning("%r may not be read: permission denied", file.image_id)
            return Invalid(problem, file.known, file.origin)
        except ImageNotFound:
            await self.check_readable()
            return Recording.GONE
        except ImgserveError as error:
            if not is_permanent(error):
                raise
            problem = FileProblem(file.image_id, error.code, error.detail, self.rules.clock(), version)
            return Invalid(problem, file.known, file.origin)

    @contextlib.asynccontextmanager
    async def inspected_upload(self, incoming: Incoming) -> AsyncIterator[tuple[Facts, EarlyMezzanine | None]]:
        """Yield the facts of an uploaded file that has no place yet, and its mezzanine, which it may adopt.

        Raises:
            UnreadableImage, UnsupportedImage, TooLarge: it is not an image that can be used.
            Busy, Unavailable: it cannot be inspected now.
        """
        path, version = str(incoming.path), incoming.version
        early = await self.prefetcher.early(size_in(version)) if self.prefetcher else None
        with early or contextlib.nullcontext():
            facts = await self._facts(path, version, background=False, early=early)
            if facts.format in self.rules.refused:
                raise UnsupportedImage(f"This server does not serve {facts.format} originals.")
            yield facts, early

    async def stat(self, image_id: str) -> Original:
        """Look at an original in a thread; see `Originals.stat`."""
        return await to_thread.run_sync(self.originals.stat, image_id)

    async def exists(self, image_id: str) -> bool:
        """Return whether there is a file, an image or not."""
        return not await self.missing([image_id])

    def there(self, image_id: str) -> bool:
        """Return whether there is a file, an image or not; blocks."""
        return self._versions([image_id])[image_id] is not None

    async def missing(self, ids: Sequence[str]) -> set[str]:
        """Return the ids that have no file."""
        versions = await to_thread.run_sync(self._versions, ids)
        return {image_id for image_id, version in versions.items() if version is None}

    async def changed(self, found: Sequence[Inspected | Invalid]) -> set[str]:
        """Return the ids whose files are other ones now than those that were inspected.

        Another process may have placed and recorded one before this process did: the one that writes last checks again.
        """
        inspected = {one.image_id: one.original.file_version for one in found if isinstance(one, Inspected)}
        versions = await to_thread.run_sync(self._versions, list(inspected)) if inspected else {}
        return {one for one, version in versions.items() if version not in {inspected[one], _UNKNOWN}}

    async def current(self, records: Sequence[ImageRecord]) -> list[ImageRecord]:
        """Return the records whose files are in place and the same."""
        versions = await to_thread.run_sync(self._versions, [one.image_id for one in records])
        if _UNKNOWN in versions.values():
            raise Unavailable("The original cannot be read right now.", retry_after=1)
        return [one for one in records if is_same_file(one.version, versions[one.image_id] or "")]

    async def check_readable(self) -> None:
        """Make sure that it is a file that is missing, and not the folder.

        Raises Unavailable if the folder cannot be read; everything below it would seem to be deleted.
        """
        if not await to_thread.run_sync(self.originals.readable):
            raise Unavailable("The folder of originals cannot be read right now.", retry_after=5)

    async def _facts(
        self, path: str, version: str, megapixels: float = 0.0, *, background: bool, early: EarlyMezzanine | None = None
    ) -> Facts:
        job = InspectJob(path, version, self.limits, self.damaged, early.store if early else None)
        begin = early.begin if early else None
        return await self.workers.inspect(job, megapixels=megapixels, background=background, on_turn=begin)

    def _versions(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the file versions of originals; None where there is no file."""
        versions = dict[str, str | None]()
        for image_id in ids:
            try:
                versions[image_id] = self.originals.stat(image_id).file_version
            except (UnsupportedImage, OriginalUnsettled, OriginalDenied):
                versions[image_id] = ""
            except ImageNotFound:
                versions[image_id] = None
            except ImgserveError:
                versions[image_id] = _UNKNOWN
        return versions


def _age(original: Original) -> float:
    """Return the seconds since a file was last written to, whatever modification time a copy sets."""
    with contextlib.suppress(OSError):
        changed = Path(original.path).stat().st_ctime
        return min(abs(time.time() - original.modified_ns / 1e9), abs(time.time() - changed))
    return 0.0  # gone or replaced just now
