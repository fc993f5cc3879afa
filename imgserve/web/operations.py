"""Health, readiness, metrics and checks of the machine, and the figures that are updated now and then."""

import hmac
import ipaddress
import json
import re
import resource
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

import anyio
import psutil
from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from imgserve.access.access import Access
from imgserve.access.keys import Scope
from imgserve.cache import TieredCache, TierStats
from imgserve.errors import NotFound
from imgserve.http.headers import api_key
from imgserve.metrics import Metrics
from imgserve.web.middleware import KEY, RequestRecord

_FRESH = {"cache-control": "no-store"}
Check = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns the state of each part by name: `ok`, `degraded: ...` (still serving) or `failed: ...`."""
_PROXY_HEADERS = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORT = re.compile(r":\d*$")


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read /metrics."""

    enabled: bool = True
    open_to: Sequence[str] = ("loopback",)
    """`loopback`, `everyone`, or networks; a client behind a trusted proxy has its forwarded address."""
    token: str = ""

    def allows(self, request: Request) -> bool:
        """Return whether the caller may read the metrics."""
        if not self.enabled:
            return False
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        received = token.strip().encode("utf-8", "surrogateescape")
        if self.token and scheme.lower() == "bearer" and hmac.compare_digest(received, self.token.encode()):
            return True
        if "everyone" in self.open_to:
            return True
        if "loopback" in self.open_to and is_local(request):
            return True
        networks = [ipaddress.ip_network(item, strict=False) for item in self.open_to if item != "loopback"]
        address = _address(request)
        return address is not None and any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Operations:
    """Endpoints outside the picture path."""

    check: Check
    registry: CollectorRegistry
    fold: Callable[[], None]
    """Completes the metrics of the registry before they are read."""
    readers: MetricsAccess
    exemplars: bool = False
    """Whether a scraper may negotiate OpenMetrics, the only format that has them."""

    async def alive(self, _request: Request) -> Response:
        """Respond with 200: the event loop runs."""
        return PlainTextResponse("ok\n", headers=_FRESH)

    async def ready(self, _request: Request) -> Response:
        """Respond with 200 if pictures can be served, else 503, and with the state of each part."""
        parts = dict(await self.check())
        failed = any(state.startswith("failed") for state in parts.values())
        body = json.dumps({"status": "failed" if failed else "ok", "parts": parts}, indent=1) + "\n"
        return Response(body, 503 if failed else 200, _FRESH, "application/json")

    async def metrics(self, request: Request) -> Response:
        """Respond with the metrics of all processes in the Prometheus text format, or raise NotFound."""
        if not self.readers.allows(request):
            raise NotFound
        self.fold()
        accept = request.headers.get("accept", "") if self.exemplars else ""
        generate, content_type = choose_encoder(accept) if accept else (generate_latest, CONTENT_TYPE_LATEST)
        # In a thread: with several processes it takes milliseconds, in which hits would wait.
        body = await to_thread.run_sync(generate, self.registry)
        return Response(body, headers={**_FRESH, "content-type": content_type})


State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    state: State = "ok"
    found: str = ""
    """What was found; usually empty if all is well."""
    advice: str = ""
    """What to do."""

    @classmethod
    def unless(cls, bad: object, name: str, state: State, found: str, advice: str) -> Self:
        """Return a finding, or that all is well."""
        return cls(name, state, found, advice) if bad else cls(name)

    @property
    def rank(self) -> int:
        """The place in a list whose worst findings come first."""
        return ("problem", "warning", "ok").index(self.state)


@dataclass(frozen=True, slots=True)
class SystemCheck:
    """Runs the checks for a request."""

    access: Access
    diagnose: Callable[[], Sequence[Finding]]

    async def respond(self, request: Request) -> Response:
        """Respond with the results, or raise Unauthorized or Forbidden."""
        record: RequestRecord = request.scope[KEY]
        record.private = True
        # A key for some images only is not for the server as a whole.
        record.caller = (await self.access.check(api_key(request.scope["headers"]), Scope.ADMIN, image_id="")).name
        findings = await to_thread.run_sync(self.diagnose)
        status = "problems" if any(one.state == "problem" for one in findings) else "ok"
        body = json.dumps({"status": status, "checks": [asdict(one) for one in findings]}, indent=1) + "\n"
        return Response(body, 200, _FRESH, "application/json")


_GAUGES_EVERY = 5.0
"""Seconds."""


@dataclass(slots=True)
class Gauges:
    """Updates the metrics of one server process that are not counted as things happen."""

    cache: TieredCache
    metrics: Metrics
    states: Check
    folders: Mapping[str, Path]
    """Folders whose disks are reported, by name."""
    _before: Mapping[str, TierStats] = field(default_factory=dict, init=False)
    _cpu: Mapping[str, float] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Update now and after each interval, until cancelled."""
        self.metrics.start_time_seconds.set(psutil.Process().create_time())
        async with anyio.create_task_group() as group:
            # A folder on a network may block the checks, and must not block the figures.
            group.start_soon(self._repeat, self.update)
            group.start_soon(self._repeat, self.check)

    @staticmethod
    async def _repeat(step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await step()
            await anyio.sleep(_GAUGES_EVERY)

    async def update(self) -> None:
        """Update the metrics of cache and processes now."""
        metrics, before = self.metrics, self._before
        self._before = await self.cache.stats()
        for tier, stats in self._before.items():
            last = before.get(tier, TierStats())
            metrics.cache_hits.labels(tier).inc(stats.hits - last.hits)
            metrics.cache_misses.labels(tier).inc(stats.misses - last.misses)
            metrics.cache_evictions.labels(tier).inc(stats.evictions - last.evictions)
            metrics.cache_errors.labels(tier).inc(stats.errors - last.errors)
            # Server processes share one disk tier and their gauges are summed: only one of them reports it.
            own = 1 if stats.mine else 0
            metrics.cache_bytes.labels(tier).set(stats.bytes * own)
            metrics.cache_entries.labels(tier).set(stats.entries * own)
            metrics.cache_limit_bytes.labels(tier).set(stats.limit_bytes * own)
        processes = await to_thread.run_sync(_processes)
        for kind, usage in processes.items():
            metrics.memory_bytes.labels(kind).set(usage.memory)
            metrics.processes.labels(kind).set(usage.number)
            metrics.cpu_seconds.labels(kind).inc(max(0.0, usage.cpu - self._cpu.get(kind, 0.0)))
        self._cpu = {kind: usage.cpu for kind, usage in processes.items()}
        metrics.open_files.set(await to_thread.run_sync(psutil.Process().num_fds))
        metrics.open_files_limit.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    async def check(self) -> None:
        """Update the states of the parts and the space on disks now."""
        for part, state in (await self.states()).items():
            self.metrics.part_ok.labels(part).set(state == "ok")
        for name, folder in self.folders.items():
            if (usage := await to_thread.run_sync(_disk_usage, folder)) is not None:
                size, free = usage
                self.metrics.disk_size_bytes.labels(name).set(size)
                self.metrics.disk_free_bytes.labels(name).set(free)


@dataclass(frozen=True, slots=True)
class _Usage:
    number: int
    memory: int
    """Bytes."""
    cpu: float
    """Seconds."""


def _processes() -> dict[str, _Usage]:
    """Return what this process and its rendering processes use; ended ones count for their processor time."""
    own = psutil.Process()
    times, number, memory = own.cpu_times(), 0, 0
    cpu = times.children_user + times.children_system
    for child in own.children():
        try:
            memory += child.memory_info().rss
            cpu += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile
        number += 1
    return {
        "server": _Usage(1, own.memory_info().rss, times.user + times.system),
        "render": _Usage(number, memory, cpu),
    }


def _disk_usage(folder: Path) -> tuple[int, int] | None:
    """Return the size and the free bytes of the disk of a folder, or None if there is no such folder now."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.total, usage.free


def is_local(request: Request) -> bool:
    """Return whether a program on this machine sent the request directly, not through a proxy.

    A proxy on the same machine connects from a loopback address or through a Unix socket too. It is recognized by its
    headers, by the public name in Host, or by HTTP/1.0, which nginx uses unless configured otherwise. A proxy that
    rewrites Host to a loopback name and sends none of the headers cannot be recognized.
    """
    address = _address(request)
    return (
        address is not None
        and address.is_loopback
        and request.scope["http_version"] != "1.0"
        and _PROXY_HEADERS.isdisjoint(request.headers.keys())
        and _PORT.sub("", request.headers.get("host", "")).lower() in _LOCAL_HOSTS
    )


def _address(request: Request) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address of the caller, or None behind a Unix socket."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
