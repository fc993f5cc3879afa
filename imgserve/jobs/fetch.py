"""Fetch one image of an import, and store it through the ingest service."""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from imgserve.catalog import BACKGROUND, Catalog, ImportRow, StoredItem, StoredJob
from imgserve.download import Downloader, Fetched
from imgserve.errors import BadImageId, FetchFailed
from imgserve.formats import HEAD_BYTES, Format, identify
from imgserve.images.warm import Warmer
from imgserve.jobs.pace import Turn
from imgserve.library.ingest import IngestService
from imgserve.library.upload import Upload, UploadReceiver, dropped
from imgserve.model import ImageRecord, Origin
from imgserve.originals.incoming import Incoming
from imgserve.originals.writable import new_id

SOURCE = "import"
"""The key of the metadata with the source of an image: `url`, `job`, `line` and `product`."""
_NAME = re.compile(r"[^\w.-]+")
_NAME_CHARACTERS = 80
_MOST_NAMES = 1000
OK = 200
NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed image, and what is known about it."""

    item: StoredItem
    job: StoredJob
    row: ImportRow | None
    earlier: StoredItem | None
    """The last stored image of the same product and URL."""
    turn: Turn


@dataclass(frozen=True, slots=True)
class _Received:
    """A file that was fetched."""

    incoming: Incoming
    sha256: str
    size: int
    format: Format
    response: Fetched


@dataclass(frozen=True, slots=True)
class ImageFetcher:
    """Fetches images and stores them. What is stored already is not fetched again, unless the import refreshes."""

    catalog: Catalog
    ingest: IngestService
    receiver: UploadReceiver
    downloader: Downloader
    warmer: Warmer
    path: str
    """Of image ids, with {product} and {name}."""

    async def fetch(self, claimed: Claimed) -> StoredItem:
        """Return the item with its outcome, after its output was rendered.

        Raises ImgserveError if it cannot be fetched or stored.
        """
        item, job = claimed.item, claimed.job
        earlier = item if item.image_id else claimed.earlier
        known = await self._record(earlier)
        if known is not None and earlier is not None:
            if earlier is item or not job.refresh:
                done = self._known(item, await self._sourced(claimed, known) if earlier is item else known, earlier)
            else:
                done = await self._refreshed(claimed, known, earlier)
        else:
            done = await self._fetched(claimed)
        return await self._rendered(done, job)

    async def _record(self, item: StoredItem | None) -> ImageRecord | None:
        """Return the record of the image that an item has stored, if that still has its bytes."""
        record = await self.catalog.images.get(item.image_id) if item and item.image_id else None
        return record if record and item and record.sha256 == item.sha256 else None

    def _known(self, item: StoredItem, record: ImageRecord, earlier: StoredItem) -> StoredItem:
        reason = "" if earlier.job == item.job else "stored by an earlier import"
        return replace(_stored(item, record), etag=earlier.etag, status=earlier.status, reason=reason)

    async def _refreshed(self, claimed: Claimed, known: ImageRecord, earlier: StoredItem) -> StoredItem:
        item = claimed.item
        received = await self._receive(claimed, earlier.etag)
        if received is None:
            return replace(_stored(item, known), status=NOT_MODIFIED, etag=earlier.etag, reason="not modified")
        return await self._store(claimed, received, known.image_id)

    async def _fetched(self, claimed: Claimed) -> StoredItem:
        received = await self._receive(claimed)
        if received is None:
            raise FetchFailed("The server sent no picture.")
        return await self._store(claimed, received, None)

    async def _receive(self, claimed: Claimed, etag: str = "") -> _Received | None:
        """Return a fetched file, or None if it still has the entity tag."""
        digest, head = hashlib.sha256(), bytearray()
        async with self.receiver.file() as writer:

            async def write(piece: bytes) -> None:
                digest.update(piece)
                if len(head) < HEAD_BYTES:
                    head.extend(piece[:HEAD_BYTES])
                await writer.write(piece)

            async with claimed.turn.request():
                response = await self.downloader.fetch_changed(claimed.item.url, write, etag)
            if response.unchanged:
                return None
            incoming, kind = await writer.hand_over(), identify(bytes(head[:HEAD_BYTES]))
            return _Received(incoming, digest.hexdigest(), writer.size, kind, response)

    async def _store(self, claimed: Claimed, received: _Received, replaced: str | None) -> StoredItem:
        """Store a fetched file under a free id of its product, or in place of one; identical bytes are stored once."""
        item = claimed.item
        try:
            equal = await self.catalog.search.equal(received.sha256, wait=BACKGROUND)
            folder = self.path.format(product=item.product, name="")
            same = next((one for one in equal if one.image_id.startswith(folder)), None)
            free = same.image_id if same else replaced or await self._free_id(item, received)
            image_id = await self.catalog.import_queue.reserve(item, received.sha256, free)
            is_new = image_id == free and not (same or replaced)
            record = None if is_new else await self._existing(image_id)
            interrupted = item.image_id == image_id
            item = replace(item, status=OK, etag=received.response.etag)
            if record is not None and record.sha256 == received.sha256:
                return _stored(item, await self._sourced(claimed, record) if interrupted else record)
            if record is not None and image_id != replaced:
                former, image_id = image_id, await self._free_id(item, received)
                await self.catalog.import_queue.rename(item, received.sha256, former, image_id)
            upload = Upload(
                received.incoming, image_id, {"metadata": _metadata(claimed)}, who_imports(item.job),
                replace=image_id == replaced, origin=Origin.IMPORT,
            )  # fmt: skip
            accepted = await self.ingest.accept(upload)
        finally:
            await dropped(received.incoming)
        elsewhere = [one.record.image_id for one in accepted.similar if one.record.sha256 == received.sha256]
        reason = f"the same bytes are also at {', '.join(elsewhere[:3])}" if elsewhere else ""
        state = "duplicate" if accepted.outcome == "existing" else "stored"
        return replace(_stored(item, accepted.record), state=state, reason=reason)

    async def _sourced(self, claimed: Claimed, record: ImageRecord) -> ImageRecord:
        """Return the record of an image whose import was interrupted, with its source."""
        if SOURCE in record.metadata:
            return record
        both = {**record.metadata, **_metadata(claimed)}
        return await self.ingest.change(record.image_id, {"metadata": both})

    async def _existing(self, image_id: str) -> ImageRecord | None:
        """Return the record of an image; a file that was placed just before its process died is recorded now."""
        record = await self.catalog.images.get(image_id)
        if record is None and await self.receiver.is_taken(image_id):
            await self.ingest.record(image_id, background=False)
            record = await self.catalog.images.get(image_id)
        return record

    async def _free_id(self, item: StoredItem, received: _Received) -> str:
        """Return an image id for a file that no file has."""
        stem, _ = posixpath.splitext(received.response.name.replace("\\", "/").rpartition("/")[2])
        stem = _NAME.sub("-", stem)[:_NAME_CHARACTERS].strip("-.") or "image"
        extension = received.format.extensions[0]
        for number in range(1, _MOST_NAMES):
            name = f"{stem}.{extension}" if number == 1 else f"{stem}-{number}.{extension}"
            image_id = new_id(self.path.format(product=item.product, name=name))
            if not await self.receiver.is_taken(image_id) or await self._has(image_id, received.sha256):
                return image_id
        raise BadImageId("There are too many images of this name.")

    async def _has(self, image_id: str, sha256: str) -> bool:
        record = await self.catalog.images.get(image_id)
        return record is not None and record.sha256 == sha256

    async def _rendered(self, item: StoredItem, job: StoredJob) -> StoredItem:
        """Render the output of an image when no request waits; a failure is noted, since the image is stored."""
        if not job.output:
            return item
        warmed = [one async for one in self.warmer.warm([item.image_id], [job.output], total=1)]
        reasons = [f"output: {one.error.detail}" for one in warmed if one.error is not None]
        return replace(item, reason="; ".join(filter(None, [item.reason, *reasons])))


def who_imports(job_id: str) -> str:
    """Return who added the images of a job."""
    return f"import:{job_id}"


def _metadata(claimed: Claimed) -> Mapping[str, Any]:
    """Return the cells of a row by their headers, without products and URLs, and the source of the image."""
    item, row = claimed.item, claimed.row
    source = {"url": item.url, "job": item.job, "line": item.line, "product": row.name if row else item.product}
    cells = zip(claimed.job.headers, row.cells if row else (), strict=False)
    product = source["product"]
    return {
        **{head: cell for head, cell in cells if head and cell not in {"", product} and "://" not in cell},
        SOURCE: source,
    }


def _stored(item: StoredItem, record: ImageRecord) -> StoredItem:
    """Return the item with a stored image; it is a duplicate if the image came from another URL."""
    source = record.metadata.get(SOURCE)
    own = isinstance(source, Mapping) and source.get("url") == item.url
    return replace(
        item, state="stored" if own else "duplicate", image_id=record.image_id, sha256=record.sha256,
        size=record.size, reason="", changed=datetime.now(UTC),
    )  # fmt: skip
