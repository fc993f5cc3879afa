"""Follow the changes that other processes publish; start failed background work again."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from imgserve.cache import TieredCache
from imgserve.catalog import Notices
from imgserve.errors import CatalogUnavailable

_logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds: work that ran for longer than the longest pause starts again with the first one."""
_POLL_SECONDS = 1.0


class InvalidationListener:
    """Reads the log of notices once a second; to follow changes of this process too costs nothing."""

    def __init__(self, notices: Notices, cache: TieredCache, *, forget: Callable[[str], None]) -> None:
        """Create a listener; `forget` drops the cached stat of an original."""
        self._notices = notices
        self._cache = cache
        self._forget = forget
        self._last: int | None = None

    async def run(self) -> None:
        """Follow the notices until cancelled."""
        while True:
            try:
                await self.follow()
            except CatalogUnavailable:
                # Logged by the catalog. Meanwhile originals are checked every second anyway.
                _logger.debug("notices cannot be read")
            await anyio.sleep(_POLL_SECONDS)

    async def follow(self) -> None:
        """Follow the notices since the last call; the first call only finds the end of the log.

        Raises:
            CatalogUnavailable: the log cannot be read now.
        """
        if self._last is None:
            self._last = await self._notices.last()
        while news := await self._notices.after(self._last):
            for self._last, notice in news:
                if notice.kind == "everything":
                    self._cache.forget(None)
                    continue
                self._forget(notice.image_id)
                if notice.kind == "purged":
                    self._cache.forget(notice.image_id)


async def restart_on_failure(work: Callable[[], Awaitable[None]], *, first_pause: float = _FIRST_PAUSE) -> None:
    """Run background work to its end, and start it again after a growing pause where it fails."""
    pause = first_pause
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception:
            # The edge of a background task: an error that left it would end the work of the whole server.
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = first_pause
            function = work.func if isinstance(work, functools.partial) else work
            name = getattr(function, "__qualname__", function)
            _logger.exception("%s failed and starts again in %g seconds", name, pause)
        else:
            return
        await anyio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)
