"""One request repeated on persistent connections, by wrk if installed, else by the generator of this benchmark."""

import re
import resource
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.fetch import fetch
from benchmarks.load import HEADERS, drive, repeated, request
from benchmarks.programs import BenchmarkFailed

_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
_DONE = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
_QUANTILE = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\b", re.MULTILINE)
_WRONG = re.compile(r"^\s*(?:Socket errors|Non-2xx or 3xx responses):.*$", re.MULTILINE)
WRK_LEAST_SECONDS = 1
"""wrk only accepts whole seconds."""
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class RepeatedRequest:
    """A request that is repeated, and its expected status."""

    address: str
    path: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Steady:
    """The result of a run."""

    answers: int
    rate: float
    """Answers a second."""
    p50: float
    p99: float
    """Seconds."""
    generator: float
    """Share of a core that the generator used; near 1 it was the limit, not the server."""


@dataclass(frozen=True, slots=True)
class Generator:
    """Sends the requests."""

    wrk: str | None

    @property
    def name(self) -> str:
        """Its name in a report."""
        return "wrk, one thread" if self.wrk else "our own, one process"

    def run(self, repeat: RepeatedRequest, connections: int, seconds: float) -> Steady:
        """Repeat a request for so many seconds, after one whose status is checked."""
        fetch(repeat.address, repeat.path, **repeat.headers).expect(repeat.status)
        return self._wrk(repeat, connections, seconds) if self.wrk else self._own(repeat, connections, seconds)

    def _wrk(self, repeat: RepeatedRequest, connections: int, seconds: float) -> Steady:
        whole = max(WRK_LEAST_SECONDS, round(seconds))
        named = HEADERS | dict(repeat.headers)
        # In this spelling, because wrk adds a second Host next to one in lower case.
        headers = [f"-H{name.replace('_', '-').title()}: {value}" for name, value in named.items()]
        command = [self.wrk or "", "-t1", f"-c{connections}", f"-d{whole}s", "--latency", *headers]
        before = _processor_seconds(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*command, repeat.address + repeat.path], capture_output=True, text=True, check=False, timeout=whole + 60
        )
        if done.returncode:
            raise BenchmarkFailed(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
        return read_wrk(done.stdout, (_processor_seconds(resource.RUSAGE_CHILDREN) - before) / whole)

    def _own(self, repeat: RepeatedRequest, connections: int, seconds: float) -> Steady:
        before = _processor_seconds(resource.RUSAGE_SELF)
        sent = request(repeat.path, **repeat.headers)
        load = drive(repeat.address, repeated(sent, seconds), connections).expect(repeat.status)
        share = (_processor_seconds(resource.RUSAGE_SELF) - before) / load.seconds
        return Steady(len(load.latencies), load.rate, load.percentile(50), load.percentile(99), share)


def read_wrk(text: str, generator: float) -> Steady:
    """Parse the output of wrk --latency."""
    rate, done = _RATE.search(text), _DONE.search(text)
    quantiles = {percent: float(value) * _SECONDS[unit] for percent, value, unit in _QUANTILE.findall(text)}
    wrong = _WRONG.search(text)
    if wrong or rate is None or done is None or set(quantiles) != {"50", "99"}:
        raise BenchmarkFailed(f"wrk met {wrong[0].strip() if wrong else 'what cannot be read'}:\n{text}")
    return Steady(int(done[1]), float(rate[1]), quantiles["50"], quantiles["99"], generator)


def _processor_seconds(who: int) -> float:
    spent = resource.getrusage(who)
    return spent.ru_utime + spent.ru_stime
