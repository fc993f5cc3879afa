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

_STEP_MS = 50
_GATHER_MS = 300
"""Changes are handed on when none has come for a step, at the latest after this."""


class _Stop:
    """Asked by the thread of watchfiles at every step, and so for the first time when all folders are watched."""

    def __init__(self, opened: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        self._told = False
        self._stopped = threading.Event()

    def is_set(self) -> bool:
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._opened.set)
        return self._stopped.is_set()

    def set(self) -> None:
        self._stopped.set()


class WatchSession:
    """Watches folders, not what lies in folders below them, from `run` to `end`."""

    def __init__(self, folders: Iterable[str], tell: Callable[[set[tuple[Change, str]]], None]) -> None:
        """Take paths of folders, and what is called with changes and their paths."""
        self.folders = dict.fromkeys(folders)
        self._tell = tell
        self._opened = asyncio.Event()
        self._stop = _Stop(self._opened)
        self.error: Exception | None = None
        """Why it ended by itself, whether it was ever open or not."""

    async def run(self) -> None:
        """Watch until `end` is called or something fails; cancelling alone would wait for a thread that waits too."""
        # Not recursive: that would follow links out of the folder, watch what is hidden (the catalog may lie there),
        # keep silent about folders beyond the limit of the system, and hold up all threads for every file it passes.
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
                self._tell(changes)
        except Exception as error:  # noqa: BLE001  alone or in a group: whoever opened this looks at it
            self.error = error
        finally:
            self._opened.set()

    async def opened(self) -> Exception | None:
        """Wait until every folder is watched, or tell why that cannot be."""
        await self._opened.wait()
        return self.error

    def end(self) -> None:
        """Have it end within a step."""
        self._stop.set()


_logger = logging.getLogger(__name__)
_CHECK_SECONDS = 1.0
"""How often the folders are looked at themselves: no event tells that a disk was mounted over one of them."""
_PAUSE_SECONDS = 0.1
_RETIRE_SECONDS = 2.0
"""A watch that was replaced goes on for so long, to hand on what it has gathered."""
_RECENT = 256
"""New folders that are watched apart from all others before they are watched together."""
_MOST = 50_000
"""Changes kept for whoever asks; where more come, everything has to be looked at anyway."""
_FLOOD = 2_000
"""So many changes at once may be so many that the system dropped some (`max_queued_events`), which is not told."""
_LONGEST_BACKOFF = 60.0
_TRIES = 20
"""Folders may vanish between being listed and being watched."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What may have changed."""

    ids: frozenset[str] = frozenset()
    """Of images, and of folders that came or went."""
    folders: frozenset[str] = frozenset()
    """Of folders that came: everything below them is to be looked at."""
    everything: bool = False
    """Everything is to be looked at: changes may have been missed."""
    flood: bool = False
    """So much came at once that some may have been missed: everything is to be looked at when it is quiet again."""


class FolderWatch:
    """Watches the folders while it runs, and gathers what changes until it is asked for."""

    def __init__(self, tree: OriginalsTree) -> None:
        """Take the folders to watch."""
        self._tree = tree
        self._ids, self._folders = set[str](), set[str]()
        self._everything = self._flood = False
        self._told = anyio.Event()
        self._added, self._new = set[str](), set[str]()
        self._work = anyio.Event()
        self._all: WatchSession | None = None
        self._recent: WatchSession | None = None
        self._reopen = True
        self._backoff = 0.0
        self._opened_at = self._not_before = -math.inf
        self.polling = False
        """The system does not tell of all changes, so that everything has to be looked at again and again."""

    async def next(self) -> Changes:
        """Wait for changes and take them."""
        await self._told.wait()
        changes = Changes(frozenset(self._ids), frozenset(self._folders), self._everything, self._flood)
        self._ids, self._folders, self._everything, self._flood = set(), set(), False, False
        self._told = anyio.Event()
        return changes

    def reopen(self) -> None:
        """Watch everything anew: there were changes that nobody told of."""
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
                for lookout in (self._all, self._recent):
                    if lookout is not None:
                        lookout.end()

    async def _turn(self, group: TaskGroup) -> None:
        """Do what is due."""
        replaced = await to_thread.run_sync(self._tree.remember)
        for prefix in replaced:
            _logger.warning("the folder of originals %s was taken away or is another one", self._tree.path_of(prefix))
        failed = [lookout.error for lookout in (self._all, self._recent) if lookout is not None and lookout.error]
        for error in failed:
            _logger.warning("watching the originals failed and begins anew: %s", _cause(error))
        if failed:
            self._retire(group, self._all, self._recent)
            self._all = self._recent = None
            if anyio.current_time() - self._opened_at > _LONGEST_BACKOFF:
                self._backoff = 0.0
            self._back_off()
        self._reopen = self._reopen or bool(replaced)
        added, self._added = self._added, set()
        self._new |= await to_thread.run_sync(self._folders_among, added)
        waits = self._all is None or self._reopen
        if waits and anyio.current_time() >= self._not_before:
            await self._open_all(group)
        elif self._new and self._all is not None:
            await self._open_new(group)

    async def _open_all(self, group: TaskGroup) -> None:
        """Watch every folder there is, then have everything looked at, since nobody knows what was missed."""
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
        self._told.set()

    async def _open_new(self, group: TaskGroup) -> None:
        """Watch new folders too, then have what lies in them looked at."""
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
        self._told.set()

    async def _opened(self, group: TaskGroup, starts: Iterable[str], more: Iterable[str] = ()) -> WatchSession | None:
        """Watch folders and all below them; None where that cannot be."""
        for _ in range(_TRIES):
            folders = await to_thread.run_sync(self._tree.folders, starts)
            known = await to_thread.run_sync(_those_there, more)
            lookout = WatchSession([*folders, *known], self._hear)
            group.start_soon(lookout.run)
            try:
                error = await lookout.opened()
                if error is None:
                    self._new |= await to_thread.run_sync(self._appeared, starts, lookout.folders)
                    return lookout
            except BaseException:
                # Nobody has it yet who could end it, and its thread would be waited for for ever.
                lookout.end()
                raise
            if not isinstance(error, FileNotFoundError | PermissionError):
                self._fall_back(error)
                return None
            await anyio.sleep(_PAUSE_SECONDS)
        self._back_off()
        return None

    def _appeared(self, starts: Iterable[str], watched: Iterable[str]) -> set[str]:
        """Find folders that were made between being listed and being watched."""
        known = set(watched)
        new = (path for path in self._tree.folders(starts) if path not in known)
        return {image_id for path in new for image_id in self._tree.ids_of(path)}

    def _folders_among(self, ids: Iterable[str]) -> set[str]:
        return {image_id for image_id in ids if self._tree.look(image_id).kind is Kind.FOLDER}

    def _fall_back(self, error: Exception) -> None:
        if not self.polling:
            _logger.warning(
                "the system does not tell of changes in the originals, which are looked through again and again "
                "instead: raise fs.inotify.max_user_watches or max_user_instances (%s)",
                _cause(error),
            )
        self.polling = True
        self._backoff = _LONGEST_BACKOFF
        self._back_off()

    def _back_off(self) -> None:
        self._backoff = min(_LONGEST_BACKOFF, max(_CHECK_SECONDS, 2 * self._backoff))
        self._not_before = anyio.current_time() + self._backoff

    def _retire(self, group: TaskGroup, *lookouts: WatchSession | None) -> None:
        for lookout in lookouts:
            if lookout is not None:
                group.start_soon(_end_later, lookout)

    def _hear(self, changes: set[tuple[Change, str]]) -> None:
        """Gather what watchfiles tells; which of several changes of a path was the last, it does not tell."""
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
            self._told.set()


async def _end_later(lookout: WatchSession) -> None:
    try:
        await anyio.sleep(_RETIRE_SECONDS)
    finally:
        lookout.end()


def _those_there(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if Path(path).is_dir()]


def _cause(error: BaseException) -> BaseException:
    """Find what was meant in a group of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
