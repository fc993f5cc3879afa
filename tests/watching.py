"""A watcher over real folders, and an ingest service that keeps its records in memory."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from prometheus_client import CollectorRegistry

from imgserve.cache import LeaderLock
from imgserve.library.inspect import Recording
from imgserve.library.record import Recorded
from imgserve.library.watcher import Watcher
from imgserve.metrics import Metrics
from imgserve.model import ImageRecord, file_version
from imgserve.originals.tree import OriginalsTree, Walked
from imgserve.records import FileProblem
from tests.catalogs import record

PATIENCE = 60.0
"""Seconds after which a test that waits is stuck."""
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def image(text: str = "") -> bytes:
    """Make a file that the ingest service of these tests accepts as a picture."""
    return f"image {text} end".encode()


class _Kept:
    """One table of the catalog."""

    def __init__(self) -> None:
        self.rows = dict[str, ImageRecord | FileProblem]()

    async def versions(self, prefix: str = "", after: str = "", limit: int = 10_000) -> dict[str, str]:
        await anyio.lowlevel.checkpoint()
        ids = sorted((one for one in self.rows if one.startswith(prefix) and one > after), key=os.fsencode)
        return {image_id: self.rows[image_id].version for image_id in ids[:limit]}

    async def get_many(self, image_ids: Collection[str]) -> Mapping[str, ImageRecord]:
        await anyio.lowlevel.checkpoint()
        found = {image_id: self.rows.get(image_id) for image_id in image_ids}
        return {image_id: one for image_id, one in found.items() if isinstance(one, ImageRecord)}


class Door:
    """Records what lies in folders: a file that begins and ends like an image is one, any other a problem."""

    def __init__(self, tree: OriginalsTree) -> None:
        self._tree = tree
        self.images, self.problems = _Kept(), _Kept()
        self.read = list[str]()
        """Ids in the order in which files were read."""
        self.batches = list[int]()
        self.at_once = self.most_at_once = 0
        self.fail: Callable[[str], Exception | None] = lambda _image_id: None
        self.seconds = 0.0

    @property
    def versions(self) -> dict[str, str]:
        return {one: kept.version for table in (self.images, self.problems) for one, kept in table.rows.items()}

    async def record_many(self, walked: Sequence[Walked], *, background: bool = True) -> list[Recorded]:
        self.batches.append(len(walked))
        return [await self.record(file.image_id, background=background, version=file.version) for file in walked]

    async def record(self, image_id: str, *, background: bool = True, version: str = "") -> Recorded:
        assert background, "what is watched gives way to what clients wait for"
        assert version, "whoever watches has looked"
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.seconds)
            return self._record(image_id)
        finally:
            self.at_once -= 1

    def _record(self, image_id: str) -> Recorded:
        if (error := self.fail(image_id)) is not None:
            raise error
        path = self._tree.path_of(image_id)
        try:
            state, data = Path(path).stat(), Path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self.images.rows.pop(image_id, None)
            return Recorded(image_id, Recording.GONE)
        version = file_version(state.st_mtime_ns, state.st_size)
        if self.versions.get(image_id) == version:
            return Recorded(image_id, Recording.UNCHANGED)
        self.read.append(image_id)
        if not (data.startswith(b"image") and data.endswith(b"end")):
            self.images.rows.pop(image_id, None)
            problem = FileProblem(image_id, "unreadable_image", "It is damaged.", _NOW, version)
            self.problems.rows[image_id] = problem
            return Recorded(image_id, Recording.PROBLEM, problem=problem)
        self.problems.rows.pop(image_id, None)
        sha256 = hashlib.sha256(data).hexdigest()
        known = self.images.rows.get(image_id) or self._moved(sha256)
        made = known if isinstance(known, ImageRecord) else record(image_id)
        self.images.rows[image_id] = replace(made, image_id=image_id, version=version, sha256=sha256)
        return Recorded(image_id, Recording.CREATED)

    def _moved(self, sha256: str) -> ImageRecord | FileProblem | None:
        for image_id, one in self.images.rows.items():
            same = isinstance(one, ImageRecord) and one.sha256 == sha256
            if same and not Path(self._tree.path_of(image_id)).exists():
                return self.images.rows.pop(image_id)
        return None

    async def vanished(self, image_id: str) -> bool:
        await anyio.lowlevel.checkpoint()
        found = [table.rows.pop(image_id, None) for table in (self.images, self.problems)]
        return any(found)


class Watched:
    """A running watcher and what it works on."""

    def __init__(self, folders: Mapping[str, Path], lock: Path, *, rescan: float = 0.0) -> None:
        self.tree = OriginalsTree(folders)
        self.ingest = Door(self.tree)
        self.metrics = Metrics(CollectorRegistry())
        self.watcher = self.another(lock, rescan=rescan)

    def another(self, lock: Path, *, rescan: float = 0.0) -> Watcher:
        leader = LeaderLock(lock, every=0.1)
        ingest: Any = self.ingest  # the service and the catalog at once
        return Watcher(self.tree, ingest, ingest, leader, self.metrics, at_once=2, rescan=rescan)

    def lying(self) -> dict[str, str]:
        """Return what lies in the folders."""
        return {file.image_id: file.version for prefix in self.tree.prefixes for file in self.tree.walk(prefix)}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to come true."""
        with anyio.fail_after(PATIENCE):
            while not condition():  # noqa: ASYNC110  nothing tells of a file or a record
                await anyio.sleep(0.02)

    async def in_step(self) -> None:
        """Wait until what is known is what lies there, and nothing is left to do."""
        try:
            await self.until(lambda: self.watcher.idle and self.ingest.versions == self.lying())
        except TimeoutError:
            lying, known = self.lying(), self.ingest.versions
            assert known == lying, f"left to do: {self.watcher.state}"
            raise

    async def first_scan(self) -> None:
        """Wait until the folders were looked through."""
        await self.until(lambda: self.watcher.idle)


@contextlib.asynccontextmanager
async def watching(
    folder: Path, *, mounts: Mapping[str, Path] | None = None, lock: Path | None = None, rescan: float = 0.0
) -> AsyncIterator[Watched]:
    """Watch a folder until the block ends, everything in it recorded when it begins."""
    lock = lock or folder / ".imgserve" / "watch.lock"
    watched = Watched({"": folder} | dict(mounts or {}), lock, rescan=rescan)
    task = asyncio.create_task(watched.watcher.run())
    try:
        await watched.first_scan()
        yield watched
    finally:
        task.cancel()
        with anyio.fail_after(PATIENCE), contextlib.suppress(asyncio.CancelledError):
            await task
