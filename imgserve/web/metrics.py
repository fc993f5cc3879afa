"""Request metrics."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from imgserve.metrics import LATENCY, Metrics

QuickOutcome = Literal["memory", "disk", "not_modified"]
_ROUTE = "image"
STATUSES: Mapping[QuickOutcome, int] = {"memory": 200, "disk": 200, "not_modified": 304}
"""Outcomes that are counted quickly, and their status."""
_FOLD_AFTER = 0.02
"""Seconds until quickly counted requests reach the metrics."""


class _Bunch:
    """Requests of one kind, all within the first bucket."""

    __slots__ = ("number", "seconds", "sent")

    def __init__(self) -> None:
        self.number = 0
        self.seconds = 0.0
        self.sent = 0


class RequestMetrics:
    """Counts responses, their duration and their bytes."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._labeled: dict[tuple[str, int, str], _Labeled] = {}
        self._bunches: dict[QuickOutcome, _Bunch] = {outcome: _Bunch() for outcome in STATUSES}
        self._due = False

    def count(self, route: str, status: int, outcome: str, seconds: float, sent: int) -> None:
        """Count one request."""
        self._of(route, status, outcome).add(1, sent).observe(seconds)

    def count_quickly(self, outcome: QuickOutcome, seconds: float, sent: int, loop: asyncio.AbstractEventLoop) -> None:
        """Count one picture request in plain integers, at a tenth of the cost; `fold` adds them to the metrics."""
        if seconds > LATENCY[0]:
            self.count(_ROUTE, STATUSES[outcome], outcome, seconds, sent)
            return
        bunch = self._bunches[outcome]
        bunch.number += 1
        bunch.seconds += seconds
        bunch.sent += sent
        if not self._due:
            self._due = True
            loop.call_later(_FOLD_AFTER, self.fold)

    def fold(self) -> None:
        """Add the quickly counted requests to the metrics."""
        self._due = False
        for outcome, bunch in self._bunches.items():
            if bunch.number:
                labeled = self._of(_ROUTE, STATUSES[outcome], outcome).add(bunch.number, bunch.sent)
                labeled.observe_low(bunch.number, bunch.seconds)
                self._bunches[outcome] = _Bunch()

    def _of(self, route: str, status: int, outcome: str) -> "_Labeled":
        """Return the cached labeled metrics; a lookup by labels costs more than a memory hit."""
        known = self._labeled.get((route, status, outcome))
        if known is None:
            known = self._labeled[route, status, outcome] = _Labeled(self._metrics, route, status, outcome)
        return known


class _Labeled:
    """The metrics of one kind of request."""

    def __init__(self, metrics: Metrics, route: str, status: int, outcome: str) -> None:
        self._requests = metrics.requests.labels(route, str(status), outcome)
        self._bytes = metrics.response_bytes.labels(route)
        seconds = metrics.request_seconds.labels(outcome)
        self.observe = seconds.observe
        self.observe_low = seconds.observe_low

    def add(self, number: int, sent: int) -> "_Labeled":
        self._requests.inc(number)
        self._bytes.inc(sent)
        return self
