"""Who hears of a change: the cache, the finder, other processes, listeners. What changed is decided elsewhere."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from imgserve.cache import TieredCache
from imgserve.catalog import Notice, Notices
from imgserve.errors import CatalogUnavailable
from imgserve.model import Original
from imgserve.services.ingest.results import Listener

_logger = logging.getLogger(__name__)


class Telling:
    """Takes away what was made of images, and tells who else keeps something of them."""

    def __init__(
        self,
        cache: TieredCache,
        notices: Notices,
        *,
        forget: Callable[[str], None],
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Take the cache, the log for other processes, what forgets a look at an original, and who listens."""
        self.cache = cache
        self._notices = notices
        self._forget = forget
        self._listeners = tuple(listeners)

    async def purge(self, ids: Iterable[str], *, mezzanines: bool = True) -> int:
        """Forget looks at originals and remove their renditions here; tell how many there were."""
        number = 0
        for image_id in ids:
            self._forget(image_id)
            number += await self.cache.purge(image_id, mezzanines=mezzanines)
        return number

    def look_again(self, ids: Iterable[str]) -> None:
        """Have originals looked at again at the next request."""
        for image_id in ids:
            self._forget(image_id)

    async def publish(self, notices: Collection[Notice]) -> None:
        """Tell other processes. What cannot be told is logged: they look at originals again within a second anyway."""
        if not notices:
            return
        try:
            await self._notices.publish(notices)
        except CatalogUnavailable as error:
            _logger.warning("other processes were not told of %d changes: %s", len(notices), error.detail)

    async def purged(self, ids: Collection[str] | None, tags: Collection[str] = ()) -> None:
        """Tell listeners that what was made of these images, or of all, is not to be used any more."""
        if ids is None or ids or tags:
            for listener in self._listeners:
                await _heard(listener.on_purged(ids, tags))

    async def recorded(self, originals: Iterable[Original]) -> None:
        """Tell listeners of new originals, and new versions."""
        for original in originals:
            for listener in self._listeners:
                await _heard(listener.on_recorded(original))


async def _heard(told: Awaitable[None]) -> None:
    try:
        await told
    except Exception:
        # The edge to parts that only accompany a change: it is made, and none of them may fail it.
        _logger.exception("a listener failed to hear of a change")
