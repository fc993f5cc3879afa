"""Accept uploaded images, and change what is recorded of an image."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from anyio import to_thread

from imgserve.catalog import Merge, Notice, Similar
from imgserve.errors import (
    BadImageId,
    CatalogUnavailable,
    DuplicateImage,
    ImageExists,
    ImageNotFound,
    ImgserveError,
    OriginalChanged,
    OriginalUnsettled,
    UnsupportedImage,
)
from imgserve.library.inspect import (
    CHANGEABLE,
    Asked,
    Finding,
    Looking,
    guessed_megapixels,
    is_same_file,
    joined,
    name_by_content,
)
from imgserve.library.means import Means
from imgserve.library.record import Committing
from imgserve.library.results import Accepted, Details
from imgserve.library.scan import RecordingFile
from imgserve.model import Facts, ImageRecord, Origin, bytes_version, focused_version
from imgserve.originals.incoming import Incoming


class Changing:
    """Changes records."""

    def __init__(self, means: Means) -> None:
        """Take the parts."""
        self._means = means

    async def change(self, image_id: str, fields: Mapping[str, Any]) -> ImageRecord:
        """Change a record; see `IngestService.change`."""
        async with self._means.locks.hold(image_id):
            return await self.change_held(image_id, fields)

    async def change_held(self, image_id: str, fields: Mapping[str, Any]) -> ImageRecord:
        """Change a record whose id the caller holds."""
        if unknown := set(fields) - CHANGEABLE:
            raise ValueError(f"these are not said but read from the bytes: {', '.join(sorted(unknown))}")
        merged = (await self._means.catalog.images.merge_many({image_id: self._merge(fields)}))[image_id]
        if merged.record is None or merged.before is None:
            raise ImageNotFound
        # Also where it was the same: a process may have died before it purged, and whoever asked it asks again.
        if "focal_point" in fields:
            await self._refocus(merged.record, changed=merged.record.version != merged.before.version)
        return merged.record

    def _merge(self, fields: Mapping[str, Any]) -> Merge:
        now = self._means.rules.clock()

        def changed(before: ImageRecord | None) -> ImageRecord | None:
            if before is None:
                return None
            record = replace(before, **fields, changed=now)
            return replace(record, version=focused_version(bytes_version(before.version), record.focal_point))

        return changed

    async def _refocus(self, record: ImageRecord, *, changed: bool) -> None:
        """Have crops follow; mezzanines hold the whole picture, and stay."""
        telling, ids = self._means.telling, [record.image_id]
        await telling.purge(ids, mezzanines=False)
        await telling.publish([Notice("changed", record.image_id)])
        await telling.purged(ids)
        if changed:
            try:
                original = await to_thread.run_sync(self._means.originals.stat, record.image_id)
            except ImgserveError:
                return  # gone or damaged by now, which the next look at it finds out
            await telling.recorded([original.focused(record.focal_point)])


Outcome = Literal["created", "replaced", "existing"]
_MOST_SIMILAR = 20
_DIGEST = "\0"
"""Begins the names of locks of digests; no image id holds it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that came, and what was said of it."""

    incoming: Incoming
    image_id: str | None
    """None to name it by its content."""
    details: Details
    origin: Origin
    who: str
    replace: bool
    """Whether it may take the place of another one."""
    name: str
    """Of the file, as it was sent."""


class Accepting:
    """Lets images in."""

    def __init__(
        self, means: Means, looking: Looking, committing: Committing, recording: RecordingFile, changing: Changing
    ) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking
        self._committing = committing
        self._recording = recording
        self._changing = changing

    async def accept(self, arrival: Arrival) -> Accepted:
        """Let an image in; see `IngestService.accept`."""
        started = time.perf_counter()
        try:
            accepted = await self._accept(arrival)
        except ImgserveError as error:
            self._means.count(arrival.origin, error.code, time.perf_counter() - started)
            raise
        finally:
            await to_thread.run_sync(arrival.incoming.drop)
        self._means.count(arrival.origin, accepted.outcome, time.perf_counter() - started)
        return accepted

    async def _accept(self, arrival: Arrival) -> Accepted:
        if arrival.image_id is not None:
            await self._check_id(arrival.image_id, replace=arrival.replace)
        await to_thread.run_sync(arrival.incoming.close)
        facts = await self._inspect(arrival.incoming)
        wanted = arrival.image_id or name_by_content(facts.sha256, facts.format)
        # The digest too: of two uploads of the same bytes the second is to find the first.
        async with self._means.locks.hold(wanted, _DIGEST + facts.sha256):
            equal = await self._equal(facts.sha256)
            existing = await self._existing(arrival, wanted, equal)
            similar = await self._similar(facts, wanted if existing is None else existing.image_id, equal)
            if existing is not None:
                return Accepted(existing, "existing", similar)
            record, outcome = await self._place(arrival, wanted, facts)
            return Accepted(record, outcome, similar)

    async def _check_id(self, image_id: str, *, replace: bool) -> None:
        """Refuse an id that no new image can have; what is there already may be replaced under an odder one."""
        try:
            self._means.originals.check_id(image_id)
        except BadImageId:
            if not (replace and await self._looking.is_there(image_id)):
                raise

    async def _inspect(self, incoming: Incoming) -> Facts:
        size = incoming.path.stat().st_size
        facts = await self._means.inspect(
            str(incoming.path), incoming.version, size=size, megapixels=guessed_megapixels(size), background=False
        )
        if facts.format in self._means.rules.refused:
            raise UnsupportedImage(f"This server does not serve {facts.format} originals.")
        return facts

    async def _equal(self, sha256: str) -> list[ImageRecord]:
        """List the images of the same bytes that are really there; also the question whether the catalog is there."""
        return [one for one in await self._means.catalog.search.by_sha256(sha256) if await self._is_current(one)]

    async def _is_current(self, record: ImageRecord) -> bool:
        try:
            original = await to_thread.run_sync(self._means.originals.stat, record.image_id)
        except (ImageNotFound, UnsupportedImage, OriginalUnsettled):
            return False
        return is_same_file(record.version, original.file_version)

    async def _existing(self, arrival: Arrival, wanted: str, equal: list[ImageRecord]) -> ImageRecord | None:
        """Choose the image that is here already and answers for this one, if there is one.

        Raises:
            DuplicateImage: these bytes are here, and the rule is to refuse them.
        """
        here = next((one for one in equal if one.image_id == wanted), None)
        if equal and self._means.rules.duplicates == "refuse" and not (here and arrival.replace):
            raise DuplicateImage(members={"image_id": (here or equal[0]).image_id})
        if arrival.image_id is None:
            return equal[0] if equal else None
        if here is not None and arrival.details.said:
            return await self._say(here, arrival.details)
        return here

    async def _say(self, record: ImageRecord, details: Details) -> ImageRecord:
        """Record what an uploader says of an image that is here already."""
        return await self._changing.change_held(record.image_id, joined(details.said, record.metadata))

    async def _similar(self, facts: Facts, own: str, equal: list[ImageRecord]) -> tuple[Similar, ...]:
        """List what looks alike, and the same bytes under other ids."""
        same = {one.image_id: Similar(one, 0) for one in equal}
        near = self._means.rules.near
        if facts.perceptual_hash is not None and near >= 0:
            found = await self._means.catalog.search.similar(facts.perceptual_hash, distance=near, limit=_MOST_SIMILAR)
            same |= {one.record.image_id: one for one in found if one.record.image_id not in same}
        same.pop(own, None)
        return tuple(same.values())[:_MOST_SIMILAR]

    async def _place(self, arrival: Arrival, image_id: str, facts: Facts) -> tuple[ImageRecord, Outcome]:
        there = await self._looking.is_there(image_id)
        known = (await self._means.catalog.images.versions_of([image_id])).get(image_id)
        replacing = arrival.replace and arrival.image_id is not None
        place = partial(self._means.originals.place, arrival.incoming, image_id, replace=replacing)
        try:
            version = await to_thread.run_sync(place)
        except ImageExists:
            if arrival.image_id is not None:
                raise
            return await self._taken(arrival, image_id, facts)
        try:
            # Where a file was replaced that has no record, others may keep something of it all the same.
            record = await self._record(arrival, image_id, version, facts, known or ("" if there else None))
        except CatalogUnavailable as error:
            detail = "The picture is stored, but the catalog cannot be written right now; it will be recorded later."
            raise CatalogUnavailable(detail, retry_after=error.retry_after) from error
        return record, "replaced" if there else "created"

    async def _record(
        self, arrival: Arrival, image_id: str, version: str, facts: Facts, known: str | None
    ) -> ImageRecord:
        original = await to_thread.run_sync(self._means.originals.stat, image_id)
        if original.file_version == version:
            name = arrival.name if arrival.image_id is None else ""
            finding = Finding(original, facts, known, arrival.origin, arrival.who, arrival.details, name)
            recorded = (await self._committing.commit([finding])).get(image_id)
            if recorded and recorded.record and not await self._looking.changed([finding]):
                return recorded.record
        # Another process, or somebody in the folder, was there at the same moment: what lies there now counts.
        recorded = await self._recording.record_held(Asked(image_id, arrival.origin, arrival.who, background=False))
        if recorded.record is None:
            raise OriginalChanged(retry_after=1)
        return recorded.record

    async def _taken(self, arrival: Arrival, image_id: str, facts: Facts) -> tuple[ImageRecord, Outcome]:
        """Go on where there is a file at the name of these bytes, but no record that says that it is they.

        A process may have died before it recorded it; or somebody has given another file this name.
        """
        recorded = await self._recording.record_held(Asked(image_id, arrival.origin, arrival.who, background=False))
        if recorded.record is not None and recorded.record.sha256 == facts.sha256:
            return await self._say(recorded.record, arrival.details), "existing"
        longer = name_by_content(facts.sha256, facts.format, whole=True)
        if longer == image_id:
            raise ImageExists
        return await self._place(arrival, longer, facts)
