"""What people say of an image: changed in its record. A new focal point is a new version of the image."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anyio import to_thread

from imgserve.catalog import Merge, Notice
from imgserve.errors import ImageNotFound, ImgserveError
from imgserve.model import ImageRecord, bytes_version, focused_version
from imgserve.services.ingest.deciding import CHANGEABLE
from imgserve.services.ingest.means import Means


class Changing:
    """Changes records."""

    def __init__(self, means: Means) -> None:
        """Take the parts."""
        self._means = means

    async def change(self, image_id: str, fields: Mapping[str, Any]) -> ImageRecord:
        """Change a record; see `Ingest.change`."""
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
