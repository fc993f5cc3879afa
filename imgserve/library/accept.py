"""Accept uploaded images: inspect, find duplicates, place and record them."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

from anyio import to_thread

from imgserve.catalog import Catalog, Similar
from imgserve.errors import (
    BadImageId,
    CatalogUnavailable,
    DuplicateImage,
    ImageExists,
    ImgserveError,
    OriginalChanged,
)
from imgserve.library.inspect import Candidate, Inspected, Inspector
from imgserve.library.record import RecordWriter, merged, name_by_content
from imgserve.library.results import Accepted, Details, NameLocks, Rules
from imgserve.library.scan import FileRecorder
from imgserve.model import Facts, ImageRecord, Origin
from imgserve.originals.incoming import Incoming
from imgserve.originals.writable import WritableOriginals

_MOST_SIMILAR = 20
_DIGEST = "\0"
"""Starts the names of the locks of digests; no image id contains it."""
_Outcome = Literal["created", "replaced", "existing"]


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, and what was stated about it."""

    incoming: Incoming
    image_id: str | None
    """None to name it by its content."""
    details: Details
    origin: Origin
    who: str
    replace: bool
    """Whether it may replace another file."""
    name: str
    """Name of the file as it was sent."""


@dataclass(frozen=True, slots=True)
class UploadAcceptor:
    """Accepts uploads."""

    originals: WritableOriginals
    catalog: Catalog
    inspector: Inspector
    records: RecordWriter
    files: FileRecorder
    locks: NameLocks
    rules: Rules

    async def accept(self, upload: Upload) -> Accepted:
        """Accept an image, and count it; see `IngestService.accept`."""
        started = time.perf_counter()
        try:
            accepted = await self._accept(upload)
        except ImgserveError as error:
            self.records.count(upload.origin, error.code, time.perf_counter() - started)
            raise
        finally:
            await to_thread.run_sync(upload.incoming.drop)
        self.records.count(upload.origin, accepted.outcome, time.perf_counter() - started)
        return accepted

    async def _accept(self, upload: Upload) -> Accepted:
        if upload.image_id is not None:
            await self._check_id(upload.image_id, replace=upload.replace)
        await to_thread.run_sync(upload.incoming.close)
        facts = await self.inspector.inspect_upload(upload.incoming)
        image_id = upload.image_id or name_by_content(facts.sha256, facts.format)
        # The digest is locked too: of two uploads of the same bytes the second one must find the first.
        async with self.locks.hold(image_id, _DIGEST + facts.sha256):
            # This is also the check whether the catalog can be used.
            equal = await self.inspector.current(await self.catalog.search.by_sha256(facts.sha256))
            existing = await self._existing(upload, image_id, equal)
            similar = await self._similar(facts, image_id if existing is None else existing.image_id, equal)
            if existing is not None:
                return Accepted(existing, "existing", similar)
            return Accepted(*await self._place(upload, image_id, facts), similar)

    async def _check_id(self, image_id: str, *, replace: bool) -> None:
        """Reject an id that no new image can have; an existing file may be replaced under such an id."""
        try:
            self.originals.check_id(image_id)
        except BadImageId:
            if not (replace and await self.inspector.exists(image_id)):
                raise

    async def _existing(self, upload: Upload, image_id: str, equal: list[ImageRecord]) -> ImageRecord | None:
        """Return the existing image that answers this upload, or None.

        Raises:
            DuplicateImage: these bytes exist, and the rule is to refuse them.
        """
        here = next((one for one in equal if one.image_id == image_id), None)
        if equal and self.rules.duplicates == "refuse" and not (here and upload.replace):
            raise DuplicateImage(members={"image_id": (here or equal[0]).image_id})
        if upload.image_id is None:
            return equal[0] if equal else None
        return await self._with_details(here, upload.details) if here and upload.details.said else here

    async def _with_details(self, record: ImageRecord, details: Details) -> ImageRecord:
        """Record what an uploader states about an image that exists already."""
        return await self.records.change(record.image_id, merged(details.said, record.metadata))

    async def _similar(self, facts: Facts, own: str, equal: list[ImageRecord]) -> tuple[Similar, ...]:
        """Return the images of the same bytes under other ids, then those that look alike."""
        similar = {one.image_id: Similar(one, 0) for one in equal}
        if facts.perceptual_hash is not None and self.rules.near >= 0:
            found = await self.catalog.search.similar(
                facts.perceptual_hash, distance=self.rules.near, limit=_MOST_SIMILAR
            )
            similar |= {one.record.image_id: one for one in found if one.record.image_id not in similar}
        similar.pop(own, None)
        return tuple(similar.values())[:_MOST_SIMILAR]

    async def _place(self, upload: Upload, image_id: str, facts: Facts) -> tuple[ImageRecord, _Outcome]:
        exists = await self.inspector.exists(image_id)
        known = (await self.catalog.images.versions_of([image_id])).get(image_id)
        replacing = upload.replace and upload.image_id is not None
        try:
            version = await to_thread.run_sync(
                partial(self.originals.place, upload.incoming, image_id, replace=replacing)
            )
        except ImageExists:
            if upload.image_id is not None:
                raise
            return await self._name_taken(upload, image_id, facts)
        try:
            # A replaced file without a record may have renditions all the same.
            record = await self._record(upload, image_id, version, facts, known or ("" if exists else None))
        except CatalogUnavailable as error:
            detail = "The picture is stored, but the catalog cannot be written right now; it will be recorded later."
            raise CatalogUnavailable(detail, retry_after=error.retry_after) from error
        return record, "replaced" if exists else "created"

    async def _record(
        self, upload: Upload, image_id: str, version: str, facts: Facts, known: str | None
    ) -> ImageRecord:
        original = await self.inspector.stat(image_id)
        if original.file_version == version:
            name = upload.name if upload.image_id is None else ""
            found = Inspected(original, facts, known, upload.origin, upload.who, upload.details, name)
            recorded = (await self.records.commit([found])).get(image_id)
            if recorded and recorded.record and not await self.inspector.changed([found]):
                return recorded.record
        # Another process, or a person, replaced the file at the same moment: the file that is there now counts.
        recorded = await self.files.record(Candidate(image_id, upload.origin, upload.who, background=False))
        if recorded.record is None:
            raise OriginalChanged(retry_after=1)
        return recorded.record

    async def _name_taken(self, upload: Upload, image_id: str, facts: Facts) -> tuple[ImageRecord, _Outcome]:
        """Continue if there is a file under the name of these bytes, but no record of these bytes.

        A process may have died before it recorded the file, or somebody has given this name to another file.
        """
        recorded = await self.files.record(Candidate(image_id, upload.origin, upload.who, background=False))
        if recorded.record is not None and recorded.record.sha256 == facts.sha256:
            return await self._with_details(recorded.record, upload.details), "existing"
        longer = name_by_content(facts.sha256, facts.format, whole=True)
        if longer == image_id:
            raise ImageExists
        return await self._place(upload, longer, facts)
