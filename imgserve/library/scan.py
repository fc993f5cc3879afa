"""Record files that are already in place: one file, or the files of a scan."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from imgserve.catalog import stored_id
from imgserve.errors import ImgserveError, OriginalChanged
from imgserve.library.inspect import Asked, Finding, Gone, Looking, Same, Trouble, is_same_file
from imgserve.library.means import Means
from imgserve.library.record import Committing
from imgserve.library.results import Recorded, Recording
from imgserve.model import Origin
from imgserve.originals.base import Walked

_ATTEMPTS = 3


class RecordingFile:
    """Records what lies in place."""

    def __init__(self, means: Means, looking: Looking, committing: Committing) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking
        self._committing = committing

    async def record(self, asked: Asked, *, again: bool = False) -> Recorded:
        """Record a file; see `IngestService.record`."""
        async with self._means.locks.hold(asked.image_id):
            return await self.record_held(asked, again=again)

    async def record_held(self, asked: Asked, *, again: bool = False) -> Recorded:
        """Record a file whose id the caller holds."""
        for _ in range(_ATTEMPTS):
            recorded = await self._record(asked, again=again)
            if recorded is not None:
                return recorded
        raise OriginalChanged(retry_after=1)

    async def vanished(self, image_id: str) -> bool:
        """Forget an image whose file is gone; see `IngestService.vanished`."""
        async with self._means.locks.hold(image_id):
            if await self._looking.is_there(image_id):
                return False
            await self._looking.sure_that_it_is_gone()
            return bool(await self._committing.forget([image_id]))

    async def _record(self, asked: Asked, *, again: bool) -> Recorded | None:
        """Try once; None where the file was replaced meanwhile."""
        started, catalog = time.perf_counter(), self._means.catalog
        record = await catalog.images.get(asked.image_id)
        problem = None if record or again else await catalog.problems.get(asked.image_id)
        if problem is not None and problem.version == asked.version != "":
            return Recorded(asked.image_id, Recording.PROBLEM, problem=problem)
        known = record.version if record else None
        found = await self._looking.look(
            replace(asked, known=known, known_problem=problem.version if problem else None)
        )
        if isinstance(found, Same):
            outcome = Recording.UNCHANGED if record else Recording.PROBLEM
            return Recorded(asked.image_id, outcome, record, problem)
        if isinstance(found, Gone):
            await self._committing.forget([asked.image_id])
            return Recorded(asked.image_id, Recording.GONE)
        recorded = (await self._committing.commit([found]))[asked.image_id]
        if await self._looking.changed([found]):
            return None
        self._means.count(asked.origin, recorded.outcome, time.perf_counter() - started)
        return recorded


_BATCH = 50
_BATCH_SECONDS = 1.0
"""What was found waits no longer for more, as long as more comes."""


class Scanning:
    """Compares files with the catalog, and records what is new or another."""

    def __init__(self, means: Means, looking: Looking, committing: Committing) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking
        self._committing = committing

    async def record_many(
        self, walked: Sequence[Walked], *, origin: Origin, who: str, background: bool, again: bool
    ) -> list[Recorded]:
        """Record files; see `IngestService.record_many`."""
        files = {file.image_id: file for file in walked if stored_id(file.image_id) is not None}
        known = await self._means.catalog.images.versions_of(list(files))
        problems = await self._means.catalog.problems.get_many([one for one in files if one not in known])
        results, left = dict[str, Recorded](), list[Asked]()
        for image_id, file in files.items():
            version, problem = known.get(image_id), problems.get(image_id)
            if is_same_file(version, file.version):
                results[image_id] = Recorded(image_id, Recording.UNCHANGED)
            elif problem is not None and problem.version == file.version and not again:
                results[image_id] = Recorded(image_id, Recording.PROBLEM, problem=problem)
            else:
                left.append(Asked(image_id, origin, who, background, version, None, file.version))
        results |= await _Scan(self._means, self._looking, self._committing, iter(left)).run()
        return [results[image_id] for image_id in files]

    async def known(self, prefix: str, after: str, limit: int) -> dict[str, str]:
        """Tell what is recorded; see `IngestService.known`."""
        catalog = self._means.catalog
        found = [await part.versions(prefix, after, limit) for part in (catalog.problems, catalog.images)]
        # Where one list was cut, nothing is told of what lies beyond its end.
        ends = [_order(list(some)[-1]) for some in found if len(some) >= limit]
        merged = {image_id: version for some in found for image_id, version in some.items()}
        return {one: merged[one] for one in sorted(merged, key=_order) if all(_order(one) <= end for end in ends)}


def _order(image_id: str) -> bytes:
    return image_id.encode("utf-8", "surrogateescape")


class _Scan:
    """One run over some files: several are looked at at once, and what is found is recorded in batches.

    The lock of a file is held from the look at it until its batch is recorded.
    """

    def __init__(self, means: Means, looking: Looking, committing: Committing, files: Iterator[Asked]) -> None:
        self._means = means
        self._looking = looking
        self._committing = committing
        self._files = files
        self._results = dict[str, Recorded]()
        self._found = list[Finding | Trouble]()
        self._held = AsyncExitStack()
        self._began = time.perf_counter()
        self._recording = asyncio.Lock()

    async def run(self) -> dict[str, Recorded]:
        """Work until nothing is left; whatever fails ends all of it, and the next scan goes on from there."""
        working = [asyncio.create_task(self._work()) for _ in range(self._means.rules.at_once)]
        try:
            await asyncio.gather(*working)
            await self._record()
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await self._held.aclose()
        return self._results

    async def _work(self) -> None:
        for asked in self._files:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._means.locks.hold(asked.image_id))
                found = await self._look(asked)
                if isinstance(found, Recorded):
                    self._results[asked.image_id] = found
                    continue
                self._found.append(found)
                self._held.push_async_exit(stack.pop_all())
            if len(self._found) >= _BATCH or time.perf_counter() - self._began > _BATCH_SECONDS:
                await self._record()

    async def _look(self, asked: Asked) -> Finding | Trouble | Recorded:
        """Look at a file; what needs no record, or cannot be told now, is told at once."""
        try:
            found = await self._looking.look(asked)
        except ImgserveError as error:
            return Recorded(asked.image_id, Recording.LATER, error=error)
        if isinstance(found, Same):
            return Recorded(asked.image_id, Recording.UNCHANGED)
        if isinstance(found, Gone):
            await self._committing.forget([asked.image_id])
            return Recorded(asked.image_id, Recording.GONE)
        return found

    async def _record(self) -> None:
        """Record what was found until now; others go on looking meanwhile."""
        async with self._recording:
            found, self._found = self._found, []
            held, self._held = self._held, AsyncExitStack()
            began, self._began = self._began, time.perf_counter()
            async with held:
                if not found:
                    return
                recorded = await self._committing.commit(found)
                seconds = (time.perf_counter() - began) / len(found)
                for one in recorded.values():
                    self._means.count(_origin(found[0]), one.outcome, seconds)
                changed = await self._looking.changed(found)
            error = OriginalChanged(retry_after=1)
            self._results |= recorded | {one: Recorded(one, Recording.LATER, error=error) for one in changed}


def _origin(found: Finding | Trouble) -> Origin:
    return found.origin if isinstance(found, Finding) else found.asked.origin
