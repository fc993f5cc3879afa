"""Decide what is recorded of inspected images, write it to the catalog, and publish the changes."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from imgserve.cache import TieredCache
from imgserve.catalog import Catalog, Notice, Notices
from imgserve.errors import CatalogUnavailable, ImageExists, ImageNotFound, ImgserveError, OriginalDenied
from imgserve.formats import FORMATS
from imgserve.library.inspect import Inspected, Inspector, Invalid, Recording, is_same_file
from imgserve.library.invalidation import NodeFolder
from imgserve.metrics import Metrics
from imgserve.model import EDITABLE, FileFacts, ImageRecord, Original, bytes_version, focused_version
from imgserve.records import FileProblem

_logger = logging.getLogger(__name__)
FILE_NAME = "file_name"
"""The key of the metadata that holds the name of an uploaded file whose id does not contain it."""
_FOLDER_DIGITS = 2
_NAME_DIGITS = 20
"""Together with the folders 96 bits of the digest: no two images share them by chance."""


def name_by_content(sha256: str, format_name: str, *, whole: bool = False) -> str:
    """Return an image id made from a digest, in two levels of folders that all stay small."""
    first, second, rest = sha256[:_FOLDER_DIGITS], sha256[_FOLDER_DIGITS : 2 * _FOLDER_DIGITS], sha256[4:]
    return f"{first}/{second}/{rest if whole else rest[:_NAME_DIGITS]}.{FORMATS[format_name].extensions[0]}"


def decide(found: Inspected, before: ImageRecord | None, now: datetime) -> ImageRecord | None:
    """Return the record of an image; None to leave the existing one, which is of the same bytes already.

    What people wrote stays, except for what the uploader states now. Texts of the file only fill empty fields. The
    texts of a replaced file also stay, because they cannot be told from what people wrote.
    """
    facts, version = found.facts, found.original.file_version
    same_bytes = before is not None and is_same_file(before.version, version) and before.sha256 == facts.sha256
    if same_bytes and found.details is None:
        return None
    record = ImageRecord(
        **{field.name: getattr(facts, field.name) for field in fields(FileFacts)},
        image_id=found.image_id,
        version=version,
        title=facts.title,
        description=facts.description,
        tags=facts.keywords,
        metadata={**facts.metadata, FILE_NAME: found.name} if found.name else facts.metadata,
        origin=found.origin,
        who=found.who,
        created=now,
        changed=now,
    )
    if before is not None:
        texts = {name: value for name in EDITABLE if (value := getattr(before, name))}
        record = replace(record, **texts | {"metadata": {**record.metadata, **before.metadata}})
    if found.details is not None:
        record = replace(record, **merged(found.details, record.metadata))
    return replace(record, version=focused_version(version, record.focal_point))


def merged(said: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was stated, with its metadata added to the existing ones."""
    return {**said, "metadata": {**metadata, **said.get("metadata", {})}}


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


@dataclass(frozen=True, slots=True)
class ChangePublisher:
    """Removes outdated renditions here, and notifies everything else that holds some."""

    cache: TieredCache
    notices: Notices
    forget: Callable[[str], None]
    """Drops the cached stat of an original (`Locator.forget`)."""
    node: NodeFolder | None = None
    """None without a cache on disk."""
    on_purged: Callable[[Collection[str] | None, Collection[str]], None] | None = None
    """Is called with the images whose renditions are outdated, None for all, and with cache tags that are."""
    on_recorded: Callable[[Original], None] | None = None
    """Is called with each new original or version."""

    async def purge(self, ids: Iterable[str], *, mezzanines: bool = True) -> int:
        """Remove the renditions of images in this process and on the disk; return how many."""
        number = 0
        for image_id in ids:
            self.forget(image_id)
            number += await self.cache.purge(image_id, mezzanines=mezzanines)
        return number

    async def changed(
        self,
        ids: Collection[str],
        *,
        purged: Collection[str] = (),
        mezzanines: bool = True,
        recorded: Iterable[Original] = (),
    ) -> None:
        """Publish that records changed, what became outdated by that, and which originals are new."""
        for image_id in ids:
            self.forget(image_id)
        unpurged = set(ids).difference(purged)
        notices = [Notice("changed", image_id) for image_id in ids if image_id in unpurged]
        try:
            await self.notify([*notices, *(Notice("purged", image_id, mezzanines) for image_id in purged)])
        except CatalogUnavailable as error:  # they check originals within a second anyway
            _logger.warning("other processes were not notified of %d changes: %s", len(ids), error.detail)
        if purged:
            self.report_purged(purged)
        if self.on_recorded:
            for original in recorded:
                self.on_recorded(original)

    async def notify(self, notices: Collection[Notice]) -> None:
        """Notify other processes and nodes; raise CatalogUnavailable if they cannot be notified now."""
        if not notices:
            return
        try:
            await self.notices.publish(notices, node=self.node.name if self.node else "")
        except CatalogUnavailable as error:
            detail = "It is done here, but other processes and nodes cannot be notified right now; repeat the request."
            raise CatalogUnavailable(detail, retry_after=error.retry_after) from error

    def report_purged(self, ids: Collection[str] | None, tags: Collection[str] = ()) -> None:
        """Report that the renditions of these images, or of all, are outdated, and all with these cache tags."""
        if self.on_purged:
            self.on_purged(ids, tags)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The state of a file that is in place."""

    image_id: str
    outcome: Recording
    record: ImageRecord | None = None
    """None also where the record was known and therefore not read."""
    problem: FileProblem | None = None
    error: ImgserveError | None = None
    """Why the file has to be tried again."""


@dataclass(frozen=True, slots=True)
class RecordWriter:
    """Writes records and problems, and publishes the changes. The caller holds the locks of the ids."""

    catalog: Catalog
    inspector: Inspector
    publisher: ChangePublisher
    locks: NameLocks
    metrics: Metrics

    async def commit(self, found: Sequence[Inspected | Invalid]) -> dict[str, Recorded]:
        """Record images and problems; return the outcome of each.

        Raises CatalogUnavailable if some or nothing was recorded; the next scan records the rest.
        """
        images = {one.image_id: one for one in found if isinstance(one, Inspected)}
        renamed = await self._rename(images)
        recorded = await self._record([one for one in images.values() if one.image_id not in renamed])
        return renamed | recorded | await self._report([one for one in found if isinstance(one, Invalid)])

    async def commit_each(self, found: Sequence[Inspected]) -> list[Recorded | None]:
        """Record images likewise; return the outcome of each in their order, None where nothing was to be recorded."""
        recorded = await self.commit(found)
        return [recorded.get(one.image_id) for one in found]

    async def change(self, image_id: str, fields: Mapping[str, Any]) -> ImageRecord:
        """Change fields that people write; see `IngestService.change`."""
        if unknown := set(fields) - set(EDITABLE):
            raise ValueError(f"these are read from the bytes and cannot be changed: {', '.join(sorted(unknown))}")
        now = self.inspector.rules.clock()

        def changed(before: ImageRecord | None) -> ImageRecord | None:
            if before is None:
                return None
            record = replace(before, **fields, changed=now)
            return replace(record, version=focused_version(bytes_version(before.version), record.focal_point))

        change = (await self.catalog.images.merge_many({image_id: changed}))[image_id]
        if change.record is None or change.before is None:
            raise ImageNotFound
        if "focal_point" in fields:
            await self._refocus(change.record, changed=change.record.version != change.before.version)
        return change.record

    async def forget(self, ids: Sequence[str], *, certain: bool = False) -> list[str]:
        """Remove the records of images whose files are gone, and problems; return the ids that were known.

        The change is published for those that were known, or for all if it is certain that there were images.
        """
        if not certain:
            ids = await self._not_being_moved(ids)
        if not ids:
            return []
        records = await self.catalog.images.versions_of(ids)
        problems = await self.catalog.problems.get_many(ids)
        await self.publisher.purge(ids)
        await self.catalog.problems.forget(list(problems))
        if records:
            await self.catalog.images.delete(list(records))
        known = sorted({*records, *problems})
        await self.publisher.changed(ids if certain else known, purged=ids if certain else sorted(records))
        return known

    async def _not_being_moved(self, ids: Sequence[str]) -> list[str]:
        """Return the ids without those whose files another process has moved, but not yet their records."""
        targets = await self.catalog.redirects.targets(ids)
        recorded = await self.catalog.images.versions_of(targets.values())
        missing = await self.inspector.missing(list(targets.values())) if targets else set[str]()
        return [one for one in ids if one not in targets or targets[one] in recorded or targets[one] in missing]

    async def _end_redirects(self, added: Collection[str]) -> None:
        """End the redirects of new images, but not where another process has moved the file since."""
        redirected = await self.catalog.redirects.targets(added)
        if redirected:
            await self.catalog.redirects.end(set(redirected) - await self.inspector.missing(list(redirected)))

    async def rename(self, old: str, original: Original, version: str) -> ImageRecord:
        """Change the id of a record to that of its moved file, and the redirects to it; return the record.

        Raises ImageNotFound or ImageExists if the old id has no record any more, or the new one has one.
        """
        new = original.image_id
        await self.publisher.purge([old])
        await self.catalog.problems.forget([new])
        now = self.inspector.rules.clock()
        record = await self.catalog.images.change(old, {"image_id": new, "version": version}, at=now)
        focused = original.focused(record.focal_point)
        await self.publisher.changed([old, new], purged=[old], recorded=[focused])
        return record

    async def announce(self, record: ImageRecord) -> None:
        """Publish an image that is back, although everybody knows it to be gone."""
        original = await self.inspector.stat(record.image_id)
        ids = [record.image_id]
        await self.catalog.redirects.end(ids)
        await self.publisher.changed(ids, purged=ids, recorded=[original.focused(record.focal_point)])

    def count(self, origin: str, outcome: str, seconds: float) -> None:
        """Count an original that came in, and the time that it took."""
        self.metrics.ingested.labels(origin, outcome).inc()
        self.metrics.ingest_seconds.labels(origin).observe(seconds)

    async def _refocus(self, record: ImageRecord, *, changed: bool) -> None:
        """Purge the renditions, because crops follow the focal point; mezzanines show the whole image, and stay.

        This is done also where the point did not change: a process may have died before it purged.
        """
        ids, recorded = [record.image_id], []
        await self.publisher.purge(ids, mezzanines=False)
        if changed:
            try:
                original = await self.inspector.stat(record.image_id)
            except ImgserveError:  # gone or damaged by now, which the next scan finds
                pass
            else:
                recorded = [original.focused(record.focal_point)]
        await self.publisher.changed(ids, purged=ids, mezzanines=False, recorded=recorded)

    async def _record(self, found: Sequence[Inspected]) -> dict[str, Recorded]:
        if not found:
            return {}
        replaced = [one.image_id for one in found if one.known is not None]
        await self.publisher.purge(replaced)
        problems = await self.catalog.problems.get_many([one.image_id for one in found])
        # Before the record, which would make the file a known one.
        await self.catalog.problems.forget(list(problems))
        now = self.inspector.rules.clock()
        decisions = {one.image_id: functools.partial(decide, one, now=now) for one in found}
        merges = await self.catalog.images.merge_many(decisions)
        await self._end_redirects([image_id for image_id, one in merges.items() if one.before is None])
        pairs = [(one, record) for one in found if (record := merges[one.image_id].record) is not None]
        await self.publisher.changed(
            [one.image_id for one, _ in pairs],
            purged=replaced,
            recorded=[one.original.focused(record.focal_point) for one, record in pairs],
        )
        return {
            one.image_id: Recorded(
                one.image_id, Recording.REPLACED if one.known is not None else Recording.CREATED, record
            )
            for one, record in pairs
        }

    async def _report(self, found: Sequence[Invalid]) -> dict[str, Recorded]:
        """Add problems, then remove the records of these files, so that the list of images shows what is served.

        A file that may not be read keeps its record: a mistake in the modes of files must not cost what people wrote.
        """
        if not found:
            return {}
        known = [one.image_id for one in found if one.known is not None and one.problem.code != OriginalDenied.code]
        await self.publisher.purge(known)
        await self.catalog.problems.put_many([one.problem for one in found])
        if known:
            await self.catalog.images.delete(known)
        await self.publisher.changed(known, purged=known)
        return {one.image_id: Recorded(one.image_id, Recording.PROBLEM, problem=one.problem) for one in found}

    async def _rename(self, found: Mapping[str, Inspected]) -> dict[str, Recorded]:
        """Rename records whose files have new ids; return what was recorded."""
        new = [one for one in found.values() if one.known is None and one.details is None]
        if not new:
            return {}
        records = await self.catalog.search.by_sha256({one.facts.sha256 for one in new})
        candidates = [one for one in records if one.image_id not in found]
        missing = await self.inspector.missing([one.image_id for one in candidates])
        renamed = dict[str, Recorded]()
        for old in (one for one in candidates if one.image_id in missing):
            followers = (one for one in new if one.facts.sha256 == old.sha256 and one.image_id not in renamed)
            follower = next(followers, None)
            if follower is not None and (record := await self._follow(follower, old)) is not None:
                renamed[follower.image_id] = record
        return renamed

    async def _follow(self, found: Inspected, old: ImageRecord) -> Recorded | None:
        """Return the renamed file's record; None where the record is being changed, or its file is back."""
        async with AsyncExitStack() as stack:
            free = await stack.enter_async_context(self.locks.hold_if_free(old.image_id))
            if not free or await self.inspector.exists(old.image_id):
                return None
            version = focused_version(found.original.file_version, old.focal_point)
            try:
                record = await self.rename(old.image_id, found.original, version)
            except (ImageNotFound, ImageExists):
                return None
        return Recorded(found.image_id, Recording.RENAMED, record)
