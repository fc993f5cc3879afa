"""The floor for hits: a bare ASGI app that sends bytes it holds, on uvicorn as imgserve configures it. Runs by itself.

    bare_app.py ANSWERS.json

The file maps a path to `{"status": 200, "headers": [[name, value], ...], "body": FILE or null}`.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

Send = Callable[[dict[str, Any]], Awaitable[None]]


class BareApp:
    """Sends the configured response for each known path."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = {path: _messages(answer) for path, answer in answers.items()}

    async def __call__(self, scope: dict[str, Any], _receive: object, send: Send) -> None:
        """Send head and body."""
        start, body = self._answers[scope["path"]]
        await send(start)
        await send(body)


def _messages(answer: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"]]
    body = Path(answer["body"]).read_bytes() if answer["body"] else b""
    return (
        {"type": "http.response.start", "status": answer["status"], "headers": headers},
        {"type": "http.response.body", "body": body},
    )


class _Announcing(uvicorn.Server):
    """Prints the address that it listens on."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(f"listening on http://127.0.0.1:{port}\n")
        sys.stdout.flush()


def main() -> None:
    """Serve on a free port of loopback until a signal."""
    app = BareApp(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    config = uvicorn.Config(
        app, port=0, interface="asgi3", http="httptools", loop="uvloop", ws="none", lifespan="off",
        log_level="warning", access_log=False, server_header=False,
    )  # fmt: skip
    _Announcing(config).run()


if __name__ == "__main__":
    main()
