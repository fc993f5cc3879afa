"""Work beside requests that begins anew after a failure, so that pictures are served whatever becomes of it."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable

import anyio

_logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds: one that went well for longer than the longest begins with the first again."""


async def lasting(work: Callable[[], Awaitable[None]], *, first_pause: float = _FIRST_PAUSE) -> None:
    """Do work to its end, over again where it fails, until cancelled."""
    pause = first_pause
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception:
            # The edge of a background task: an error that leaves it would end the whole server's work.
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = first_pause
            _logger.exception("%s failed and begins anew in %g seconds", _name(work), pause)
        else:
            return
        await anyio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)


def _name(work: Callable[[], Awaitable[None]]) -> str:
    function = work.func if isinstance(work, functools.partial) else work
    return str(getattr(function, "__qualname__", function))
