"""The server under test in a thread of the test, so that a test can see both sides of its sockets."""

import asyncio
import contextlib
import dataclasses
import functools
import socket
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette

from imgserve.app import create_app
from imgserve.config import Config
from imgserve.server.connection import Timeouts
from imgserve.server.hot import HotPath
from imgserve.server.process import ServerOptions, WorkerServer, _config
from imgserve.server.sockets import bind, unbind
from tests.prefork import PATIENCE

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class ThreadServer:
    """A running server, its parts within reach."""

    app: Starlette
    server: WorkerServer
    address: tuple[str, int]
    loop: asyncio.AbstractEventLoop

    @property
    def hot(self) -> HotPath:
        """Its hot path."""
        hot: HotPath = self.app.state.hot_path
        return hot

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Do something on the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(self.address, timeout=PATIENCE)


@contextlib.contextmanager
def thread_server(
    originals: Path,
    cache: Path,
    *,
    hot_path: bool = True,
    timeouts: Timeouts | None = None,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[ThreadServer]:
    """Serve a folder until the block ends."""
    sections: dict[str, dict[str, object]] = {
        # A file that is recorded is looked at anew, and a rendition that is encoded again has another tag: neither is
        # hot any more.
        "originals": {"folder": originals, "watch": False},
        "cache": {"folder": cache},
        "rendering": {"processes": 1, "effort": "once"},
        "log": {"access": "off"},
    }
    for name, values in (settings or {}).items():
        sections[name] = {**sections.get(name, {}), **values}
    app = create_app(Config.model_validate(sections))
    options = ServerOptions(
        timeouts=timeouts or Timeouts(), hot_path=hot_path, grace=5.0, forwarded_allow_ips=("127.0.0.1",)
    )
    sockets = bind("127.0.0.1", 0)
    ready: Future[asyncio.AbstractEventLoop] = Future()
    server = WorkerServer(_config(app, options), lambda: ready.set_result(asyncio.get_running_loop()))
    thread = threading.Thread(target=functools.partial(server.run, sockets))
    thread.start()
    try:
        yield ThreadServer(app, server, sockets[0].getsockname(), ready.result(PATIENCE))
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        unbind(sockets)
