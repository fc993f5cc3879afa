"""Links by which a web server finds renditions under names that it computes from URLs itself."""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import anyio
from anyio import to_thread

from imgserve.cache.files import RenditionFiles
from imgserve.cache.key import RenditionKey
from imgserve.cache.tiers import TieredCache

_logger = logging.getLogger(__name__)
PUBLISHED = "published"
"""The folder of links, in the cache folder."""
WINDOW_DIGITS = 3
"""Digits of the Unix time that the name of a window omits: a link is found for 1000 seconds at most."""
_FLUSH_SECONDS = 1.0
_MOST_PENDING = 10_000


class PublishedLinks:
    """Symbolic links to files of the disk tier, `published/WINDOW/NAME`, at most so many in one window of time.

    Why a link never leads to a wrong picture, whatever is killed when:

    1. Its target names original, version and transform. An eviction or a purge removes the target, and the web server
       then finds nothing.
    2. It is looked for in the window that the clock names. Afterwards the first request for its URL is an ordinary one,
       which looks at the original and counts as a use of the rendition.
    3. All links are removed when a server process starts, whose settings may be others, and when it ends.
    4. A file is linked after the second in which it was written: another file with the same link has another time of
       modification, and so another entity tag of the web server.
    """

    def __init__(self, root: Path, most: int, cache: TieredCache) -> None:
        """Link to the files of a cache in its folder; with `most` 0 nothing is published."""
        self._root, self._most, self._cache = root, most, cache
        self._files = RenditionFiles(root, PUBLISHED)
        self._pending: dict[str, RenditionKey] = {}
        self._window = self._number = 0
        self._outdated = True

    @property
    def off(self) -> bool:
        """Whether nothing is published."""
        return self._most == 0

    def offer(self, name: str, key: RenditionKey) -> None:
        """Publish a rendition soon."""
        if len(self._pending) < _MOST_PENDING:
            self._pending[name] = key

    def forget(self) -> None:
        """Remove all links soon, since URLs have another meaning."""
        self._pending, self._outdated = {}, True

    async def run(self) -> None:
        """Publish what is offered every second, until cancelled."""
        while True:
            if self._outdated:
                self._outdated = False
                await to_thread.run_sync(self.clear)
            await anyio.sleep(_FLUSH_SECONDS)
            pending, self._pending = self._pending, {}
            late, missing = await to_thread.run_sync(self.flush, pending, time.time())
            self._pending = late | self._pending
            for key in missing:
                await self._cache.restore(key)  # the next request for the URL offers it again

    def flush(
        self, pending: Mapping[str, RenditionKey], now: float
    ) -> tuple[dict[str, RenditionKey], list[RenditionKey]]:
        """Publish renditions, and remove older windows; return those that are too new, and those without a file."""
        window, late, missing = int(now) // 10**WINDOW_DIGITS, dict[str, RenditionKey](), list[RenditionKey]()
        if window != self._window:
            self._window, self._number = window, 0
            self._remove_before(window)
        for name, key in pending.items():
            path = key.path
            try:
                modified = int((self._root / path).stat().st_mtime)
            except FileNotFoundError:  # evicted or purged
                missing.append(key)
                continue
            self._cache.touch(path)
            if modified < int(now):
                self._link(f"{PUBLISHED}/{window}/{name}", path)
            elif modified < now + 2:
                late[name] = key
        return late, missing

    def clear(self) -> None:
        """Remove all links."""
        if (self._root / PUBLISHED).is_dir():
            self._files.empty(self._files.set_aside(PUBLISHED))

    def _link(self, link: str, path: str) -> None:
        target, known = "../" * link.count("/") + path, None
        with suppress(FileNotFoundError):
            known = str((self._root / link).readlink())
        if known == target or (known is None and self._number >= self._most):
            return
        temporary = self._files.temporary_path()
        temporary.symlink_to(target)
        try:
            self._files.publish(temporary, link)
        except FileNotFoundError:
            # Another process has started or ended, which removes the folder; the next request for the URL links again.
            temporary.unlink(missing_ok=True)
            return
        self._number += known is None
        if self._number == self._most:
            _logger.info(
                "%d URLs are published, the limit; imgserve serves the others until the next window", self._most
            )

    def _remove_before(self, window: int) -> None:
        with suppress(FileNotFoundError):
            for folder in (self._root / PUBLISHED).iterdir():
                if not folder.name.isdecimal() or int(folder.name) < window:
                    self._files.empty(self._files.set_aside(f"{PUBLISHED}/{folder.name}"))
