"""A whole server in a process of its own, to be hurt: its children, its figures, its log. Asserts nothing."""

import contextlib
import http.client
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pyvips

from tests.pictures import encoded, noise
from tests.prefork import PATIENCE, PreforkedProcess
from tests.servers import environment, until

_OLD = 60.0
"""Seconds since the originals of a test were last changed: they count as settled."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def code(self) -> str:
        """The machine code of a problem."""
        found = re.search(rb'"code": *"(\w+)"', self.body)
        return found[1].decode() if found else ""

    @property
    def outcome(self) -> str:
        """Where the picture came from, as Cache-Status tells it."""
        return self.headers.get("cache-status", "")


class FaultServer:
    """A running server, and what it has written."""

    def __init__(self, folder: Path, cache: Path, settings: dict[str, object], workers: int) -> None:
        self.cache = cache
        given = {
            "LOG__ACCESS": "off",
            "LOG__FORMAT": "console",
            "ORIGINALS__WATCH": "false",
            "RENDERING__PROCESSES": 1,
            "RENDERING__TIME_LIMIT": "5m",  # of a test about something else: the machine may be busy
        } | settings
        self.process = PreforkedProcess(
            ["-m", "imgserve", "serve", str(folder), "--cache", str(cache), "--port", "0", "--workers", str(workers)],
            cwd=folder.parent,
            env=environment(**{f"IMGSERVE_{name}": str(value) for name, value in given.items()}),
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._clients = ThreadPoolExecutor(600)
        try:
            self.port = int(until(self._listening).partition("listening on ")[2].split()[0].rpartition(":")[2])
        except BaseException:
            self.close()  # a server that is slow to start would go on beside every later test
            raise

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def _listening(self) -> str:
        if self.process.poll() is not None:
            self._reader.join()
            raise AssertionError("the server ended: " + "".join(self.lines))
        return next((line for line in self.lines if "listening on http://" in line), "")

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Request over a new connection and read the whole answer; `_` in names of headers stands for `-`."""
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, headers=fields)
            answer = connection.getresponse()
            body = answer.read()  # raises where it is shorter than Content-Length
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, body, time.monotonic() - started)
        finally:
            connection.close()

    def image(self, name: str, query: str = "", method: str = "GET", **headers: str) -> Answer:
        """Request a picture."""
        return self.get(f"/img/{quote(name)}?{query}", method, **headers)

    def begin(self, name: str, query: str = "", **headers: str) -> Future[Answer]:
        """Request a picture without waiting for it."""
        return self._clients.submit(self.image, name, query, **headers)

    def begin_many(self, name: str, queries: list[str]) -> list[Future[Answer]]:
        """Request many pictures at once."""
        return [self.begin(name, query) for query in queries]

    def leave(self, name: str, query: str = "") -> http.client.HTTPConnection:
        """Request a picture on a connection that the test closes whenever it likes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", f"/img/{quote(name)}?{query}")
        return connection

    def figure(self, name: str, **labels: str) -> float:
        """Add up a metric over the label values that are not named."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            found = re.fullmatch(rf"imgserve_{name}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
                total += float(found[2])
        return total

    def renders(self) -> float:
        """Count the renderings that came to an end, well or not."""
        return self.figure("renders_total")

    def deaths(self) -> float:
        """Count the rendering processes lost."""
        return self.figure("render_process_deaths_total")

    def children(self) -> list[psutil.Process]:
        """List the processes below this one."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def busy_child(self) -> psutil.Process:
        """Wait for a child that computes, and return it; one that is still starting does not count."""
        first: dict[psutil.Process, float] = {}
        niceness = psutil.Process(self.process.pid).nice()

        def found() -> psutil.Process | None:
            for child in self.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    # A process lowers its priority at the end of its start.
                    if child.nice() <= niceness:
                        continue
                    seconds = sum(child.cpu_times()[:2])
                    # Added up since it was first seen: beside other work, a low priority gets little at a time.
                    if seconds - first.setdefault(child, seconds) >= 0.1:
                        return child
            return None

        child = until(found)
        assert child is not None
        return child

    @contextlib.contextmanager
    def frozen(self) -> Iterator[list[psutil.Process]]:
        """Stop every rendering process in its tracks, and let it go on."""
        children = self.children()
        for child in children:
            child.suspend()
        try:
            yield children
        finally:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.resume()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End whatever still runs."""
        if self.process.poll() is None:
            for child in self.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            self.process.kill()
        self.process.wait(PATIENCE)
        self._clients.shutdown(cancel_futures=True)
        self._reader.join(PATIENCE)
        if self.process.stderr is not None:
            self.process.stderr.close()


@dataclass(slots=True)
class Stage:
    """A folder of originals and a cache folder for as many servers as a test wants."""

    folder: Path
    cache: Path
    servers: list[FaultServer]

    def put(self, name: str, data: bytes) -> Path:
        """Add an original that looks settled."""
        path = self.folder / name
        path.write_bytes(data)
        moment = time.time() - _OLD
        os.utime(path, (moment, moment))
        return path

    def serve(self, *, workers: int = 1, **settings: object) -> FaultServer:
        """Start a server; settings are named as in the environment, without the prefix."""
        server = FaultServer(self.folder, self.cache, settings, workers)
        self.servers.append(server)
        return server


@contextlib.contextmanager
def staged(place: Path) -> Iterator[Stage]:
    """Set a stage with two originals, a.png and b.jpg; end every server afterwards."""
    stage = Stage(place / "originals", place / "cache", [])
    stage.folder.mkdir()
    stage.put("a.png", PNG)
    stage.put("b.jpg", JPEG)
    yield stage
    for server in stage.servers:
        server.close()


def decodes(data: bytes) -> bool:
    """Decode a picture to its last pixel."""
    try:
        return bool(pyvips.Image.new_from_buffer(data, "", fail_on="warning").copy_memory().width)
    except pyvips.Error:
        return False


def gone(process: psutil.Process) -> bool:
    """Return whether a process has ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


PNG = encoded(noise(1200, 900), "png")
JPEG = encoded(noise(800, 600), "jpg")
SLOW = {"FORMATS__EFFORTS__AVIF": 9}
"""Settings under which AVIF takes seconds at a width of 250, and minutes at the width of an original."""
