"""Batches of a selection, an ordered concurrent map, and retries of transient failures."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from imgserve.catalog import ImageQuery, ImageSearch, Selection
from imgserve.errors import Busy, OriginalChanged, OriginalUnsettled, Unavailable

T = TypeVar("T")
R = TypeVar("R")


async def map_ordered(
    items: AsyncIterator[T], work: Callable[[T], Awaitable[R]], *, at_once: int
) -> AsyncGenerator[R, None]:
    """Yield the result for each item in order, while up to `at_once` are worked on; closing it cancels their work."""
    tasks: deque[asyncio.Task[R]] = deque()
    try:
        async for item in items:
            tasks.append(asyncio.ensure_future(work(item)))
            if len(tasks) >= at_once:
                yield await tasks[0]
                tasks.popleft()
        while tasks:
            yield await tasks[0]
            tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_MAX_PAUSE = 10


async def retry_transient(work: Callable[[], Awaitable[T]], *, tries: int = 10) -> T:
    """Return the result of work, repeated after a pause while it fails with a transient error; raise the last error."""
    for _ in range(tries - 1):
        try:
            return await work()
        except (Busy, OriginalChanged, OriginalUnsettled, Unavailable) as error:
            await asyncio.sleep(min(error.retry_after or 1, _MAX_PAUSE))
    return await work()


BATCH = 500
"""Ids in one batch: little memory, and few queries."""


async def count(selection: Selection, search: ImageSearch) -> int:
    """Return the number of images in a selection, or raise CatalogUnavailable."""
    if isinstance(selection, ImageQuery):
        return (await search.totals(selection)).images
    return len(set(selection))


async def batches(selection: Selection, search: ImageSearch) -> AsyncIterator[list[str]]:
    """Yield the ids in batches: those of a list in its order, those of a query sorted. May raise CatalogUnavailable."""
    if not isinstance(selection, ImageQuery):
        ids = list(dict.fromkeys(selection))
        for start in range(0, len(ids), BATCH):
            yield ids[start : start + BATCH]
        return
    last = ""
    while found := await search.ids(selection, after=last, limit=BATCH):
        yield found
        last = found[-1]


async def each(selection: Selection, search: ImageSearch) -> AsyncIterator[str]:
    """Yield the same ids one by one."""
    async for batch in batches(selection, search):
        for image_id in batch:
            yield image_id
