"""The ingest service: the only way in which originals and their records change."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from imgserve.cache import TieredCache
from imgserve.catalog import Catalog, Selection
from imgserve.library.accept import Accepting, Arrival, Changing
from imgserve.library.inspect import Asked, Looking
from imgserve.library.means import Inspect, Means, Rules
from imgserve.library.publish import ChangePublisher, ShownIn, nowhere
from imgserve.library.purge import PresetKeys, Purging
from imgserve.library.record import Committing
from imgserve.library.results import Accepted, Deleted, Details, Listener, NameLocks, Purged, Recorded, TrashItem
from imgserve.library.scan import RecordingFile, Scanning
from imgserve.library.trash import Deleting, Restoring
from imgserve.metrics import Metrics
from imgserve.model import ImageRecord, Origin
from imgserve.originals.base import Walked, WritableOriginals
from imgserve.originals.incoming import Incoming

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class IngestService:
    """Lets originals in, changes what is recorded of them, takes them away.

    One at a time changes an image in this process; between processes the file decides, and whoever records last looks
    at it again. What has begun is done to its end, also when the caller is canceled. Every method raises
    CatalogUnavailable where the catalog cannot be used.
    """

    def __init__(
        self,
        originals: WritableOriginals,
        catalog: Catalog,
        cache: TieredCache,
        *,
        inspect: Inspect,
        forget: Callable[[str], None],
        preset_keys: PresetKeys,
        metrics: Metrics,
        rules: Rules,
        listeners: Sequence[Listener] = (),
        shown_in: ShownIn = nowhere,
    ) -> None:
        """Take the parts.

        Args:
            originals: where originals are.
            catalog: where they are recorded.
            cache: what was made of them.
            inspect: reads the facts of a file.
            forget: has an original looked at again at the next request: `Locator.forget`.
            preset_keys: computes the keys of everything that a preset makes of an original.
            metrics: where is counted.
            rules: what the settings say.
            listeners: who hears of changes.
            shown_in: tells in whose pictures images are shown beside their own, which are purged with them.
        """
        telling = ChangePublisher(cache, catalog.notices, forget=forget, listeners=listeners, shown_in=shown_in)
        means = Means(originals, catalog, inspect, telling, NameLocks(), metrics, rules)
        looking = Looking(means)
        committing = Committing(means, looking)
        self._recording = RecordingFile(means, looking, committing)
        self._scanning = Scanning(means, looking, committing)
        self._changing = Changing(means)
        self._accepting = Accepting(means, looking, committing, self._recording, self._changing)
        self._deleting = Deleting(means, looking, committing)
        self._restoring = Restoring(means, looking, self._recording)
        self._purging = Purging(means, preset_keys)
        self._means = means
        self._running = set[asyncio.Task[Any]]()

    async def record(
        self,
        image_id: str,
        *,
        origin: Origin = Origin.WATCH,
        who: str = "",
        background: bool = True,
        version: str = "",
        again: bool = False,
    ) -> Recorded:
        """Record a file that lies in place already; one that is known costs a look at catalog and file.

        A file that is no usable image becomes a problem, and its record goes. A new file of the bytes of a record whose
        file is gone is a renamed one, whose record follows. So tell of new files before those that vanished.

        Args:
            image_id: which.
            origin: how it came.
            who: who brought it.
            background: give way to pictures that clients wait for.
            version: of the file, if the caller knows it.
            again: look again at what is known to be a problem.

        Raises:
            OriginalUnsettled, OriginalChanged, Busy, Unavailable: it cannot be told now; try again.
        """
        asked = Asked(image_id, origin, who, background, version=version)
        return await self._whole(self._recording.record(asked, again=again))

    async def record_many(
        self,
        walked: Sequence[Walked],
        *,
        origin: Origin = Origin.WATCH,
        who: str = "",
        background: bool = True,
        again: bool = False,
    ) -> list[Recorded]:
        """Record the files that a walk met: of those that are known nothing is read, the others go in batches.

        Give it some thousand at a time. Nothing but the catalog makes all of it fail: what cannot be told now is
        LATER. Files whose names are too long to be recorded are left out.
        """
        scan = self._scanning.record_many(walked, origin=origin, who=who, background=background, again=again)
        return await self._whole(scan)

    async def known(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        """Tell which images and problems are known, with their versions, in the order of their ids, after one.

        It is everything when the answer is empty; one of a piece may be shorter than the limit.
        """
        return await self._scanning.known(prefix, after, limit)

    async def accept(
        self,
        incoming: Incoming,
        image_id: str | None,
        *,
        details: Details,
        origin: Origin = Origin.UPLOAD,
        who: str = "",
        replace: bool,
        name: str = "",
    ) -> Accepted:
        """Let an image in that was written to an incoming file, which is gone afterwards whatever happens.

        It is decoded before anybody can see it. Without an id it is named by its content, and its file name is kept
        among its metadata. The same bytes under the same id, or without an id anywhere, are the existing image.

        Raises:
            BadImageId, ImageExists, DuplicateImage: it may not have this id, or come in again.
            UnreadableImage, UnsupportedImage, TooLarge: it is no image that can be used.
            ReadOnlyOriginals, StorageFull: it cannot be stored.
            CatalogUnavailable: before anything was stored; or after, which it tells, and the next scan records it.
        """
        arrival = Arrival(incoming, image_id, details, origin, who, replace, name)
        return await self._whole(self._accepting.accept(arrival))

    async def vanished(self, image_id: str) -> bool:
        """Forget an image, or a problem, whose file is gone; tell whether it was known. One that is there stays."""
        return await self._whole(self._recording.vanished(image_id))

    async def change(self, image_id: str, fields: Mapping[str, Any]) -> ImageRecord:
        """Change title, alt, description, tags, metadata or focal_point; all other fields stay.

        Raises:
            ImageNotFound: there is no record.
            ValueError: a field is none of these, or not valid.
        """
        return await self._whole(self._changing.change(image_id, fields))

    async def tag_many(self, selection: Selection, add: Collection[str], remove: Collection[str]) -> int:
        """Give images tags and take others from them, all or none; tell how many it changed."""
        return await self._means.catalog.sets.retag(selection, add=add, remove=remove)

    async def delete(self, image_id: str) -> Deleted:
        """Move an original to the trash with all that is recorded, or delete it where there is no trash.

        Raises:
            ImageNotFound: there is neither file nor record.
            ReadOnlyOriginals: its folder is not written to.
        """
        return await self._whole(self._deleting.delete(image_id))

    async def delete_many(self, selection: Selection) -> list[Deleted]:
        """Delete originals in the order in which they are named, or of their ids, each whole.

        Those that are not there, or in a folder that is not written to, are missing in the list. Where it is stopped
        halfway, the same call goes on with what is left.

        Raises:
            ReadOnlyOriginals: nothing was deleted, because nothing may be.
        """
        return await self._whole(self._deleting.delete_many(selection))

    async def purge(self, selection: Selection) -> Purged:
        """Remove the renditions and mezzanines of images; the work is that of what is removed."""
        return await self._whole(self._purging.purge(selection))

    async def purge_all(self) -> Purged:
        """Remove every rendition and mezzanine."""
        return await self._whole(self._purging.purge_all())

    async def purge_preset(self, preset: str) -> Purged:
        """Remove what a preset alone has made. Every original is looked at: some ten thousand take seconds."""
        return await self._whole(self._purging.purge_preset(preset))

    async def trash(self) -> list[TrashItem]:
        """List the trash, oldest first."""
        return await self._restoring.trash()

    async def restore(self, item: str) -> ImageRecord:
        """Bring a deleted original back, with title, tags, focal point and when it came.

        Raises:
            TrashItemNotFound: there is no such item.
            ImageExists: there is another original in its place.
            UnreadableImage: it is back, but it is no image that can be used.
        """
        return await self._whole(self._restoring.restore(item))

    async def destroy(self, item: str) -> None:
        """Delete an item of the trash for good.

        Raises:
            TrashItemNotFound: there is no such item.
        """
        await self._whole(self._restoring.destroy(item))

    async def empty_trash(self, older_than: float = 0.0) -> int:
        """Delete for good what was deleted so many seconds ago; tell how many."""
        return await self._whole(self._restoring.empty(older_than))

    async def expire_trash(self) -> int:
        """Delete for good what has been in the trash for its time; tell how many."""
        return await self.empty_trash(self._means.rules.trash_seconds)

    def sweep(self) -> int:
        """Remove what processes left behind that died with a file half in, in a thread; tell how many."""
        return self._means.originals.sweep()

    async def close(self) -> None:
        """Wait for what is being done."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Whoever waits for it raises it; whoever has left is not there to do so.
            _logger.debug("a change was not made: %r", error)
