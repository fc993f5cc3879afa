"""Follows in this process what others changed: other server processes, other nodes. Nothing on disk is touched."""

import logging
from collections.abc import Callable

import anyio

from imgserve.cache import TieredCache
from imgserve.catalog import Notice, Notices
from imgserve.errors import CatalogUnavailable

_EVERY = 1.0
_logger = logging.getLogger(__name__)


class Following:
    """Reads the log of notices once a second; what this process did itself is followed too, which costs nothing."""

    def __init__(self, notices: Notices, cache: TieredCache, *, forget: Callable[[str], None]) -> None:
        """Take the log, what is kept in memory here, and what forgets a look at an original."""
        self._notices = notices
        self._cache = cache
        self._forget = forget
        self._seen: int | None = None

    async def run(self) -> None:
        """Follow until canceled."""
        while True:
            try:
                await self.follow()
            except CatalogUnavailable:
                # Logged by the catalog. Meanwhile originals are looked at anew every second anyway.
                _logger.debug("notices cannot be read")
            await anyio.sleep(_EVERY)

    async def follow(self) -> None:
        """Follow what is new since the last time; at the first time nothing is.

        Raises:
            CatalogUnavailable: the log cannot be read now.
        """
        if self._seen is None:
            self._seen = await self._notices.last()
        while news := await self._notices.after(self._seen):
            for number, notice in news:
                self._heed(notice)
                self._seen = number

    def _heed(self, notice: Notice) -> None:
        if notice.kind == "everything":
            self._cache.forget(None)
            return
        self._forget(notice.image_id)
        if notice.kind == "purged":
            self._cache.forget(notice.image_id)
