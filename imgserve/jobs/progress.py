"""The progress of an import as it changes."""

import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace

import anyio

from imgserve.catalog import Imports
from imgserve.errors import ImportNotFound
from imgserve.records import ImportProgress

LOOK_SECONDS = 0.25
"""Between two looks: at most four changes are reported in a second."""
_WINDOW = 20.0
"""Seconds of which the rate is."""
ENDED = frozenset({"finished", "cancelled", "deleting"})
"""The states in which nothing more happens by itself."""


def token_of(found: ImportProgress) -> str:
    """Return what identifies the state and the counts."""
    return "-".join([found.state, *(f"{name}{number}" for name, number in sorted(found.counts.items()))])


async def progress_of(imports: Imports, job_id: str) -> ImportProgress:
    """Return how far an import is; raise ImportNotFound if there is none."""
    job, counts = await imports.get(job_id), (await imports.counts([job_id]))[job_id]
    if job is None:
        raise ImportNotFound
    images = sum(counts.values())
    done = images - counts.get("queued", 0) - counts.get("fetching", 0)
    return ImportProgress(state=job.state, counts=counts, images=images, done=done)


async def follow(imports: Imports, job_id: str, known: str = "") -> AsyncGenerator[ImportProgress | None]:
    """Yield each change of the progress from a known token on, and None if nothing changed; end with the import."""
    seen = deque[tuple[float, int]]()
    while True:
        found, now = await progress_of(imports, job_id), time.monotonic()
        while seen and seen[0][0] < now - _WINDOW:
            seen.popleft()
        seen.append((now, found.done))
        if (token := token_of(found)) != known:
            known = token
            yield _with_rate(found, now - seen[0][0], found.done - seen[0][1])
        else:
            yield None
        if found.state in ENDED:
            return
        await anyio.sleep(LOOK_SECONDS)


def _with_rate(found: ImportProgress, seconds: float, done: int) -> ImportProgress:
    if seconds <= 0 or done <= 0 or found.state != "running":
        return found
    rate = done / seconds
    left = round((found.images - found.done) / rate, 1)
    return replace(found, rate=round(rate, 2), remaining=left)
