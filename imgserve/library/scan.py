"""Record files that are in place: one file, or the files of a scan."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from imgserve.catalog import Catalog, stored_id
from imgserve.errors import ImgserveError, OriginalChanged
from imgserve.library.inspect import Candidate, Inspected, Inspector, Invalid, Recording, is_same_file
from imgserve.library.record import NameLocks, Recorded, RecordWriter
from imgserve.originals.tree import Walked

_ATTEMPTS = 3
_BATCH = 50
_BATCH_SECONDS = 1.0
"""After this time a batch is recorded although it is not full."""


@dataclass(frozen=True, slots=True)
class FileRecorder:
    """Inspects files that are in place, and records those that are new or changed."""

    catalog: Catalog
    inspector: Inspector
    records: RecordWriter
    locks: NameLocks

    async def record(self, file: Candidate) -> Recorded:
        """Record a file; the caller holds the lock of its id.

        Raises OriginalChanged if it was replaced each time that it was inspected.
        """
        for _ in range(_ATTEMPTS):
            recorded = await self._record(file)
            if recorded is not None:
                return recorded
        raise OriginalChanged(retry_after=1)

    async def record_many(self, walked: Sequence[Walked], *, background: bool) -> list[Recorded]:
        """Record the files of a scan."""
        files = {file.image_id: file.version for file in walked if stored_id(file.image_id) is not None}
        versions = await self.catalog.images.versions_of(list(files))
        problems = await self.catalog.problems.get_many(files)
        results, left = dict[str, Recorded](), list[Candidate]()
        for image_id, version in files.items():
            known, problem = versions.get(image_id), problems.get(image_id)
            if is_same_file(known, version) and problem is None:
                results[image_id] = Recorded(image_id, Recording.UNCHANGED)
            elif problem is not None and problem.version == version:
                results[image_id] = Recorded(image_id, Recording.PROBLEM, problem=problem)
            else:
                file = Candidate(
                    image_id,
                    background=background,
                    version=version,
                    known=known,
                    known_problem=problem.version if problem else None,
                )
                left.append(file)
        results |= await _Scan(self, left).run(self.inspector.rules.at_once)
        return [results[image_id] for image_id in files]

    async def _record(self, file: Candidate) -> Recorded | None:
        """Try once; None where the file was replaced meanwhile."""
        started, image_id = time.perf_counter(), file.image_id
        record = await self.catalog.images.get(image_id)
        problem = await self.catalog.problems.get(image_id)
        if problem is not None and problem.version == file.version != "":
            return Recorded(image_id, Recording.PROBLEM, problem=problem)
        file = replace(
            file, known=record.version if record else None, known_problem=problem.version if problem else None
        )
        found = await self.inspector.inspect(file)
        if found is Recording.GONE:
            await self.records.forget([image_id])
            return Recorded(image_id, Recording.GONE)
        if isinstance(found, Recording):
            if record and problem:  # it may be read again
                await self.catalog.problems.forget([image_id])
            return Recorded(image_id, Recording.UNCHANGED if record else Recording.PROBLEM, record, problem)
        recorded = (await self.records.commit([found]))[image_id]
        if await self.inspector.changed([found]):
            return None
        self.records.count(file.origin, recorded.outcome, time.perf_counter() - started)
        return recorded


class _Scan:
    """One run over some files: several are inspected in parallel, and recorded in batches.

    The lock of a file is held from its inspection until its batch is recorded.
    """

    def __init__(self, recorder: FileRecorder, files: Iterable[Candidate]) -> None:
        self._inspector, self._records, self._locks = recorder.inspector, recorder.records, recorder.locks
        self._files = iter(files)
        self._results = dict[str, Recorded]()
        self._found = list[Inspected | Invalid]()
        self._held = AsyncExitStack()
        self._began = time.perf_counter()
        self._recording = asyncio.Lock()

    async def run(self, at_once: int) -> dict[str, Recorded]:
        """Work until no file is left. A failure ends the whole run, and the next scan continues from there."""
        tasks = [asyncio.create_task(self._work()) for _ in range(at_once)]
        try:
            await asyncio.gather(*tasks)
            await self._record()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._held.aclose()
        return self._results

    async def _work(self) -> None:
        for file in self._files:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._locks.hold(file.image_id))
                try:
                    found = await self._inspector.inspect(file)
                except ImgserveError as error:
                    self._results[file.image_id] = Recorded(file.image_id, Recording.LATER, error=error)
                    continue
                if isinstance(found, Recording):
                    if found is Recording.GONE:
                        await self._records.forget([file.image_id])
                    elif file.known_problem is not None:  # it may be read again
                        await self._records.catalog.problems.forget([file.image_id])
                    self._results[file.image_id] = Recorded(file.image_id, found)
                    continue
                self._found.append(found)
                self._held.push_async_exit(stack.pop_all())
            if len(self._found) >= _BATCH or time.perf_counter() - self._began > _BATCH_SECONDS:
                await self._record()

    async def _record(self) -> None:
        """Record what was inspected until now; other tasks inspect more meanwhile."""
        async with self._recording:
            found, self._found = self._found, []
            held, self._held = self._held, AsyncExitStack()
            began, self._began = self._began, time.perf_counter()
            async with held:
                if not found:
                    return
                recorded = await self._records.commit(found)
                seconds = (time.perf_counter() - began) / len(found)
                for one in recorded.values():
                    self._records.count(found[0].origin, one.outcome, seconds)
                changed = await self._inspector.changed(found)
            error = OriginalChanged(retry_after=1)
            self._results |= recorded | {one: Recorded(one, Recording.LATER, error=error) for one in changed}
