"""Single requests: a whole response, a picture with its size checked, a counter of /metrics."""

import http.client
import io
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import imagesize
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load import HEADERS
from benchmarks.programs import BenchmarkFailed

_PATIENCE = 60.0
_SETTLED_SECONDS = 0.3
"""The last responses are counted after they were sent."""
_PUBLISHED_SECONDS = 6.0
"""The counters of the cache tiers are published every five seconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header by its name in lower case."""
        return dict(self.headers)[name]

    def expect(self, status: int) -> "Answer":
        """Stop the benchmark if the status is another."""
        if self.status != status:
            raise BenchmarkFailed(f"expected {status}, but received {self.status}: {self.body[:200]!r}")
        return self


def fetch(address: str, path: str, **headers: str) -> Answer:
    """Return the response to one request on a new connection."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET", path, headers=HEADERS | named)
        response = connection.getresponse()
        lower = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, lower, response.read())
    finally:
        connection.close()


def check_picture(address: str, path: str, width: int) -> None:
    """Stop the benchmark unless a server returns a JPEG of this width."""
    answer = fetch(address, path).expect(200)
    found, _ = imagesize.get(io.BytesIO(answer.body))
    if answer.header("content-type") != "image/jpeg" or found != width:
        kind = answer.header("content-type")
        raise BenchmarkFailed(f"expected a JPEG {width} pixels wide of {path}, but received {kind}, {found} wide")


def counted(address: str, *names: str, **labels: str) -> float:
    """Return the sum of counters of imgserve over all label values that are not named."""
    time.sleep(_SETTLED_SECONDS)
    text = fetch(address, "/metrics").expect(200).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in names and labels.items() <= sample.labels.items()
    )


def await_tiers(address: str, hit: str) -> None:
    """Wait until /metrics has everything that the cache tiers counted so far; `hit` is a memory hit."""
    end, seen = time.monotonic() + _PUBLISHED_SECONDS, None
    while time.monotonic() < end:
        fetch(address, hit)
        now = counted(address, "imgserve_cache_hits_total", tier="memory")
        if seen not in {None, now}:
            return
        seen = now
