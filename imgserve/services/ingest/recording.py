"""A file that lies in place already, recorded as it comes."""

import time
from dataclasses import replace

from imgserve.errors import OriginalChanged
from imgserve.services.ingest.committing import Committing
from imgserve.services.ingest.looking import Asked, Gone, Looking, Same
from imgserve.services.ingest.means import Means
from imgserve.services.ingest.results import Recorded, Recording

_ATTEMPTS = 3


class RecordingFile:
    """Records what lies in place."""

    def __init__(self, means: Means, looking: Looking, committing: Committing) -> None:
        """Take the parts."""
        self._means = means
        self._looking = looking
        self._committing = committing

    async def record(self, asked: Asked, *, again: bool = False) -> Recorded:
        """Record a file; see `Ingest.record`."""
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
        """Forget an image whose file is gone; see `Ingest.vanished`."""
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
