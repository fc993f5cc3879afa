"""What other processes and nodes have changed, followed in this one: it forgets what it keeps of it."""

import asyncio
import logging
from collections.abc import Callable

from imgserve.cache import TieredCache
from imgserve.catalog import Notice, Notices
from imgserve.errors import CatalogUnavailable

_logger = logging.getLogger(__name__)

_EVERY = 0.5
_AT_ONCE = 1000


class Following:
    """Reads the notices of others, and only theirs."""

    def __init__(
        self,
        notices: Notices,
        cache: TieredCache,
        *,
        forget: Callable[[str], None],
        is_own: Callable[[int], bool],
        disk: bool = False,
    ) -> None:
        """Take the log and what to forget in.

        Args:
            notices: the log.
            cache: what is kept here.
            forget: has an original looked at again: `Finder.forget`.
            is_own: knows the numbers that this process published: `Ingest.published`.
            disk: purge on disk too, where the cache folder is not that of the process that told.
        """
        self._notices = notices
        self._cache = cache
        self._forget = forget
        self._is_own = is_own
        self._disk = disk
        self._seen: int | None = None

    async def run(self) -> None:
        """Follow until canceled; where the catalog is away, go on from the same place once it is back."""
        away = False
        while True:
            try:
                await self.catch_up()
                away = False
            except CatalogUnavailable as error:
                if not away:
                    _logger.warning("cannot read what other processes changed: %s", error.detail)
                away = True
            await asyncio.sleep(_EVERY)

    async def catch_up(self) -> int:
        """Follow what was told since the last time; the first time nothing, for nothing is kept yet. Tell how much."""
        if self._seen is None:
            self._seen = await self._notices.last()
            return 0
        followed = 0
        while told := await self._notices.after(self._seen, _AT_ONCE):
            for number, notice in told:
                if not self._is_own(number):
                    await self._follow(notice)
                    followed += 1
                self._seen = number
        return followed

    async def _follow(self, notice: Notice) -> None:
        if notice.kind == "everything":
            await self._drop(None)
        else:
            self._forget(notice.image_id)
            await self._drop(notice.image_id)

    async def _drop(self, image_id: str | None) -> None:
        if not self._disk:
            self._cache.forget(image_id)
        elif image_id is None:
            await self._cache.purge_all()
        else:
            await self._cache.purge(image_id)
