"""Health, readiness and metrics."""

import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from imgserve.errors import NotFound

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
        """Respond with the metrics of all processes in the Prometheus text format.

        Raises:
            NotFound: the caller may not read them.
        """
        if not self._metrics.allows(request):
            raise NotFound
        self._fold()
        return Response(generate_latest(self._registry), headers={**_FRESH, "content-type": CONTENT_TYPE_LATEST})


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
