"""Purge the renditions and mezzanines of images."""

from collections.abc import Callable, Sequence

from anyio import to_thread

from imgserve.cache import RenditionKey
from imgserve.catalog import ImageQuery, Notice, Selection
from imgserve.errors import ImgserveError
from imgserve.images.batches import batches
from imgserve.library.means import Means
from imgserve.library.results import Purged
from imgserve.model import Original

PresetKeys = Callable[[Original, str], Sequence[RenditionKey]]
"""Computes the keys of everything that a preset makes of an original."""
_EVERYTHING = ImageQuery()


class Purging:
    """Purges."""

    def __init__(self, means: Means, preset_keys: PresetKeys) -> None:
        """Take the parts, and what computes the keys of a preset."""
        self._means = means
        self._preset_keys = preset_keys

    async def purge(self, selection: Selection) -> Purged:
        """Purge the images of a selection; see `IngestService.purge`."""
        images = renditions = 0
        async for ids in batches(selection, self._means.catalog.search):
            renditions += await self._means.telling.purge(ids)
            await self._means.telling.publish([Notice("purged", image_id) for image_id in ids])
            await self._means.telling.purged(ids)
            images += len(ids)
        return Purged(images, renditions)

    async def purge_all(self) -> Purged:
        """Purge everything; see `IngestService.purge_all`."""
        telling = self._means.telling
        images = (await self._means.catalog.search.totals()).images
        renditions = await telling.cache.purge_all()
        await telling.publish([Notice("everything")])
        await telling.purged(None)
        return Purged(images, renditions)

    async def purge_preset(self, preset: str) -> Purged:
        """Purge what a preset makes; see `IngestService.purge_preset`."""
        telling, images, renditions = self._means.telling, 0, 0
        async for ids in batches(_EVERYTHING, self._means.catalog.search):
            records = await self._means.catalog.images.get_many(ids)
            seen = await to_thread.run_sync(self._seen, ids)
            originals = [one.focused(records[one.image_id].focal_point) for one in seen if one.image_id in records]
            keys = [key for original in originals for key in self._preset_keys(original, preset)]
            renditions += await telling.cache.purge_keys(keys)
            # Others have to forget more than that: their memory is emptied by images.
            await telling.publish([Notice("purged", one.image_id) for one in originals])
            images += len(originals)
        await telling.purged((), [f"preset:{preset}"])
        return Purged(images, renditions)

    def _seen(self, ids: Sequence[str]) -> list[Original]:
        found = list[Original]()
        for image_id in ids:
            try:
                found.append(self._means.originals.stat(image_id))
            except ImgserveError:
                continue  # nothing that can be asked for has been made of what is no original now
        return found
