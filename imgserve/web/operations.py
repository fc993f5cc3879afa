"""Health, readiness and metrics."""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from imgserve.errors import NotFound

_FRESH = {"cache-control": "no-store"}
Check = Callable[[], Awaitable[Mapping[str, str]]]
"""Tells the state of each part by name: `ok`, `degraded: ...` (serves on) or `failed: ...`."""


class Operations:
    """Endpoints outside the picture path."""

    def __init__(
        self,
        check: Check,
        registry: CollectorRegistry,
        fold: Callable[[], None],
        *,
        metrics: bool,
        open_metrics: bool,
    ) -> None:
        """Take how readiness is checked, what is collected and what completes it; metrics are for loopback or open."""
        self._check = check
        self._registry = registry
        self._fold = fold
        self._metrics = metrics
        self._open_metrics = open_metrics

    async def alive(self, _request: Request) -> Response:
        """Answer that the event loop turns."""
        return PlainTextResponse("ok\n", headers=_FRESH)

    async def ready(self, _request: Request) -> Response:
        """Answer 200 where pictures can be served, also with a degraded cache, else 503; parts by name."""
        parts = dict(await self._check())
        failed = any(state.startswith("failed") for state in parts.values())
        body = json.dumps({"status": "failed" if failed else "ok", "parts": parts}, indent=1) + "\n"
        return Response(body, 503 if failed else 200, _FRESH, "application/json")

    async def metrics(self, request: Request) -> Response:
        """Answer with the figures of all processes in the Prometheus text format.

        Raises:
            NotFound: the caller is not on this machine and metrics are not open.
        """
        if not (self._metrics and (self._open_metrics or is_loopback(request))):
            raise NotFound
        self._fold()
        return Response(generate_latest(self._registry), headers={**_FRESH, "content-type": CONTENT_TYPE_LATEST})


def is_loopback(request: Request) -> bool:
    """Tell whether the caller is on this machine."""
    if request.client is None:
        return True  # a Unix socket: whoever can open it is on this machine
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
