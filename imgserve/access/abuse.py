"""Who causes rejections, new renditions and traffic: bounded counts in memory, which a background task stores."""

import heapq
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from imgserve.access.domains import page_host
from imgserve.access.rates import client_subject
from imgserve.catalog import Counted, Usage
from imgserve.errors import (
    BadSignature,
    CatalogUnavailable,
    DomainDenied,
    Forbidden,
    LinkExpired,
    RateLimited,
    Unauthorized,
)

LOGIN_FAILED = "login_failed"
"""The outcome of a request with a wrong password."""
REJECTIONS = (
    *(kind.code for kind in (Unauthorized, Forbidden, LinkExpired, RateLimited, DomainDenied, BadSignature)),
    LOGIN_FAILED,
)
"""Codes of rejected requests that are counted, and written to the security log."""
COLD, BYTES = "cold", "bytes"
"""Other things that are counted: renditions made for a request, and bytes sent by the ordinary path."""
_RENDERED = "render"
_CAPACITY = 256
"""Subjects of one kind that are counted between two flushes."""
_FLUSH_SECONDS, _TICK_SECONDS = 10.0, 1.0
_STOP_SECONDS = 2.0
_LINES_PER_SECOND = 20
_MOST_CHARACTERS = 300
_security = logging.getLogger("imgserve.security")


class HeavyHitters:
    """The subjects with the largest counts, in bounded memory.

    Space-Saving: Metwally, Agrawal, El Abbadi, Efficient Computation of Frequent and Top-k Elements in Data Streams,
    ICDT 2005. A new subject replaces the one with the smallest count and inherits that count as its possible error. So
    every subject with more than 1/capacity of the total is in the table.
    """

    def __init__(self, capacity: int = _CAPACITY) -> None:
        """Count at most so many subjects."""
        self._capacity = capacity
        self._counts = dict[str, int]()
        self._errors = dict[str, int]()
        self._heap = list[tuple[int, str]]()
        """One pair for each subject; its count may have grown since."""

    def add(self, subject: str, number: int = 1) -> None:
        """Count a subject."""
        if subject in self._counts:
            self._counts[subject] += number
            return
        error = self._evict() if len(self._counts) >= self._capacity else 0
        self._counts[subject], self._errors[subject] = error + number, error
        heapq.heappush(self._heap, (error + number, subject))

    def certain(self) -> Iterator[tuple[str, int]]:
        """Yield each subject with a count that is not too large."""
        for subject, count in self._counts.items():
            yield subject, count - self._errors[subject]

    def _evict(self) -> int:
        """Remove the subject with the smallest count, and return that count."""
        while True:
            count, subject = self._heap[0]
            current = self._counts[subject]
            if current == count:
                heapq.heappop(self._heap)
                del self._errors[subject]
                return self._counts.pop(subject)
            heapq.heapreplace(self._heap, (current, subject))


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished request, as far as abuse is visible in it."""

    outcome: str
    """How it ended, or the code of its error."""
    client: str
    """The address of the client."""
    referrer: bytes
    image_id: str
    """Empty if the request was for no picture."""
    site: str
    caller: str
    """The caller whose key was valid; empty for none."""
    request_id: str
    path: bytes
    """Without the query, which may contain secrets."""
    sent: int


class SecurityLog:
    """Writes rejected requests as JSON, one object a line; of a flood, some lines and a summary for each second."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Use a clock that returns Unix seconds."""
        self._clock = clock
        self._second = self._lines = 0
        self._omitted = Counter[str]()

    def write(self, request: Finished) -> None:
        """Write the line of a rejected request, or count it."""
        self.summarize()
        if self._lines >= _LINES_PER_SECOND:
            self._omitted[request.outcome] += 1
            return
        self._lines += 1
        key = {"key_id": request.caller.removeprefix("key:")} if request.caller else {}
        self._log(
            event="rejected",
            code=request.outcome,
            client=request.client,
            **key,
            site=request.site,
            request_id=request.request_id,
            path=request.path.decode("utf-8", "backslashreplace")[:_MOST_CHARACTERS],
        )

    def summarize(self) -> None:
        """Write how many lines the last second omitted, once it is over."""
        second = int(self._clock())
        if second != self._second:
            omitted, self._omitted = self._omitted, Counter()
            self._second, self._lines = second, 0
            if omitted:
                self._log(event="omitted", number=omitted.total(), codes=dict(omitted))

    def _log(self, **values: object) -> None:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        _security.warning("%s", json.dumps({"time": at, **values}, separators=(",", ":")))


class AbuseWatch:
    """Counts finished requests by client, referrer and image, and adds the counts to the catalog now and then."""

    def __init__(self, usage: Usage, log: SecurityLog | None = None) -> None:
        """Count into these tables, and write rejections to a log."""
        self._usage = usage
        self._log = log or SecurityLog()
        self._counts = dict[tuple[str, str], HeavyHitters]()

    def note(self, request: Finished) -> None:
        """Count a request; this neither waits nor fails."""
        rejected = request.outcome in REJECTIONS
        if rejected:
            self._log.write(request)
        elif not request.image_id:
            return
        what = request.outcome if rejected else COLD if request.outcome == _RENDERED else ""
        subjects = {
            "client": client_subject(request.client),
            "referrer": page_host(request.referrer) if request.referrer else "",
            "image": request.image_id[:_MOST_CHARACTERS],
        }
        for by, subject in subjects.items():
            if subject:
                if what:
                    self._add(what, by, subject, 1)
                if request.sent:
                    self._add(BYTES, by, subject, request.sent)

    async def run(self) -> None:
        """Add the counts to the catalog every ten seconds, until cancelled."""
        flushed = time.monotonic()
        while True:
            await anyio.sleep(_TICK_SECONDS)
            self._log.summarize()
            if time.monotonic() - flushed >= _FLUSH_SECONDS:
                await self.flush()
                flushed = time.monotonic()

    async def flush(self) -> None:
        """Add the counts to the catalog; without it, they stay for the next time."""
        counted: dict[Counted, int] = {
            (what, by, subject): number
            for (what, by), table in self._counts.items()
            for subject, number in table.certain()
        }
        self._counts.clear()
        try:
            await self._usage.add(counted, at=datetime.now(UTC))
        except CatalogUnavailable:
            for (what, by, subject), number in counted.items():
                self._add(what, by, subject, number)

    async def close(self) -> None:
        """Add the last counts, if that succeeds soon."""
        with anyio.move_on_after(_STOP_SECONDS):
            await self.flush()

    def _add(self, what: str, by: str, subject: str, number: int) -> None:
        self._counts.setdefault((what, by), HeavyHitters()).add(subject, number)
