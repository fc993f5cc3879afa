"""Work on several things at once, whose results come in the order of the things. Knows nothing of what is done."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

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
