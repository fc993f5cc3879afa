"""Trying again what cannot be done at this moment, for work that nobody sees waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imgserve.errors import Busy, OriginalChanged, OriginalUnsettled, Unavailable

T = TypeVar("T")

_PASSING = (Busy, OriginalChanged, OriginalUnsettled, Unavailable)
_TRIES = 10
_LONGEST_PAUSE = 10


async def patiently(work: Callable[[], Awaitable[T]], *, tries: int = _TRIES) -> T:
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
