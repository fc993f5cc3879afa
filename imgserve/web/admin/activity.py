"""What the server has done lately: rates and durations between two readings of the metrics."""

import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

import anyio
from anyio import to_thread
from prometheus_client import CollectorRegistry, Metric
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from imgserve.web.admin.shell import HEADERS
from imgserve.web.middleware import STOPPING
from imgserve.web.visitors import Visitor

_EVERY = 5.0
"""Seconds between two readings."""
_LOOK_EVERY = 0.5
"""Seconds until a stream notices that the session has ended, or that the server stops."""
_KEPT = 720
"""Readings that are stored: an hour."""
_SAVED = tuple(
    f"imgserve_{name}_total"
    for name in ("picture_bytes", "picture_original_bytes", "demand_saved_bytes", "demand_seconds")
)
_HITS = frozenset({"memory", "disk", "not_modified"})
_RENDERS = frozenset({"render", "coalesced"})
_SERVER_ERROR = "5"
_LONGEST_STREAM = 300.0
"""Seconds until a browser has to connect again, so that a stream ends with its session."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The sums of the metrics of all server processes at one time."""

    at: float
    """Unix seconds."""
    outcomes: Mapping[str, float]
    """Picture requests by outcome."""
    buckets: Mapping[str, Mapping[float, float]]
    """Requests by outcome that took at most so many seconds."""
    errors: float
    """Responses with a status of 500 or above."""
    sums: Mapping[str, float]
    """All samples by their name."""


@dataclass(frozen=True, slots=True)
class Point:
    """The activity between two readings; None where there was nothing to measure."""

    at: int
    """Unix seconds."""
    requests: float
    """Picture requests per second."""
    hit_ratio: float | None
    """The part of the pictures that needed no rendering."""
    hit_ms: float | None
    """The 99th percentile of hits, in milliseconds."""
    render_ms: float | None
    """The 99th percentile of pictures that were rendered, in milliseconds."""
    renders: float
    """Per second."""
    queue: float
    """Pictures that wait to be rendered."""
    rendering: float
    errors: float
    """Per second."""
    rejected: float
    """Per second."""
    sent: float
    """Bytes per second."""
    memory: float
    """Bytes of all processes."""


def reading(families: Iterable[Metric], at: float) -> Reading:
    """Return the sums of metrics."""
    outcomes, sums = defaultdict[str, float](float), defaultdict[str, float](float)
    buckets, errors = defaultdict[str, defaultdict[float, float]](lambda: defaultdict(float)), 0.0
    for sample in (sample for family in families for sample in family.samples):
        labels = sample.labels
        sums[sample.name] += sample.value
        if sample.name == "imgserve_requests_total":
            if labels["route"] == "image":
                outcomes[labels["outcome"]] += sample.value
            errors += sample.value if labels["status"].startswith(_SERVER_ERROR) else 0.0
        elif sample.name == "imgserve_request_seconds_bucket":
            buckets[labels["outcome"]][float(labels["le"])] += sample.value
    return Reading(at, outcomes, buckets, errors, sums)


def point(before: Reading, after: Reading) -> Point:
    """Return the activity between two readings; counters of ended processes may be missing in the second."""
    seconds = max(after.at - before.at, 1e-3)

    def rate(earlier: float, later: float) -> float:
        return round(max(0.0, later - earlier) / seconds, 3)

    def rate_of(name: str) -> float:
        return rate(before.sums.get(name, 0.0), after.sums.get(name, 0.0))

    counted = {name: max(0.0, number - before.outcomes.get(name, 0.0)) for name, number in after.outcomes.items()}
    hits, renders = (sum(counted.get(name, 0.0) for name in names) for names in (_HITS, _RENDERS))
    return Point(
        round(after.at),
        round(sum(counted.values()) / seconds, 3),
        round(hits / (hits + renders), 4) if hits + renders else None,
        _percentile(before, after, _HITS),
        _percentile(before, after, _RENDERS),
        rate_of("imgserve_renders_total"),
        after.sums.get("imgserve_render_queue", 0.0),
        after.sums.get("imgserve_rendering", 0.0),
        rate(before.errors, after.errors),
        rate_of("imgserve_rejected_total"),
        rate_of("imgserve_response_bytes_total"),
        after.sums.get("imgserve_memory_bytes", 0.0),
    )


@dataclass(frozen=True, slots=True)
class Saved:
    """Whole pictures of one format that were sent, compared with their originals."""

    format: str
    sent: float
    """Bytes."""
    originals: float
    """Bytes that the originals would have taken."""
    again: float = 0.0
    """Bytes that encoding popular pictures again has saved, of those that would have been sent."""
    seconds: float = 0.0
    """Time that this took."""


def saved(families: Iterable[Metric]) -> list[Saved]:
    """Return what each format has saved since the start, the most first."""
    sums = defaultdict[str, list[float]](lambda: [0.0] * len(_SAVED))
    for sample in (sample for family in families for sample in family.samples):
        if sample.name in _SAVED:
            sums[sample.labels["format"]][_SAVED.index(sample.name)] += sample.value
    found = [Saved(name, *numbers) for name, numbers in sums.items() if numbers[0]]
    return sorted(found, key=lambda one: one.sent - one.originals)


def _percentile(before: Reading, after: Reading, outcomes: Iterable[str]) -> float | None:
    """Return the 99th percentile in milliseconds, interpolated as Prometheus does; None without requests."""
    bounds = sorted({bound for outcome in outcomes for bound in after.buckets.get(outcome, ())})
    numbers = [
        sum(
            after.buckets.get(outcome, {}).get(bound, 0.0) - before.buckets.get(outcome, {}).get(bound, 0.0)
            for outcome in outcomes
        )
        for bound in bounds
    ]
    if not numbers or numbers[-1] <= 0:
        return None
    wanted, low, below = 0.99 * numbers[-1], 0.0, 0.0
    for bound, number in zip(bounds, numbers, strict=True):
        if number >= wanted:
            if bound == float("inf"):
                return round(1000 * low, 2)
            return round(1000 * (low + (bound - low) * (wanted - below) / max(number - below, 1e-9)), 2)
        low, below = bound, number
    return None


class Activity:
    """The activity of the last hour, for charts: all points, and each new one as an event."""

    def __init__(self, registry: CollectorRegistry, find: Callable[[Request], Visitor | None]) -> None:
        """`find` returns who is signed in; a stream ends with the session."""
        self._registry = registry
        self._find = find
        self._points = deque[Point](maxlen=_KEPT)
        self._changed = anyio.Event()

    async def saved(self) -> list[Saved]:
        """Return what each format has saved."""
        return await to_thread.run_sync(lambda: saved(self._registry.collect()))

    async def run(self) -> None:
        """Read the metrics now and then, until cancelled."""
        before = await to_thread.run_sync(self._read)
        while True:
            await anyio.sleep(_EVERY)
            after = await to_thread.run_sync(self._read)
            self._points.append(point(before, after))
            before, changed, self._changed = after, self._changed, anyio.Event()
            changed.set()

    async def respond(self, request: Request, _visitor: Visitor) -> Response:
        """Respond with server-sent events (HTML standard, section 9.2): the stored points, then each new one."""
        return StreamingResponse(self._events(request), headers=HEADERS, media_type="text/event-stream")

    async def _events(self, request: Request) -> AsyncIterator[str]:
        yield _event("points", [asdict(one) for one in self._points])
        state, ends = request.scope.get("state", {}), time.monotonic() + _LONGEST_STREAM
        while time.monotonic() < ends and STOPPING not in state and self._find(request) is not None:
            with anyio.move_on_after(_LOOK_EVERY) as waiting:
                await self._changed.wait()
            if not waiting.cancelled_caught:
                yield _event("point", asdict(self._points[-1]))

    def _read(self) -> Reading:
        return reading(self._registry.collect(), time.time())


def _event(name: str, value: object) -> str:
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n"
