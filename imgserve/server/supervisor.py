"""Several server processes on the same sockets: started, replaced when they die, stopped together."""

import contextlib
import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from imgserve.errors import ConfigError
from imgserve.metrics import remove_process
from imgserve.server.process import FAILED, STOPPED, AppFactory, ServerOptions, handled_signals, log_to_stderr, serve
from imgserve.server.sockets import address_of, bind, unbind

_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SETTLED = 5.0
"""A worker that lived shorter than this is replaced after a pause, to slow down crash loops."""
_PAUSE = 1.0
_MARGIN = 5.0
"""Seconds after the grace time until a worker is killed."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    readiness: Connection | None
    """Receives one message when the worker accepts connections; None after that."""
    started: float
    ready: bool = False


class Supervisor:
    """Runs the configured number of workers.

    uvicorn's own supervisor neither reports readiness, nor delays the replacement of crashing workers, nor limits the
    time to stop.
    """

    def __init__(
        self,
        app_factory: AppFactory,
        options: ServerOptions,
        sockets: Sequence[socket.socket],
        on_ready: Callable[[], None],
    ) -> None:
        self._app_factory = app_factory
        self._options = options
        self._sockets = list(sockets)
        self._on_ready = on_ready
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._due: list[float] = []
        self._all_ready = False
        self._failed = False
        self._signals = 0
        self._alarm, self._bell = socket.socketpair()
        # Workers hold the reading end and see end of file when this process ends in any way.
        self._life, self._held = self._spawn.Pipe(duplex=False)

    def run(self) -> int:
        """Supervise until a signal, or until the workers fail to start; return the exit status."""
        with _metrics_folder() as folder, handled_signals(self._signal):
            self._due = [time.monotonic()] * self._options.workers
            while not self._signals and not self._failed:
                self._start_due()
                self._watch(folder)
            return self._end()

    def _signal(self, _signal: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self._bell.send(b"!")

    def _start_due(self) -> None:
        now = time.monotonic()
        waiting = [moment for moment in self._due if moment > now]
        for _ in range(len(self._due) - len(waiting)):
            readiness, sender = self._spawn.Pipe(duplex=False)
            arguments = (self._app_factory, self._options, self._sockets, sender, self._life)
            process = self._spawn.Process(target=_work, args=arguments)
            process.start()
            sender.close()
            self._workers.append(_Worker(process, readiness, time.monotonic()))
        self._due = waiting

    def _watch(self, folder: str) -> None:
        """Wait for a signal, a worker that became ready or died, or a replacement that is due."""
        starting = [worker.readiness for worker in self._workers if worker.readiness]
        running = [worker.process.sentinel for worker in self._workers]
        pause = max(0.0, min(self._due) - time.monotonic()) if self._due else None
        happened = wait([self._alarm, *starting, *running], pause)
        for worker in list(self._workers):
            if worker.process.sentinel in happened:
                self._remove(worker, folder)
            elif worker.readiness in happened:
                self._mark_ready(worker, worker.readiness)

    def _mark_ready(self, worker: _Worker, readiness: Connection) -> None:
        worker.readiness = None
        with readiness, contextlib.suppress(EOFError):  # it ended instead; its sentinel reports that
            worker.ready = readiness.recv()
        if not self._all_ready and [w.ready for w in self._workers] == [True] * self._options.workers:
            self._all_ready = True
            self._on_ready()

    def _remove(self, worker: _Worker, folder: str) -> None:
        worker.process.join()
        self._workers.remove(worker)
        if worker.process.pid is not None:
            remove_process(folder, worker.process.pid)
        if not self._all_ready and worker.process.exitcode == FAILED:  # the next would fail in the same way
            self._failed = True
            return
        _log.warning("worker %s ended with status %s: replacing it", worker.process.pid, worker.process.exitcode)
        now = time.monotonic()
        self._due.append(now if now - worker.started > _SETTLED else now + _PAUSE)

    def _end(self) -> int:
        """Stop every worker after its running requests; kill those that do not stop, or all on a second signal."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + self._options.grace + _MARGIN
        received = self._signals
        self._alarm.setblocking(False)
        while (alive := self._alive()) and self._signals <= max(received, 1) and time.monotonic() < deadline:
            wait([self._alarm, *(process.sentinel for process in alive)], deadline - time.monotonic())
            with contextlib.suppress(BlockingIOError):
                self._alarm.recv(64)  # so that the next wait sleeps
        for process in self._alive():
            _log.error("worker %s did not end: killing it", process.pid)
            process.kill()
            process.join()
            self._failed = True
        return FAILED if self._failed else STOPPED

    def _alive(self) -> list[SpawnProcess]:
        return [worker.process for worker in self._workers if worker.process.is_alive()]


def _work(
    app_factory: AppFactory, options: ServerOptions, sockets: list[socket.socket], ready: Connection, life: Connection
) -> None:
    sys.exit(serve(app_factory, options, sockets, on_ready=lambda: ready.send(True), life=life))


@contextlib.contextmanager
def _metrics_folder() -> Iterator[str]:
    """Create the folder in which workers share their counters; prometheus_client reads the variable on import."""
    before = os.environ.get(_METRICS_FOLDER)
    with tempfile.TemporaryDirectory(prefix="imgserve-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[_METRICS_FOLDER] = folder
        try:
            yield folder
        finally:
            os.environ.pop(_METRICS_FOLDER)
            os.environ.update({_METRICS_FOLDER: before} if before is not None else {})


def run(app_factory: AppFactory, options: ServerOptions, on_listening: Callable[[str], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status: 0 after a clean stop, 1 if the start failed.

    Logs `listening on <URL>` as soon as connections are accepted, and calls `on_listening` with the URL. With
    several workers the factory runs in each of them and must configure their logging.
    """
    log_to_stderr()
    try:
        sockets = bind(options.host, options.port)
    except ConfigError as error:
        _log.error("%s", error)
        return FAILED
    address = address_of(sockets, options.host)

    def announce() -> None:
        _log.info("listening on %s", address)
        if on_listening is not None:
            on_listening(address)

    try:
        if options.workers == 1:
            return serve(app_factory, options, sockets, on_ready=announce)
        return Supervisor(app_factory, options, sockets, announce).run()
    finally:
        unbind(sockets)
