"""Follow the changes that other processes and nodes publish; start failed background work again."""

import contextlib
import functools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from anyio import to_thread

from imgserve.cache import TieredCache
from imgserve.catalog import Notices
from imgserve.errors import CatalogUnavailable

_logger = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds: work that ran for longer than the longest pause starts again with the first one."""
_POLL_SECONDS = 1.0
PURGES_KEPT = 7 * 86_400.0
"""Seconds for which purges are stored, for nodes that are off."""
_MARGIN = 3600.0
"""Part of that time by which the clocks of nodes may differ."""
_FOLLOWED_SECONDS = 60.0
"""After this time the disk of a node has followed, or cannot."""
_NOTED_SECONDS = 600.0
"""Between two notes of the position when nothing is published."""


class NodeFolder:
    """The cache folder of a node, which keeps the name of the node and the number of the last notice followed there."""

    def __init__(self, folder: Path) -> None:
        self._name_file, self._position_file = folder / "node", folder / "followed"

    @functools.cached_property
    def name(self) -> str:
        """The name of the node, which all processes with this folder read, but none with a copy of it."""
        name = secrets.token_hex(8)
        partial = self._name_file.with_name(f"node-{name}")
        try:
            self._name_file.parent.mkdir(parents=True, exist_ok=True)
            if not self._name_file.exists():
                try:
                    partial.write_text(name)
                    with contextlib.suppress(FileExistsError):
                        self._name_file.hardlink_to(partial)
                finally:
                    partial.unlink(missing_ok=True)
            return f"{self._name_file.read_text()}-{self._name_file.stat().st_ino:x}"
        except OSError as error:
            _logger.warning("this node has a new name until it ends: %s", error)
            return name

    def position(self) -> tuple[int, float] | None:
        """Return the number of the last notice that was followed, and how many seconds ago; None if there is none."""
        try:
            return int(self._position_file.read_text()), time.time() - self._position_file.stat().st_mtime
        except (OSError, ValueError):
            return None

    def note(self, number: int) -> None:
        """Note that everything up to a number was followed."""
        partial = self._position_file.with_suffix(".new")
        partial.write_text(str(number))
        partial.replace(self._position_file)


class InvalidationListener:
    """Reads the log of notices once a second; to follow changes of this process too costs nothing."""

    def __init__(
        self, notices: Notices, cache: TieredCache, *, forget: Callable[[str], None], node: NodeFolder | None = None
    ) -> None:
        """Create a listener; `forget` drops the cached stat of an original. There is no node without a disk tier."""
        self._notices = notices
        self._cache = cache
        self._forget = forget
        self._node = node
        self._last: int | None = None
        self._again = dict[str | None, tuple[int, float]]()
        """Images that other nodes purged, by the numbers and times of the notices: this node's disk may still have
        their renditions, from where they would come back into memory."""

    async def run(self) -> None:
        """Follow the notices until cancelled."""
        await _repeat(self.follow)

    async def follow(self) -> None:
        """Follow the notices since the last call in memory; the first call only finds the end of the log.

        Raises CatalogUnavailable if the log cannot be read now.
        """
        if self._last is None:
            self._last = await self._notices.last()
        while news := await self._notices.after(self._last):
            for self._last, notice in news:
                if notice.kind == "changed":
                    self._forget(notice.image_id)
                    continue
                image_id = notice.image_id if notice.kind == "purged" else None
                self._purge(image_id)
                if self._node is not None and notice.node != self._node.name:
                    self._again[image_id] = self._last, time.monotonic()
        if self._node is not None and self._again:
            await self._purge_again(self._node)

    async def _purge_again(self, node: NodeFolder) -> None:
        """Purge the memory again until the disk of this node has followed."""
        position, long_ago = await to_thread.run_sync(node.position), time.monotonic() - _FOLLOWED_SECONDS
        for image_id, (number, since) in list(self._again.items()):
            self._purge(image_id)
            if since < long_ago or (position is not None and position[0] >= number):
                del self._again[image_id]

    def _purge(self, image_id: str | None) -> None:
        if image_id is not None:
            self._forget(image_id)
        self._cache.forget(image_id)


class NodeInvalidator:
    """Removes from the disk of this node what other nodes have purged, also while this node was off.

    One process of a node runs it. What this node publishes, the publishing process has removed.
    """

    def __init__(self, notices: Notices, cache: TieredCache, node: NodeFolder) -> None:
        self._notices = notices
        self._cache = cache
        self._node = node
        self._last: int | None = None
        self._noted_at = 0.0

    async def run(self) -> None:
        """Follow the notices until cancelled."""
        self._last = None  # another process may have been the leader in between
        await _repeat(self.follow)

    async def follow(self) -> None:
        """Follow the notices since the last call, or since this node last did.

        Raises CatalogUnavailable if the log cannot be read now.
        """
        name, end, begun = await to_thread.run_sync(lambda: self._node.name), await self._notices.last(), self._last
        if self._last is None:
            self._last = await self._first(end)
        while self._last < end:
            news = await self._notices.after(self._last, other_than=name)
            for number, notice in news:
                if notice.kind != "changed":
                    image_id = notice.image_id if notice.kind == "purged" else None
                    await self._cache.purge(image_id, mezzanines=notice.mezzanines)
                self._last = number
            if not news:
                self._last = end
        if self._last != begun or time.monotonic() > self._noted_at + _NOTED_SECONDS:
            await self._note(self._last)

    async def _first(self, end: int) -> int:
        """Return the number from which on to follow; a node that was off for too long empties its cache."""
        position = await to_thread.run_sync(self._node.position)
        if position is None or position[0] > end:  # a new cache, or a new catalog
            return end
        number, age = position
        if age > PURGES_KEPT - _MARGIN:
            _logger.warning(
                "the cache is emptied: purges were published while it was not used for %d hours", age // 3600
            )
            await self._cache.purge(None)
            return end
        return number

    async def _note(self, number: int) -> None:
        self._noted_at = time.monotonic()
        try:
            await to_thread.run_sync(self._node.note, number)
        except OSError as error:
            _logger.warning(
                "the position in the log of changes cannot be written, it will be followed again: %s", error
            )


async def _repeat(follow: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await follow()
        except CatalogUnavailable:
            # Logged by the catalog. Meanwhile originals are checked every second anyway.
            _logger.debug("notices cannot be read")
        await anyio.sleep(_POLL_SECONDS)


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
