"""Publish changes to cache, locator, other processes and listeners."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from imgserve.cache import TieredCache
from imgserve.catalog import Notice, Notices
from imgserve.errors import CatalogUnavailable
from imgserve.library.results import Listener
from imgserve.model import Original

_logger = logging.getLogger(__name__)
ShownIn = Callable[[Collection[str]], Collection[str]]
"""Tells in the pictures of which other images these are shown too, as a watermark is."""


def nowhere(_ids: Collection[str]) -> Collection[str]:
    """Tell that images are shown in no pictures but their own."""
    return ()


class ChangePublisher:
    """Takes away what was made of images, and tells who else keeps something of them."""

    def __init__(
        self,
        cache: TieredCache,
        notices: Notices,
        *,
        forget: Callable[[str], None],
        listeners: Sequence[Listener] = (),
        shown_in: ShownIn = nowhere,
    ) -> None:
        """Take the cache, the log for other processes, what forgets a look, who listens, where images are shown."""
        self.cache = cache
        self._notices = notices
        self._forget = forget
        self._listeners = tuple(listeners)
        self._shown_in = shown_in

    async def purge(self, ids: Iterable[str], *, mezzanines: bool = True) -> int:
        """Forget looks at originals and remove their renditions here, and those that show them; tell how many."""
        number, purged = 0, list(ids)
        for image_id in purged:
            self._forget(image_id)
            number += await self.cache.purge(image_id, mezzanines=mezzanines)
        for image_id in self._others(purged):
            number += await self.cache.purge(image_id, mezzanines=False)
        return number

    def recheck(self, ids: Iterable[str]) -> None:
        """Have originals looked at again at the next request."""
        for image_id in ids:
            self._forget(image_id)

    async def publish(self, notices: Collection[Notice]) -> None:
        """Tell other processes. What cannot be told is logged: they look at originals again within a second anyway."""
        if not notices:
            return
        others = [Notice("purged", image_id) for image_id in self._others([one.image_id for one in notices])]
        try:
            await self._notices.publish([*notices, *others])
        except CatalogUnavailable as error:
            _logger.warning("other processes were not told of %d changes: %s", len(notices), error.detail)

    async def purged(self, ids: Collection[str] | None, tags: Collection[str] = ()) -> None:
        """Tell listeners that what was made of these images, or of all, is not to be used any more."""
        if ids is None or ids or tags:
            told = None if ids is None else [*ids, *self._others(ids)]
            for listener in self._listeners:
                await _heard(listener.on_purged(told, tags))

    async def recorded(self, originals: Iterable[Original]) -> None:
        """Tell listeners of new originals, and new versions."""
        for original in originals:
            for listener in self._listeners:
                await _heard(listener.on_recorded(original))

    def _others(self, ids: Collection[str]) -> list[str]:
        """List the images beside these in whose pictures they are shown."""
        return [other for other in self._shown_in(ids) if other not in ids]


async def _heard(told: Awaitable[None]) -> None:
    try:
        await told
    except Exception:
        # The edge to parts that only accompany a change: it is made, and none of them may fail it.
        _logger.exception("a listener failed to hear of a change")
