"""Follow changes made by other processes; restart background work that fails."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from imgserve.cache import TieredCache
from imgserve.catalog import Notice, Notices
from imgserve.errors import CatalogUnavailable

_logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds: one that went well for longer than the longest begins with the first again."""


async def restart_on_failure(work: Callable[[], Awaitable[None]], *, first_pause: float = _FIRST_PAUSE) -> None:
    """Do work to its end, over again where it fails, until cancelled."""
    pause = first_pause
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception:
            # The edge of a background task: an error that leaves it would end the whole server's work.
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = first_pause
            _logger.exception("%s failed and begins anew in %g seconds", _name(work), pause)
        else:
            return
        await anyio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)


def _name(work: Callable[[], Awaitable[None]]) -> str:
    function = work.func if isinstance(work, functools.partial) else work
    return str(getattr(function, "__qualname__", function))


_EVERY = 1.0


class InvalidationListener:
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
