"""Write an upload to a hidden file within limits, or fetch it from an address; accept it: place and record it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import anyio
from anyio import to_thread

from imgserve.catalog import BACKGROUND, Batched, Catalog, Similar
from imgserve.download import Downloader
from imgserve.errors import (
    AddressRefused,
    BadImageId,
    CatalogUnavailable,
    DuplicateImage,
    Forbidden,
    ImageExists,
    ImageNotFound,
    ImgserveError,
    OriginalChanged,
    TooLarge,
)
from imgserve.formats import HEAD_BYTES, identify
from imgserve.images.prefetch import EarlyMezzanine
from imgserve.library.inspect import Candidate, Inspected, Inspector
from imgserve.library.record import NameLocks, Recorded, RecordWriter, merged, name_by_content
from imgserve.library.scan import FileRecorder
from imgserve.model import Facts, ImageRecord, Origin, Original
from imgserve.originals.incoming import Incoming
from imgserve.originals.writable import WritableOriginals, new_id

_WRITE_BYTES = 256 * 1024
"""Written at once: to enter a thread for each packet of the network would cost more than the writing."""
_MOST_SIMILAR = 20
_DIGEST = "\0"
"""Starts the names of the locks of digests; no image id contains it."""
_Outcome = Literal["created", "replaced", "existing"]


class UploadWriter:
    """Writes one upload to an incoming file, with little in memory.

    As a context manager it drops the file at the end, unless the file was handed over. The first bytes must look like
    an image, so that a video is rejected before it fills the disk.
    """

    def __init__(self, originals: WritableOriginals, max_bytes: int) -> None:
        self._originals = originals
        self._max_bytes = max_bytes
        self._incoming: Incoming | None = None
        self._buffer = bytearray()
        self._recognized = False
        self.size = 0
        """Bytes received."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.drop()

    async def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            TooLarge, UnsupportedImage: the upload is rejected.
            StorageFull, ReadOnlyOriginals, Unavailable: it could not be written.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise TooLarge(f"The file is larger than {self._max_bytes} bytes, the limit of this server.")
        self._buffer += data
        if not self._recognized and len(self._buffer) >= HEAD_BYTES:
            self._recognize()
        if len(self._buffer) >= _WRITE_BYTES:
            await self._flush()

    async def hand_over(self) -> Incoming:
        """Return the complete file, flushed to the disk; from then on the caller has to drop it."""
        if not self._recognized:
            self._recognize()
        incoming = await self._flush(close=True)
        self._incoming = None
        return incoming

    async def drop(self) -> None:
        """Delete the file unless it was handed over, even if the task is being cancelled."""
        self._buffer.clear()
        if self._incoming is not None:
            await dropped(self._incoming)
            self._incoming = None

    def _recognize(self) -> None:
        identify(bytes(self._buffer[:HEAD_BYTES]))
        self._recognized = True

    async def _flush(self, *, close: bool = False) -> Incoming:
        data, self._buffer = bytes(self._buffer), bytearray()

        def write() -> Incoming:
            # Stored here, so that no file is lost if it cannot be written; a cancelled task waits for its thread.
            self._incoming = incoming = self._incoming or self._originals.incoming()
            incoming.write(data)
            if close:
                incoming.close()
            return incoming

        return await to_thread.run_sync(write)


class UploadReceiver:
    """Creates the incoming files for uploads, and fetches files from addresses."""

    def __init__(self, originals: WritableOriginals, downloader: Downloader | None, *, max_bytes: int) -> None:
        """Create a receiver of files of up to `max_bytes`; without a downloader it fetches nothing."""
        self._originals = originals
        self._downloader = downloader
        self.max_bytes = max_bytes

    def file(self) -> UploadWriter:
        """Return a writer for a new file."""
        return UploadWriter(self._originals, self.max_bytes)

    def check_id(self, image_id: str) -> None:
        """Check an id before bytes are sent for it; raise BadImageId if no image can have it."""
        self._originals.check_id(image_id)

    async def replaceable(self, image_id: str) -> str:
        """Return the id under which an image is replaced or created; an existing image keeps an unusual id.

        Raises BadImageId if no image can have it, and none has it.
        """
        try:
            self.check_id(image_id)
        except BadImageId:
            if await self.is_taken(image_id):
                return image_id
            image_id = new_id(image_id)
            self.check_id(image_id)
        return image_id

    async def is_taken(self, image_id: str) -> bool:
        """Return whether a file has this id now; the final decision is made when the upload is placed."""
        try:
            await to_thread.run_sync(self._originals.stat, image_id)
        except ImageNotFound:
            return False
        except ImgserveError:
            return True  # a file that is not a usable image
        return True

    async def fetch(self, url: str) -> tuple[Incoming, str]:
        """Fetch a file, and return it with its name; raises as `Downloader.fetch` and `UploadWriter.write`."""
        if self._downloader is None:
            raise AddressRefused("This server does not fetch pictures from addresses.")
        async with self.file() as writer:
            name = await self._downloader.fetch(url, writer.write)
            return await writer.hand_over(), name


async def dropped(incoming: Incoming) -> None:
    """Delete an incoming file, even if the task is being cancelled."""
    if not incoming.over:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(incoming.drop)


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, and what was stated about it."""

    incoming: Incoming
    image_id: str | None
    """None to name it by its content."""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """By the names of editable fields; what is missing is not stated."""
    who: str = ""
    replace: bool = False
    """Whether it may replace another file."""
    name: str = ""
    """Name of the file as it was sent."""
    origin: Origin = Origin.UPLOAD
    within: tuple[str, ...] = ()
    """The ids of images that the uploader may see start with one of these; empty for all."""

    @property
    def wait(self) -> float:
        """How long it may wait for others: a client waits for it, or an import of many."""
        return BACKGROUND if self.origin is Origin.IMPORT else 0.0

    def covers(self, record: ImageRecord) -> bool:
        """Return whether the uploader may see an image."""
        return not self.within or record.image_id.startswith(self.within)

    def named(self, facts: Facts, *, whole: bool = False) -> str:
        """Return an id made from the content, `whole` with the whole digest, where the uploader may see it."""
        return next(iter(self.within), "") + name_by_content(facts.sha256, facts.format, whole=whole)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An uploaded image, or the existing one of the same bytes."""

    record: ImageRecord
    outcome: _Outcome
    similar: tuple[Similar, ...] = ()
    """Images that look alike, and those of the same bytes under other ids, the most similar first."""


@dataclass(frozen=True, slots=True)
class UploadAcceptor:
    """Accepts uploaded images: finds duplicates, places and records them."""

    catalog: Catalog
    inspector: Inspector
    records: RecordWriter
    files: FileRecorder
    locks: NameLocks
    commit: Batched[Inspected, Recorded | None]
    """Records one image, together with others."""

    async def accept(self, upload: Upload) -> Accepted:
        """Accept an image, and count it; see `IngestService.accept`."""
        started = time.perf_counter()
        try:
            accepted = await self._accept(upload)
        except ImgserveError as error:
            self.records.count(upload.origin, error.code, time.perf_counter() - started)
            raise
        finally:
            await dropped(upload.incoming)
        self.records.count(upload.origin, accepted.outcome, time.perf_counter() - started)
        return accepted

    async def _accept(self, upload: Upload) -> Accepted:
        if upload.image_id is not None:
            if upload.within and not upload.image_id.startswith(upload.within):
                raise Forbidden("This API key is for other images.")
            try:
                self.inspector.originals.check_id(upload.image_id)
            except BadImageId:  # no new image can have it, but an existing file may be replaced
                if not (upload.replace and await self.inspector.exists(upload.image_id)):
                    raise
        if not upload.incoming.whole:
            await to_thread.run_sync(upload.incoming.close)
        async with self.inspector.inspected_upload(upload.incoming) as (facts, early):
            image_id = upload.image_id or upload.named(facts)
            # The digest is locked too: of two uploads of the same bytes the second one must find the first.
            async with self.locks.hold(image_id, _DIGEST + facts.sha256):
                return await self._stored(upload, image_id, facts, early)

    async def _stored(self, upload: Upload, image_id: str, facts: Facts, early: EarlyMezzanine | None) -> Accepted:
        """Return the existing image that answers an upload, or place and record it."""
        # This is also the check whether the catalog can be used.
        equal = await self.inspector.current(await self.catalog.search.equal(facts.sha256, wait=upload.wait))
        equal = list(filter(upload.covers, equal))
        existing = await self._existing(upload, image_id, equal)
        own = image_id if existing is None else existing.image_id
        # An import of thousands reports only equal ones: the search for those that look alike reads all records.
        looked = facts if upload.origin is not Origin.IMPORT else replace(facts, perceptual_hash=None)
        similar = await self._similar(looked, own, equal)
        similar = tuple(one for one in similar if upload.covers(one.record))
        if existing is not None:
            return Accepted(existing, "existing", similar)
        return Accepted(*await self._place(upload, image_id, facts, early), similar)

    async def _existing(self, upload: Upload, image_id: str, equal: list[ImageRecord]) -> ImageRecord | None:
        """Return the existing image that answers this upload, or None.

        Raises DuplicateImage if these bytes exist, and the rule is to refuse them.
        """
        here = next((one for one in equal if one.image_id == image_id), None)
        if equal and self.inspector.rules.duplicates == "refuse" and not (here and upload.replace):
            raise DuplicateImage(members={"image_id": (here or equal[0]).image_id})
        if upload.image_id is None:
            return equal[0] if equal else None
        return await self._with_details(here, upload.details) if here else None

    async def _with_details(self, record: ImageRecord, details: Mapping[str, Any]) -> ImageRecord:
        """Record what an uploader states about an image that exists already."""
        if not details:
            return record
        return await self.records.change(record.image_id, merged(details, record.metadata))

    async def _similar(self, facts: Facts, own: str, equal: list[ImageRecord]) -> tuple[Similar, ...]:
        """Return the images of the same bytes under other ids, then those that look alike."""
        similar = {one.image_id: Similar(one, 0) for one in equal}
        if facts.perceptual_hash is not None and self.inspector.rules.near >= 0:
            found = await self.catalog.search.similar(
                facts.perceptual_hash, distance=self.inspector.rules.near, limit=_MOST_SIMILAR
            )
            similar |= {one.record.image_id: one for one in found if one.record.image_id not in similar}
        similar.pop(own, None)
        return tuple(similar.values())[:_MOST_SIMILAR]

    async def _place(
        self, upload: Upload, image_id: str, facts: Facts, early: EarlyMezzanine | None
    ) -> tuple[ImageRecord, _Outcome]:
        known = await self.catalog.images.version_of(image_id, wait=upload.wait)
        try:
            exists, original = await to_thread.run_sync(self._placed, upload, image_id)
        except ImageExists:
            if upload.image_id is not None:
                raise
            return await self._name_taken(upload, image_id, facts, early)
        if early is not None and original is not None:
            early.adopt(original)
        try:
            # A replaced file without a record may have renditions all the same.
            record = await self._record(upload, image_id, original, facts, known or ("" if exists else None))
        except CatalogUnavailable as error:
            detail = "The picture is stored, but the catalog cannot be written right now; it will be recorded later."
            raise CatalogUnavailable(detail, retry_after=error.retry_after) from error
        return record, "replaced" if exists else "created"

    def _placed(self, upload: Upload, image_id: str) -> tuple[bool, Original | None]:
        """Place a file; return whether it has replaced another, and the original, or None if it is another one now."""
        exists = self.inspector.there(image_id)
        replacing = upload.replace and upload.image_id is not None
        version = self.inspector.originals.place(upload.incoming, image_id, replace=replacing)
        original = self.inspector.originals.stat(image_id)
        return exists, original if original.file_version == version else None

    async def _record(
        self, upload: Upload, image_id: str, original: Original | None, facts: Facts, known: str | None
    ) -> ImageRecord:
        if original is not None:
            name = upload.name if upload.image_id is None else ""
            found = Inspected(original, facts, known, upload.origin, upload.who, upload.details, name)
            recorded = await self.commit(found, wait=upload.wait)
            if recorded and recorded.record and not await self.inspector.changed([found]):
                return recorded.record
        # Another process, or a person, replaced the file at the same moment: the file that is there now counts.
        file = await self.files.record(Candidate(image_id, upload.origin, upload.who, background=False))
        if file.record is None:
            raise OriginalChanged(retry_after=1)
        return file.record

    async def _name_taken(
        self, upload: Upload, image_id: str, facts: Facts, early: EarlyMezzanine | None
    ) -> tuple[ImageRecord, _Outcome]:
        """Continue if there is a file under the name of these bytes, but no record of these bytes.

        A process may have died before it recorded the file, or somebody has given this name to another file.
        """
        recorded = await self.files.record(Candidate(image_id, upload.origin, upload.who, background=False))
        if recorded.record is not None and recorded.record.sha256 == facts.sha256:
            return await self._with_details(recorded.record, upload.details), "existing"
        longer = upload.named(facts, whole=True)
        if longer == image_id:
            raise ImageExists
        return await self._place(upload, longer, facts, early)
