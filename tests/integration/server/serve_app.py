"""A small server to be started, signalled and killed by `test_server.py`; not a test itself."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from imgserve.errors import ConfigError
from imgserve.server.process import ServerOptions
from imgserve.server.supervisor import run
from imgserve.web.middleware import REQUEST_ID

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REQUESTS = Counter("requests", "Requests of all workers.")


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    REQUESTS.inc()
    if scope["path"].startswith("/sleep/"):
        print("sleeping", file=sys.stderr, flush=True)  # noqa: T201  the test waits for this line
        await asyncio.sleep(float(scope["path"].removeprefix("/sleep/")))
    body = metrics() if scope["path"] == "/metrics" else json.dumps(about(scope)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def about(scope: Message) -> dict[str, object]:
    request_id = scope["state"].get(REQUEST_ID)
    return {"pid": os.getpid(), "client": scope["client"], "path": scope["path"], "request_id": request_id}


def metrics() -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    if os.environ.get("TEST_FAIL") == "lifespan":
        await send({"type": "lifespan.startup.failed", "message": "the cache folder is on fire"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    os.write(2, b"closed in good order\n")  # in one piece: several processes say so at a time
    await send({"type": "lifespan.shutdown.complete"})


def make_app() -> Callable[..., Awaitable[None]]:
    if os.environ.get("TEST_FAIL") == "factory":
        raise ConfigError(["originals: no such folder"])
    return app


if __name__ == "__main__":
    sys.exit(run(make_app, ServerOptions(**json.loads(sys.argv[1]))))
