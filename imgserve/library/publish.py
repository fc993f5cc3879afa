"""Publish changes to the cache, to other processes and to listeners; follow what other processes publish."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import anyio

from imgserve.cache import TieredCache
from imgserve.catalog import Notice, Notices
from imgserve.errors import CatalogUnavailable
from imgserve.library.results import Listener
from imgserve.model import Original

_logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds: work that ran for longer than the longest pause starts again with the first one."""
_POLL_SECONDS = 1.0


class ChangePublisher:
    """Removes outdated renditions here, and notifies everything else that holds some."""

    def __init__(
        self,
        cache: TieredCache,
        notices: Notices,
        *,
        forget: Callable[[str], None],
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Create a publisher; `forget` drops the cached stat of an original (`Locator.forget`)."""
        self.cache = cache
        self._notices = notices
        self._forget = forget
        self._listeners = tuple(listeners)

    async def purge(self, ids: Iterable[str], *, mezzanines: bool = True) -> int:
        """Remove the renditions of images in this process and on the disk; return how many."""
        number = 0
        for image_id in ids:
            self._forget(image_id)
            number += await self.cache.purge(image_id, mezzanines=mezzanines)
        return number

    async def changed(
        self, ids: Collection[str], *, purged: Collection[str] = (), recorded: Iterable[Original] = ()
    ) -> None:
        """Publish that records changed, which renditions became outdated by that, and which originals are new."""
        for image_id in ids:
            self._forget(image_id)
        await self.notify([Notice("changed", image_id) for image_id in ids])
        if purged:
            await self.report_purged(purged)
        for original in recorded:
            for listener in self._listeners:
                await _heard(listener.on_recorded(original))

    async def notify(self, notices: Collection[Notice]) -> None:
        """Notify other processes. A failure is only logged: they check originals again within a second anyway."""
        if not notices:
            return
        try:
            await self._notices.publish(notices)
        except CatalogUnavailable as error:
            _logger.warning("other processes were not notified of %d changes: %s", len(notices), error.detail)

    async def report_purged(self, ids: Collection[str] | None, tags: Collection[str] = ()) -> None:
        """Report to listeners that the renditions of these images, or of all, are outdated."""
        for listener in self._listeners:
            await _heard(listener.on_purged(ids, tags))


async def _heard(call: Awaitable[None]) -> None:
    try:
        await call
    except Exception:
        # The boundary to parts that only accompany a change: the change is made, and must not fail because of them.
        _logger.exception("a listener failed to handle a change")


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
            for number, notice in news:
                self._handle(notice)
                self._last = number

    def _handle(self, notice: Notice) -> None:
        if notice.kind == "everything":
            self._cache.forget(None)
            return
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
            _logger.exception("%s failed and starts again in %g seconds", _name(work), pause)
        else:
            return
        await anyio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)


def _name(work: Callable[[], Awaitable[None]]) -> str:
    function = work.func if isinstance(work, functools.partial) else work
    return str(getattr(function, "__qualname__", function))
