"""The progress of an import as it changes."""

import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Annotated

import anyio

from imgserve.catalog import Imports
from imgserve.errors import ImportNotFound
from imgserve.model import Doc

LOOK_SECONDS = 0.25
"""Between two looks: at most four changes are reported in a second."""
_WINDOW = 20.0
"""Seconds of which the rate is."""
_ENDED = frozenset({"finished", "cancelled", "deleting"})


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is."""

    state: Annotated[str, Doc("The state of the import.")]
    counts: Annotated[dict[str, int], Doc("Images by state.")] = field(hash=False)
    images: Annotated[int, Doc("All images.")]
    done: Annotated[int, Doc("Images that are neither queued nor fetching.")]
    rate: Annotated[float | None, Doc("Images per second, of the last 20 seconds; null if unknown.")] = None
    remaining: Annotated[float | None, Doc("Seconds until the end at this rate; null if unknown.")] = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in _ENDED

    @property
    def token(self) -> str:
        """Identifies the state and the counts."""
        return "-".join([self.state, *(f"{name}{number}" for name, number in sorted(self.counts.items()))])


async def progress_of(imports: Imports, job_id: str) -> ImportProgress:
    """Return how far an import is; raise ImportNotFound if there is none."""
    job, counts = await imports.get(job_id), (await imports.counts([job_id]))[job_id]
    if job is None:
        raise ImportNotFound
    images = sum(counts.values())
    return ImportProgress(job.state, counts, images, images - counts.get("queued", 0) - counts.get("fetching", 0))


async def follow(imports: Imports, job_id: str, known: str = "") -> AsyncGenerator[ImportProgress | None]:
    """Yield each change of the progress from a known token on, and None if nothing changed; end with the import."""
    seen = deque[tuple[float, int]]()
    while True:
        found, now = await progress_of(imports, job_id), time.monotonic()
        while seen and seen[0][0] < now - _WINDOW:
            seen.popleft()
        seen.append((now, found.done))
        if found.token != known:
            known = found.token
            yield _with_rate(found, now - seen[0][0], found.done - seen[0][1])
        else:
            yield None
        if found.ended:
            return
        await anyio.sleep(LOOK_SECONDS)


def _with_rate(found: ImportProgress, seconds: float, done: int) -> ImportProgress:
    if seconds <= 0 or done <= 0 or found.state != "running":
        return found
    rate = done / seconds
    left = round((found.images - found.done) / rate, 1)
    return ImportProgress(found.state, found.counts, found.images, found.done, round(rate, 2), left)
