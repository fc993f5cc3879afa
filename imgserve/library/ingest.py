"""The ingest service: the only way in which originals and their records change."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from anyio import to_thread

from imgserve.cache import RenditionKey, is_rendition_name
from imgserve.catalog import Batched, Catalog, ImageQuery, Notice, Selection
from imgserve.errors import (
    ImageExists,
    ImageNotFound,
    ImgserveError,
    OriginalChanged,
    ReadOnlyOriginals,
    TrashItemNotFound,
    UnreadableImage,
)
from imgserve.http.headers import preset_tag
from imgserve.images.batches import batches
from imgserve.library.inspect import Candidate, Inspector, Recording
from imgserve.library.move import Mover
from imgserve.library.record import ChangePublisher, NameLocks, Recorded, RecordWriter
from imgserve.library.scan import FileRecorder
from imgserve.library.trash import Trash
from imgserve.library.upload import Accepted, Upload, UploadAcceptor
from imgserve.metrics import Metrics
from imgserve.model import ImageRecord, Original
from imgserve.originals.tree import Walked
from imgserve.records import Deleted, Purged, TrashItem

_logger = logging.getLogger(__name__)
_DELETED_AT_ONCE = 50
"""Originals whose records are removed in one transaction."""
P = ParamSpec("P")
T = TypeVar("T")
PresetKeys = Callable[[Original, str], Awaitable[Sequence[RenditionKey]]]
"""Returns the keys of all renditions of an original with a preset."""
_Method = Callable[Concatenate["IngestService", P], Coroutine[Any, Any, T]]


def _uninterrupted(method: _Method[P, T]) -> _Method[P, T]:
    """Run a method to its end even if the caller is cancelled."""

    async def run(self: "IngestService", /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(method(self, *args, **kwargs))
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    return functools.update_wrapper(run, method)


class IngestService:
    """Accepts originals, changes what is recorded of them, and deletes them.

    One task at a time changes an image in this process. Between processes the file decides: the one that records last
    checks the file again. A change is completed even if its caller is cancelled. Every method raises CatalogUnavailable
    if the catalog cannot be used.
    """

    def __init__(
        self,
        catalog: Catalog,
        inspector: Inspector,
        publisher: ChangePublisher,
        *,
        preset_keys: PresetKeys,
        metrics: Metrics,
    ) -> None:
        self.locks = NameLocks()
        self._catalog = catalog
        self._inspector, self._originals, self._rules = inspector, inspector.originals, inspector.rules
        self._publisher = publisher
        self._preset_keys = preset_keys
        self._records = RecordWriter(catalog, inspector, publisher, self.locks, metrics)
        self._files = FileRecorder(catalog, inspector, self._records, self.locks)
        commit = Batched(self._records.commit_each)
        self._uploads = UploadAcceptor(catalog, inspector, self._records, self._files, self.locks, commit)
        self._trash = Trash(catalog.images, inspector)
        self._mover = Mover(catalog, inspector, self._records, self._files, self.locks)
        self._running = set[asyncio.Task[Any]]()

    @_uninterrupted
    async def record(self, image_id: str, *, background: bool = True, version: str = "") -> Recorded:
        """Record a file that is in its place already. Nothing of a known file is read.

        A file that is not a usable image becomes a problem, and its record is removed. A new file with the bytes of a
        record whose file is gone is a renamed one, and the record follows it. So record new files before `vanished` is
        called for others.

        In the `background` it gives way to renditions that clients wait for; `version` is that of the file, if known.

        Raises OriginalUnsettled, OriginalChanged, Busy or Unavailable if it cannot be recorded now; try again.
        """
        async with self.locks.hold(image_id):
            return await self._files.record(Candidate(image_id, background=background, version=version))

    @_uninterrupted
    async def record_many(self, walked: Sequence[Walked], *, background: bool = True) -> list[Recorded]:
        """Record some thousand files of a scan. Nothing of known files is read, and the others are recorded in batches.

        Only a failure of the catalog makes the whole call fail. The outcome of a file that cannot be inspected now is
        LATER. Files whose names are too long to be recorded are left out.
        """
        return await self._files.record_many(walked, background=background)

    @_uninterrupted
    async def vanished(self, image_id: str) -> bool:
        """Remove the record, or problem, of a missing file; return whether it was known. An existing file stays."""
        async with self.locks.hold(image_id):
            if await self._inspector.exists(image_id):
                return False
            await self._inspector.check_readable()
            return bool(await self._records.forget([image_id]))

    @_uninterrupted
    async def accept(self, upload: Upload) -> Accepted:
        """Accept an image that was written to an incoming file. That file is gone afterwards in any case.

        The image is decoded before it is visible. Without an id it is named by its content, and its file name becomes
        part of its metadata. If the same bytes exist under the same id, or for an upload without an id under any id,
        the result is the existing image.

        Raises:
            Forbidden: the id has another start.
            BadImageId, ImageExists, DuplicateImage: the id, or the bytes, cannot be accepted.
            UnreadableImage, UnsupportedImage, TooLarge: it is not an image that can be used.
            ReadOnlyOriginals, StorageFull: it cannot be stored.
            CatalogUnavailable: nothing was stored; or, as its text says, the next scan will record what was stored.
        """
        return await self._uploads.accept(upload)

    @_uninterrupted
    async def change(self, image_id: str, fields: Mapping[str, Any]) -> ImageRecord:
        """Change title, alt, description, tags, metadata or focal_point; all other fields stay.

        Raises:
            ImageNotFound: there is no record.
            ValueError: a field is none of these, or not valid.
        """
        async with self.locks.hold(image_id):
            return await self._records.change(image_id, fields)

    async def tag_many(self, selection: Selection, add: Collection[str], remove: Collection[str]) -> int:
        """Add tags to images and remove others, of all images or none; return how many images changed."""
        return await self._catalog.images.retag(selection, add=add, remove=remove)

    @_uninterrupted
    async def move(self, image_id: str, new_id: str) -> ImageRecord:
        """Move an original to another id with all that is recorded, and redirect the old id to it for a time.

        A process that dies meanwhile leaves the image whole under one of the ids: the record of a file that was moved
        follows with the next scan, or when the call is repeated.

        Raises:
            ImageNotFound: there is no record.
            BadImageId: no image can have the new id, or its extension is not one of the format.
            ImageExists: there is another image, or something else in its place.
            ReadOnlyOriginals: one of the folders is read-only, or they are on different disks.
        """
        return await self._mover.move(image_id, new_id)

    async def moved_to(self, image_id: str) -> str | None:
        """Return the id to which an image was moved, if it is still redirected and there."""
        if not self._rules.redirect_seconds:
            return None
        target = (await self._catalog.redirects.targets([image_id])).get(image_id)
        return target if target is not None and await self._catalog.images.get(target) else None

    @_uninterrupted
    async def delete(self, image_id: str) -> Deleted:
        """Move an original to the trash with all that is recorded, or delete it if there is no trash.

        Raises:
            ImageNotFound: there is neither a file nor a record.
            ReadOnlyOriginals: its folder is read-only.
        """
        deleted, refused = await self._delete([image_id])
        if refused:
            raise refused[0]
        if not deleted:
            raise ImageNotFound
        return deleted[0]

    @_uninterrupted
    async def delete_many(self, selection: Selection) -> list[Deleted]:
        """Delete originals in the order in which they are named, or in that of their ids.

        Images that do not exist or are in a read-only folder are not in the result. After an interruption the same call
        deletes the rest.

        Raises ReadOnlyOriginals if nothing was deleted, because all folders are read-only.
        """
        deleted, refused = list[Deleted](), list[ReadOnlyOriginals]()
        async for ids in batches(selection, self._catalog.search):
            for start in range(0, len(ids), _DELETED_AT_ONCE):
                some = await self._delete(ids[start : start + _DELETED_AT_ONCE])
                deleted += some[0]
                refused += some[1]
        if refused and not deleted:
            raise refused[0]
        return deleted

    async def _delete(self, ids: Sequence[str]) -> tuple[list[Deleted], list[ReadOnlyOriginals]]:
        """Delete some originals; return them, and the errors of read-only ones."""
        deleted, refused = list[Deleted](), list[ReadOnlyOriginals]()
        async with self.locks.hold(*ids):
            records = await self._catalog.images.get_many(ids)
            try:
                for image_id in ids:
                    try:
                        one = await self._trash.discard(image_id, records.get(image_id))
                    except ReadOnlyOriginals as error:
                        refused.append(error)
                    else:
                        deleted += [one] if one else []
                        if one is not None:
                            where = f"to the trash, as {one.trash_item}" if one.trash_item else "for good"
                            _logger.info("%r was deleted %s", image_id, where)
            finally:
                # Also after an error: the originals before it are deleted.
                await self._records.forget([one.image_id for one in deleted], certain=True)
        return deleted, refused

    async def trash(self) -> list[TrashItem]:
        """List the trash, oldest first."""
        found = await to_thread.run_sync(self._originals.trash.items)
        return [
            TrashItem(
                item=one.item,
                image_id=one.image_id,
                deleted=one.deleted,
                until=self._rules.until(one.deleted),
                size=one.size,
            )
            for one in found
        ]

    @_uninterrupted
    async def restore(self, item: str) -> ImageRecord:
        """Restore a deleted original with its title, tags, focal point and time of creation.

        Raises:
            TrashItemNotFound: there is no such item.
            ImageExists: there is another original in its place.
            UnreadableImage: it is restored, but it is not an image that can be used.
        """
        found = await to_thread.run_sync(self._originals.trash.find, item)
        async with self.locks.hold(found.image_id):
            if await self._inspector.exists(found.image_id):
                raise ImageExists
            await self._trash.put_back(found)
            recorded = await self._files.record(Candidate(found.image_id, background=False))
            if recorded.outcome is Recording.UNCHANGED and recorded.record is not None:
                await self._records.announce(recorded.record)
        if recorded.problem is not None:
            raise UnreadableImage(recorded.problem.detail)
        if recorded.record is None:
            raise OriginalChanged(retry_after=1)
        return recorded.record

    @_uninterrupted
    async def destroy(self, item: str) -> None:
        """Delete an item of the trash for good; raise TrashItemNotFound if there is no such item."""
        await to_thread.run_sync(self._originals.trash.destroy, item)
        _logger.info("%s was removed from the trash for good", item)

    @_uninterrupted
    async def empty_trash(self, older_than: float = 0.0) -> int:
        """Delete for good what was deleted at least so many seconds ago; return how many items."""
        now, number = self._rules.clock(), 0
        for one in await to_thread.run_sync(self._originals.trash.items):
            if (now - one.deleted).total_seconds() >= older_than:
                try:
                    await to_thread.run_sync(self._originals.trash.destroy, one.item)
                except TrashItemNotFound:
                    continue  # restored or destroyed by somebody else
                number += 1
        if number:
            _logger.info("%d of the deleted images were removed from the trash for good", number)
        return number

    async def expire_trash(self) -> int:
        """Delete for good what has been in the trash for the configured time; return how many items."""
        return await self.empty_trash(self._rules.trash_seconds)

    @_uninterrupted
    async def purge(self, selection: Selection, *, mezzanines: bool = False) -> Purged:
        """Remove the renditions of images, and their mezzanines if requested; the cost is that of what is removed.

        As every purge, it raises CatalogUnavailable also if other processes and nodes cannot be notified.
        """
        images = renditions = 0
        async for ids in batches(selection, self._catalog.search):
            renditions += await self._publisher.purge(ids, mezzanines=mezzanines)
            self._publisher.report_purged(ids)
            await self._publisher.notify([Notice("purged", image_id, mezzanines) for image_id in ids])
            images += len(ids)
        return Purged(images, renditions)

    @_uninterrupted
    async def purge_named(self, image_id: str, name: str) -> Purged:
        """Remove one rendition by the name of its file; other nodes and caches in front remove all of its image."""
        if not is_rendition_name(name):  # it could lead out of the folder
            return Purged(0, 0)
        number = await self._publisher.cache.purge_named(image_id, name)
        self._publisher.report_purged([image_id])
        await self._publisher.notify([Notice("purged", image_id)])
        return Purged(1, number)

    @_uninterrupted
    async def purge_all(self, *, mezzanines: bool = False) -> Purged:
        """Remove every rendition, and every mezzanine if requested."""
        images = (await self._catalog.search.totals()).images
        renditions = await self._publisher.cache.purge(None, mezzanines=mezzanines)
        self._publisher.report_purged(None)
        await self._publisher.notify([Notice("everything", mezzanines=mezzanines)])
        return Purged(images, renditions)

    @_uninterrupted
    async def purge_preset(self, preset: str) -> Purged:
        """Remove the renditions of a preset. Every original is looked up: some ten thousand take seconds."""
        images = renditions = 0
        async for ids in batches(ImageQuery(), self._catalog.search):
            records = await self._catalog.images.get_many(ids)
            originals = await to_thread.run_sync(self._focused, records.values())
            keys = [key for original in originals for key in await self._preset_keys(original, preset)]
            renditions += await self._publisher.cache.purge_keys(keys)
            # Other processes and nodes remove more than that: all renditions of these images.
            await self._publisher.notify([Notice("purged", one.image_id) for one in originals])
            images += len(originals)
        self._publisher.report_purged((), [preset_tag(preset)])
        return Purged(images, renditions)

    def _focused(self, records: Iterable[ImageRecord]) -> list[Original]:
        found = list[Original]()
        for record in records:
            # Without an original there is nothing that a client could request.
            with contextlib.suppress(ImgserveError):
                found.append(self._originals.stat(record.image_id).focused(record.focal_point))
        return found

    def sweep(self) -> int:
        """Remove, in a thread, the files that processes left when they died; return how many."""
        return self._originals.sweep()

    async def close(self) -> None:
        """Wait for the changes that are being made."""
        while self._running:
            await asyncio.wait(set(self._running))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # The caller raises it, unless it was cancelled.
            _logger.debug("a change was not made: %r", error)
