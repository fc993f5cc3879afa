"""The ids of requests: unique over processes and restarts, and cheap. What an id is for is not known here."""

import itertools
import secrets
from collections.abc import Iterator


class RequestIds:
    """Numbers the requests of one process behind a random start."""

    # Drawing each id at random would cost as much as a look-up in memory.
    def __init__(self) -> None:
        """Draw the start."""
        self.start = secrets.token_hex(4)
        self.numbers: Iterator[int] = itertools.count()

    def draw(self) -> str:
        """Give the next id."""
        return f"{self.start}{next(self.numbers):08x}"
