"""Health, readiness and metrics, and the gauges that are updated now and then."""

import hmac
import ipaddress
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import psutil
from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from imgserve.cache import TieredCache, TierStats
from imgserve.errors import NotFound
from imgserve.metrics import Metrics

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


class Operations:
    """Endpoints outside the picture path."""

    def __init__(
        self, check: Check, registry: CollectorRegistry, fold: Callable[[], None], *, metrics: MetricsAccess
    ) -> None:
        """Create the endpoints; `fold` completes the metrics of the registry before they are read."""
        self._check = check
        self._registry = registry
        self._fold = fold
        self._metrics = metrics

    async def alive(self, _request: Request) -> Response:
        """Respond with 200: the event loop runs."""
        return PlainTextResponse("ok\n", headers=_FRESH)

    async def ready(self, _request: Request) -> Response:
        """Respond with 200 if pictures can be served, else 503, and with the state of each part."""
        parts = dict(await self._check())
        failed = any(state.startswith("failed") for state in parts.values())
        body = json.dumps({"status": "failed" if failed else "ok", "parts": parts}, indent=1) + "\n"
        return Response(body, 503 if failed else 200, _FRESH, "application/json")

    async def metrics(self, request: Request) -> Response:
        """Respond with the metrics of all processes in the Prometheus text format, or raise NotFound."""
        if not self._metrics.allows(request):
            raise NotFound
        self._fold()
        return Response(generate_latest(self._registry), headers={**_FRESH, "content-type": CONTENT_TYPE_LATEST})


_GAUGES_EVERY = 5.0
"""Seconds."""


class Gauges:
    """Updates the metrics of cache and memory of one server process."""

    def __init__(self, cache: TieredCache, metrics: Metrics) -> None:
        self._cache = cache
        self._metrics = metrics
        self._before: Mapping[str, TierStats] = {}

    async def run(self) -> None:
        """Update now and after each interval, until cancelled."""
        while True:
            await self.update()
            await anyio.sleep(_GAUGES_EVERY)

    async def update(self) -> None:
        """Update the metrics now."""
        metrics, before = self._metrics, self._before
        self._before = await self._cache.stats()
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
        for kind, size in (await to_thread.run_sync(_resident)).items():
            metrics.memory_bytes.labels(kind).set(size)


def _resident() -> dict[str, int]:
    """Return the resident memory of this process and of its rendering processes."""
    own = psutil.Process(os.getpid())
    sizes = {"server": own.memory_info().rss, "render": 0}
    for child in own.children():
        try:
            sizes["render"] += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile
    return sizes


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
