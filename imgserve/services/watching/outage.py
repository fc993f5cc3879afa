"""Times in which the catalog cannot be used: nothing is tried, everything waits, and a scan follows."""

import logging

import anyio

_logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class Outage:
    """Lets work wait while the catalog is away."""

    def __init__(self) -> None:
        """Begin without an outage."""
        self._until = 0.0
        self.lasting = False
        """Whether the last that was heard of the catalog is that it cannot be used."""

    def begin(self) -> None:
        """Have everybody wait a moment."""
        if not self.lasting:
            _logger.warning("the catalog cannot be used: changes of originals wait")
        self.lasting = True
        self._until = anyio.current_time() + _PAUSE_SECONDS

    def end(self) -> bool:
        """Hear that the catalog works; tell whether it did not before, so that it may be another one now."""
        lasted, self.lasting = self.lasting, False
        if lasted:
            _logger.warning("the catalog can be used again: the originals are compared with it")
        return lasted

    async def over(self) -> None:
        """Wait until it is worth trying."""
        while (left := self._until - anyio.current_time()) > 0:  # noqa: ASYNC110  others put the end off meanwhile
            await anyio.sleep(left)
