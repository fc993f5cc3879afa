"""Watch the folders of originals for changes."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from watchfiles import Change, awatch

from imgserve.originals.tree import Kind, OriginalsTree

_logger = logging.getLogger(__name__)
_STEP_MS = 50
_GATHER_MS = 300
"""Changes are reported after a step without any, at the latest after this time."""
_CHECK_SECONDS = 1.0
"""How often the folders themselves are checked: no event reports that a disk was mounted over one of them."""
_PAUSE_SECONDS = 0.1
_RETIRE_SECONDS = 2.0
"""How long a replaced session continues, to report what it has gathered."""
_RECENT = 256
"""New folders that are watched in a separate session before they are watched together with all others."""
_MOST = 50_000
"""Changes that may wait; with more of them everything has to be scanned anyway."""
_FLOOD = 2_000
"""With so many changes at once the system may have dropped some (`max_queued_events`) without a report."""
_LONGEST_BACKOFF = 60.0
_TRIES = 20
"""Folders may vanish between being listed and being watched."""


class _Stop(threading.Event):
    """The stop event of watchfiles. Its thread checks it at every step, first when all folders are watched."""

    def __init__(self, opened: asyncio.Event) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Event | None = opened

    def is_set(self) -> bool:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            self._loop.call_soon_threadsafe(opened.set)
            self.is_set = super().is_set  # type: ignore[method-assign]  # from the next look-up on, without this test
        return super().is_set()


class WatchSession:
    """Watches folders, without those below them, from `run` to `end`."""

    def __init__(self, folders: Iterable[str], report: Callable[[set[tuple[Change, str]]], None]) -> None:
        """Create a session for paths of folders; `report` is called with changes and their paths."""
        self.folders = dict.fromkeys(folders)
        self._report = report
        self._opened = asyncio.Event()
        self._stop = _Stop(self._opened)
        self.error: Exception | None = None
        """Why it ended by itself."""

    async def run(self) -> None:
        """Watch until `end` is called or watching fails; cancelling alone would wait for a thread that waits too."""
        # Not recursive: that would follow links out of the folder, watch hidden folders (such as that of the catalog),
        # not report folders beyond the limit of the system, and block all threads for every file.
        watching = awatch(
            *self.folders,
            recursive=False,
            watch_filter=None,
            step=_STEP_MS,
            debounce=_GATHER_MS,
            rust_timeout=0,
            stop_event=self._stop,
            force_polling=False,
            ignore_permission_denied=False,
        )
        try:
            async for changes in watching:
                self._report(changes)
        except Exception as error:  # noqa: BLE001  alone or in a group: the owner of the session reads it
            self.error = error
        finally:
            self._opened.set()

    async def opened(self) -> Exception | None:
        """Wait until every folder is watched, and return None, or the error if that is not possible."""
        await self._opened.wait()
        return self.error

    def end(self) -> None:
        """End the session within a step."""
        self._stop.set()


@dataclass(frozen=True, slots=True)
class Changes:
    """What may have changed since the last report."""

    ids: frozenset[str] = frozenset()
    """Of images, and of folders that were added or removed."""
    folders: frozenset[str] = frozenset()
    """Of new folders, below which everything has to be scanned."""
    everything: bool = False
    """Everything has to be scanned: changes may have been missed."""
    flood: bool = False
    """There were so many changes at once that some may have been missed: scan everything when it is quiet again."""


class FolderWatch:
    """Watches the folders while it runs, and gathers the changes until `next` returns them."""

    def __init__(self, tree: OriginalsTree) -> None:
        self._tree = tree
        self._ids, self._folders = set[str](), set[str]()
        self._everything = self._flood = False
        self._reported = anyio.Event()
        self._added, self._new = set[str](), set[str]()
        self._work = anyio.Event()
        self._all: WatchSession | None = None
        self._recent: WatchSession | None = None
        self._reopen = True
        self._backoff = 0.0
        self._opened_at = self._not_before = -math.inf
        self.polling = False
        """Whether the system does not report all changes, so that everything has to be scanned again and again."""

    async def next(self) -> Changes:
        """Wait for changes, and return all that were gathered."""
        await self._reported.wait()
        changes = Changes(frozenset(self._ids), frozenset(self._folders), self._everything, self._flood)
        self._ids, self._folders, self._everything, self._flood = set(), set(), False, False
        self._reported = anyio.Event()
        return changes

    def reopen(self) -> None:
        """Open the sessions again, because there were changes that were not reported."""
        self._reopen = True
        self._work.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with anyio.create_task_group() as group:
            try:
                while True:
                    await self._turn(group)
                    with anyio.move_on_after(_CHECK_SECONDS):
                        await self._work.wait()
                    self._work = anyio.Event()
                    await anyio.sleep(_PAUSE_SECONDS)
            finally:
                for session in (self._all, self._recent):
                    if session is not None:
                        session.end()

    async def _turn(self, group: TaskGroup) -> None:
        """Check the folders, and open sessions where that is due."""
        replaced = await to_thread.run_sync(self._tree.remember)
        for prefix in replaced:
            _logger.warning("the folder of originals %s was removed or replaced", self._tree.path_of(prefix))
        failed = [session.error for session in (self._all, self._recent) if session is not None and session.error]
        for error in failed:
            _logger.warning("watching the originals failed and starts again: %s", _cause(error))
        if failed:
            self._retire(group, self._all, self._recent)
            self._all = self._recent = None
            if anyio.current_time() - self._opened_at > _LONGEST_BACKOFF:
                self._backoff = 0.0
            self._back_off()
        self._reopen = self._reopen or bool(replaced)
        added, self._added = self._added, set()
        self._new |= await to_thread.run_sync(
            lambda: {image_id for image_id in added if self._tree.look(image_id).kind is Kind.FOLDER}
        )
        waits = self._all is None or self._reopen
        if waits and anyio.current_time() >= self._not_before:
            await self._open_all(group)
        elif self._new and self._all is not None:
            await self._open_new(group)

    async def _open_all(self, group: TaskGroup) -> None:
        """Watch every folder, then report that everything has to be scanned, because changes may have been missed."""
        self._reopen = False
        self._new.clear()
        opened = await self._opened(group, self._tree.prefixes)
        self._retire(group, self._all, self._recent)
        self._all, self._recent = opened, None
        if opened is not None:
            if self.polling:
                _logger.warning("the originals are watched again")
            self.polling, self._opened_at = False, anyio.current_time()
        self._everything = True
        self._reported.set()

    async def _open_new(self, group: TaskGroup) -> None:
        """Watch new folders too, then report that they have to be scanned."""
        new, self._new = self._new, set()
        before = self._recent.folders if self._recent is not None else {}
        if len(before) > _RECENT:
            opened, old = await self._opened(group, self._tree.prefixes), (self._all, self._recent)
            self._all, self._recent = opened, None
        else:
            opened, old = await self._opened(group, new, before), (self._recent, None)
            self._recent = opened
        if opened is None:
            self._all = None
        self._retire(group, *old)
        self._folders |= new
        self._reported.set()

    async def _opened(self, group: TaskGroup, starts: Iterable[str], more: Iterable[str] = ()) -> WatchSession | None:
        """Open a session for folders and all below them; return None if that is not possible."""
        for _ in range(_TRIES):
            folders = await to_thread.run_sync(self._tree.folders, starts)
            known = await to_thread.run_sync(lambda: [path for path in more if Path(path).is_dir()])
            session = WatchSession([*folders, *known], self._receive)
            group.start_soon(session.run)
            try:
                error = await session.opened()
                if error is None:
                    self._new |= await to_thread.run_sync(self._appeared, starts, session.folders)
                    return session
            except BaseException:
                # No other task could end the session, and its thread would be waited for without end.
                session.end()
                raise
            if not isinstance(error, FileNotFoundError | PermissionError):
                if not self.polling:
                    _logger.warning(
                        "the system does not report changes in the originals, which are scanned again and again "
                        "instead: raise fs.inotify.max_user_watches or max_user_instances (%s)",
                        _cause(error),
                    )
                self.polling, self._backoff = True, _LONGEST_BACKOFF
                break
            await anyio.sleep(_PAUSE_SECONDS)
        self._back_off()
        return None

    def _appeared(self, starts: Iterable[str], watched: Iterable[str]) -> set[str]:
        """Return the folders that were made between being listed and being watched."""
        known = set(watched)
        new = (path for path in self._tree.folders(starts) if path not in known)
        return {image_id for path in new for image_id in self._tree.ids_of(path)}

    def _back_off(self) -> None:
        self._backoff = min(_LONGEST_BACKOFF, max(_CHECK_SECONDS, 2 * self._backoff))
        self._not_before = anyio.current_time() + self._backoff

    def _retire(self, group: TaskGroup, *sessions: WatchSession | None) -> None:
        for session in sessions:
            if session is not None:
                group.start_soon(_end_later, session)

    def _receive(self, changes: set[tuple[Change, str]]) -> None:
        """Gather what watchfiles reports. It does not say which of several changes of a path was the last one."""
        for change, path in changes:
            ids = self._tree.ids_of(path)
            if any(image_id in self._tree.prefixes for image_id in ids):
                self._work.set()  # one of the folders themselves
                continue
            self._ids.update(ids)
            if change is Change.added:
                self._added.update(ids)
        self._flood = self._flood or len(changes) > _FLOOD
        if self._added:
            self._work.set()
        if len(self._ids) > _MOST:
            self._ids.clear()
            self._everything = True
        if self._ids or self._everything or self._flood:
            self._reported.set()


async def _end_later(session: WatchSession) -> None:
    try:
        await anyio.sleep(_RETIRE_SECONDS)
    finally:
        session.end()


def _cause(error: BaseException) -> BaseException:
    """Return the first error of nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
