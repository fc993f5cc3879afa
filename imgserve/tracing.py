"""The parts of a traced request: named spans of time, recorded where they are spent, without a tracing library.

The hot path records nothing. On the ordinary path, a request that is not traced costs a look at a context variable.
"""

import time
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

_MOST_SPANS = 128
"""One request may render many pictures."""
Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a request, between two times of `time.perf_counter`."""

    name: str
    started: float
    ended: float
    parent: int | None
    """The index of the span that it is a part of; None for the request itself."""
    attributes: Mapping[str, Attribute]


@dataclass(slots=True, eq=False)
class Trace:
    """The spans of one request; those that end after the request are not recorded."""

    trace_id: str
    """32 hexadecimal digits, for log lines and exemplars."""
    spans: list[Span] = field(default_factory=list)
    closed: bool = False

    def add(
        self,
        name: str,
        started: float,
        ended: float | None = None,
        *,
        attributes: Mapping[str, Attribute],
        parent: int | None = None,
    ) -> int | None:
        """Add a span that ends now or at a given time; return its index, or None if it was not recorded."""
        if self.closed or len(self.spans) >= _MOST_SPANS:
            return None
        self.spans.append(Span(name, started, time.perf_counter() if ended is None else ended, parent, attributes))
        return len(self.spans) - 1


class Tracing(Protocol):
    """Decides which requests are traced, and exports them; `imgserve.web.tracing` with the extra `otel`."""

    def open(self) -> None:
        """Begin to export."""

    def close(self) -> None:
        """Export what was collected, and end."""

    def begin(self, scope: MutableMapping[str, Any]) -> Trace | None:
        """Return the trace of a request, or None if it is not traced."""

    def finish(self, trace: Trace, scope: MutableMapping[str, Any]) -> None:
        """Export a request and its parts."""


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)
"""The trace of the request that is being handled, if it is traced."""
