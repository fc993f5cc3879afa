"""One server process: uvicorn with time limits and a graceful stop."""

import asyncio
import contextlib
import ctypes
import functools
import gc
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import uvicorn

from imgserve.errors import ImgserveError
from imgserve.server.connection import Gate, TimedHttpProtocol, Timeouts
from imgserve.server.hot import hot_path_of

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
AppFactory = Callable[[], AsgiApp]
"""Builds the application in a server process; a module-level function or another picklable callable."""
_ALLOCATOR = {-8: 2, -3: 272 * 1024}
"""glibc: M_ARENA_MAX, and a constant M_MMAP_THRESHOLD, just above the files that are read at once. By default it rises,
and tables that are replaced now and then leave holes in the heap, which grows by some hundred bytes per rendition."""
STOPPED, FAILED = 0, 1
"""Exit statuses: stopped on request, and failed to start or stop."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Listening address, time limits and processes."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 uses any free port."""
    workers: int = 1
    """Server processes."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int = 1000
    """Open connections of each process."""
    grace: float = 20.0
    """Seconds for running requests after SIGTERM."""
    forwarded_allow_ips: tuple[str, ...] = ()
    """Proxies whose X-Forwarded headers are trusted."""
    hot_path: bool = True
    """Send cached responses from the connection; otherwise every request reaches the application."""


class WorkerServer(uvicorn.Server):
    """A uvicorn server that reports when it is ready and does not raise the stopping signal again."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and the sockets."""
        await super().startup(sockets)
        gc.freeze()  # what was created so far stays: a collection need not traverse it, which would delay requests
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`, because uvicorn would raise them again after a clean stop."""
        yield


def serve(
    app_factory: AppFactory,
    options: ServerOptions,
    sockets: Sequence[socket.socket],
    *,
    on_ready: Callable[[], None],
    life: Connection | None = None,
) -> int:
    """Serve on bound sockets until a signal or the end of `life`; return the exit status."""
    server: WorkerServer | None = None
    signals: list[int] = []

    def stop(number: int, _frame: FrameType | None = None) -> None:
        if server is not None:
            server.should_exit = True
            # The second Ctrl+C stops at once. A worker receives a second signal anyway, from its supervisor.
            server.force_exit = life is None and number == signal.SIGINT and signal.SIGINT in signals
        signals.append(number)

    def ready() -> None:
        if life is not None:  # a killed supervisor leaves no worker behind
            asyncio.get_running_loop().add_reader(life.fileno(), ended, life.fileno())
        on_ready()

    def ended(descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        stop(signal.SIGTERM)

    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: None)
    for option, value in _ALLOCATOR.items():
        mallopt(option, value)
    with handled_signals(stop):
        try:
            app = app_factory()
            log_to_stderr()
            server = WorkerServer(_config(app, options), ready)
            server.should_exit = bool(signals)
            server.run(list(sockets))
        except ImgserveError as error:
            _log.error("cannot start: %s", error)
            return FAILED
        except Exception:  # noqa: BLE001  the edge of the process
            _log.exception("cannot start")
            return FAILED
        except SystemExit:  # uvicorn's way out of a start that failed, which it has logged
            return FAILED
    return FAILED if server.lifespan.should_exit else STOPPED


@contextlib.contextmanager
def handled_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGTERM and SIGINT while the block runs."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def log_to_stderr() -> None:
    """Log to standard error, unless the program has configured logging."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def _config(app: AsgiApp, options: ServerOptions) -> uvicorn.Config:
    gate = Gate(options.timeouts, options.max_connections)
    hot_path = hot_path_of(app) if options.hot_path else None
    return uvicorn.Config(
        lambda: app,
        factory=True,
        interface="asgi3",
        http=functools.partial(TimedHttpProtocol, gate=gate, hot_path=hot_path),  # type: ignore[arg-type]  # is called like the class
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(options.forwarded_allow_ips),
        forwarded_allow_ips=list(options.forwarded_allow_ips),
        timeout_keep_alive=options.timeouts.keep_alive,  # type: ignore[arg-type]  # goes to call_later
        timeout_graceful_shutdown=options.grace,  # type: ignore[arg-type]  # goes to wait_for
    )
