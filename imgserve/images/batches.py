"""Batches of a selection, an ordered concurrent map, and retries of transient failures."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from imgserve.catalog import ImageQuery, ImageSearch, Selection
from imgserve.errors import Busy, OriginalChanged, OriginalUnsettled, Unavailable

T = TypeVar("T")
R = TypeVar("R")


async def in_order(
    things: AsyncIterator[T], work: Callable[[T], Awaitable[R]], *, at_once: int
) -> AsyncGenerator[R, None]:
    """Give what becomes of each thing, while the next ones are worked on; whoever closes it ends their work.

    Never are more than `at_once` results held.
    """
    tasks: deque[asyncio.Task[R]] = deque()
    try:
        async for thing in things:
            tasks.append(asyncio.create_task(_done(work, thing)))
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


async def _done(work: Callable[[T], Awaitable[R]], thing: T) -> R:
    return await work(thing)


_PASSING = (Busy, OriginalChanged, OriginalUnsettled, Unavailable)
_TRIES = 10
_LONGEST_PAUSE = 10


async def retry_transient(work: Callable[[], Awaitable[T]], *, tries: int = _TRIES) -> T:
    """Do work, again after a pause where it says that it will be possible later.

    Raises:
        ImgserveError: what it raised the last time.
    """
    for _ in range(tries - 1):
        try:
            return await work()
        except _PASSING as error:
            await asyncio.sleep(min(error.retry_after or 1, _LONGEST_PAUSE))
    return await work()


PIECE = 500
"""Ids at once: little memory, and few queries."""


def listed(selection: Selection) -> list[str] | None:
    """List ids that are named, each once and in the order given; None where a query means them."""
    return None if isinstance(selection, ImageQuery) else list(dict.fromkeys(selection))


async def count(selection: Selection, search: ImageSearch) -> int:
    """Count the images of a selection.

    Raises:
        CatalogUnavailable: a query cannot be answered now.
    """
    if isinstance(selection, ImageQuery):
        return (await search.totals(selection)).images
    return len(listed(selection) or ())


async def pieces(selection: Selection, search: ImageSearch) -> AsyncIterator[list[str]]:
    """Give the ids: those that are named in the order given, those that a query means in the order of ids.

    Raises:
        CatalogUnavailable: a query cannot be answered now.
    """
    if not isinstance(selection, ImageQuery):
        ids = listed(selection) or []
        for start in range(0, len(ids), PIECE):
            yield ids[start : start + PIECE]
        return
    last = ""
    while found := await search.ids(selection, after=last, limit=PIECE):
        yield found
        last = found[-1]


async def each(selection: Selection, search: ImageSearch) -> AsyncIterator[str]:
    """Give the same ids one by one."""
    async for piece in pieces(selection, search):
        for image_id in piece:
            yield image_id
