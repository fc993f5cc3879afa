"""Move an original to another id: its file, then its record, with a redirect from the old id."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

from anyio import to_thread

from imgserve.catalog import Catalog
from imgserve.errors import BadImageId, CatalogUnavailable, ImageExists, ImageNotFound, ImgserveError, OriginalChanged
from imgserve.formats import BY_EXTENSION, FORMATS
from imgserve.library.inspect import Candidate, Inspector, Recording, is_same_file
from imgserve.library.record import NameLocks, RecordWriter
from imgserve.library.scan import FileRecorder
from imgserve.model import ImageRecord
from imgserve.originals.folder import spellings
from imgserve.originals.writable import new_id

_logger = logging.getLogger(__name__)


def check_extension(image_id: str, target: str, format_name: str) -> None:
    """Check that a new id has the extension of the old one, or one of the format.

    Raises BadImageId if it has another extension.
    """
    extension = PurePosixPath(target).suffix[1:].lower()
    known = BY_EXTENSION.get(extension)
    if extension == PurePosixPath(image_id).suffix[1:].lower() or (known and known.name == format_name):
        return
    expected = " or ".join(f".{one}" for one in FORMATS[format_name].extensions)
    raise BadImageId(f"The image cannot have this id: its extension must be that of its format, {expected}.")


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves originals, and what is recorded of them.

    The redirect is written first, then the file is moved, then the record. A process that dies in between leaves a
    record whose file is gone, and a new file of the same bytes: a scan recognizes that as a renamed file.
    """

    catalog: Catalog
    inspector: Inspector
    records: RecordWriter
    files: FileRecorder
    locks: NameLocks

    async def move(self, image_id: str, to: str) -> ImageRecord:
        """Move an image; see `IngestService.move`."""
        target = new_id(to)
        async with self.locks.hold(image_id, target):
            record = await self.catalog.images.get(image_id)
            if record is None:
                raise ImageNotFound
            if target == image_id:
                return record
            check_extension(image_id, target, record.format)
            if await self.inspector.exists(image_id):
                return await self._move(record, target)
            await self.inspector.check_readable()
        return await self._complete(target)

    async def _move(self, record: ImageRecord, target: str) -> ImageRecord:
        stale = await self.catalog.images.versions_of([target])
        if target not in spellings(record.image_id) and await self.inspector.exists(target):
            raise ImageExists
        if stale:  # its file is gone
            await self.records.forget([target])
        seconds = self.inspector.rules.redirect_seconds
        if seconds:
            until = self.inspector.rules.clock() + timedelta(seconds=seconds)
            await self.catalog.redirects.add(record.image_id, target, until)
        try:
            await to_thread.run_sync(self.inspector.originals.move, record.image_id, target)
        except ImgserveError:
            if seconds:
                await self.catalog.redirects.remove(record.image_id, target)
            raise
        _logger.info("%r was moved to %r", record.image_id, target)
        try:
            return await self._follow(record, target)
        except CatalogUnavailable as error:
            detail = "The picture is moved, but the catalog cannot be written right now; it will be recorded later."
            raise CatalogUnavailable(detail, retry_after=error.retry_after) from error

    async def _follow(self, record: ImageRecord, target: str) -> ImageRecord:
        """Rename the record of a moved file, and return it; a file that was replaced a moment ago is recorded again."""
        original = await self.inspector.stat(target)
        try:
            # With its version, by which a scan recognizes a file that is another one.
            moved = await self.records.rename(record.image_id, original, record.version)
            if is_same_file(record.version, original.file_version):
                return moved
        except (ImageNotFound, ImageExists):  # the watcher of another process was faster
            pass
        recorded = await self.files.record(Candidate(target, background=False))
        if recorded.record is None:
            raise OriginalChanged(retry_after=1)
        return recorded.record

    async def _complete(self, target: str) -> ImageRecord:
        """Complete a move whose process died, or had no catalog, after the file was moved."""
        async with self.locks.hold(target):
            recorded = await self.files.record(Candidate(target, background=False))
        if recorded.outcome is not Recording.RENAMED or recorded.record is None:
            raise ImageNotFound
        return recorded.record
