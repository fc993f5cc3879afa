"""When a call that failed is sent again, and how long to wait before. Pure but for the clock; nothing is sent here."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imgserve.client.api.call import Answer, Call
from imgserve.client.api.errors import ServerUnreachable
from imgserve.client.api.failures import error_of, seconds_of
from imgserve.errors import IdempotencyConflict

_BUSY = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is with a server that is busy or cannot be reached."""

    seconds: float = 30.0
    """No wait begins that would end later than this after the first try; 0 for a single try."""
    first: float = 0.2
    """Seconds before the second try, where the server does not say; doubled from try to try."""
    most: float = 5.0
    """Seconds between two tries, where the server does not say."""
    spread: float = 0.25
    """Each wait is longer by up to this share of it, so that many clients do not come back at once."""


@dataclass(slots=True)
class Trial:
    """One call from its first try to its last."""

    retries: Retries
    call: Call[Any]
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _tries: int = 0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def after_answer(self, answer: Answer) -> float | None:
        """Tell how long to wait before the next try; None where this answer is the one."""
        busy = answer.status in _BUSY or (self._tries > 0 and _is_still_answered(answer))
        return self._wait(seconds_of(answer.headers.get("retry-after", ""))) if busy else None

    def after_failure(self, failure: ServerUnreachable, *, lasting: bool) -> float:
        """Tell how long to wait before the next try.

        Raises:
            ServerUnreachable: there is none; or the failure is `lasting`, so that another try would meet it too.
        """
        wait = None if lasting else self._wait(None)
        if wait is None:
            raise failure
        return wait

    def _wait(self, retry_after: int | None) -> float | None:
        if not self.call.repeatable:
            return None
        own = min(self.retries.most, self.retries.first * 2**self._tries)
        wait = (own if retry_after is None else max(own, retry_after)) * (1 + random.uniform(0, self.retries.spread))
        self._tries += 1
        return wait if self.clock() - self._began + wait <= self.retries.seconds else None


def _is_still_answered(answer: Answer) -> bool:
    """Tell whether an earlier try, whose answer was lost, still keeps the server busy."""
    if answer.status != IdempotencyConflict.status:
        return False
    return isinstance(error_of(answer.status, answer.headers, answer.content), IdempotencyConflict)
