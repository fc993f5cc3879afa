"""The server under test as its users meet it: a process of its own on a real socket. Starts, asks and ends it."""

import contextlib
import http.client
import http.server
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx2
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.prefork import PATIENCE, ROOT, PreforkedProcess, run

T = TypeVar("T")

Run = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command of imgserve to its end."""


_LISTENING = re.compile(r'listening on (http://[^\s"]+)')


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a command: the caller's own without any setting of imgserve, and `settings`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMGSERVE_")}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


def imgserve(*arguments: object, cwd: Path, words: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of imgserve, with `words` on its standard input, to its end."""
    return run(["-m", "imgserve", *map(str, arguments)], cwd=cwd, env=environment(**settings), words=words)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over a bare socket."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(slots=True)
class Server:
    """A running server, and what it has logged."""

    process: subprocess.Popen[str] | PreforkedProcess
    lines: list[str] = field(default_factory=list)
    base_url: str = ""
    client: httpx2.Client = field(default_factory=lambda: httpx2.Client(headers={"accept": "*/*"}, timeout=PATIENCE))

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = self.base_url.removeprefix("http://").rpartition(":")
        return host.strip("[]"), int(port)

    def get(self, target: str, **headers: str) -> httpx2.Response:
        """Request a path with its query; underscores in header names stand for dashes."""
        return self.ask("GET", target, **headers)

    def ask(self, method: str, target: str, **headers: str) -> httpx2.Response:
        """Send a request with any method."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, self.base_url + target, headers=fields)

    def get_exactly(self, target: str | bytes) -> Answer:
        """Request a target as it is spelled; other clients tidy up dots and escapes."""
        octets = target if isinstance(target, bytes) else target.encode()
        return self.send(b"GET " + octets + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    def send(self, octets: bytes) -> Answer:
        """Send bytes over a new connection, and read one answer."""
        with socket.create_connection(self.address, timeout=PATIENCE) as connection:
            connection.sendall(octets)
            answer = http.client.HTTPResponse(connection, method=octets.partition(b" ")[0].decode("latin-1"))
            answer.begin()
            body = answer.read()
        return Answer(answer.status, answer.msg, body)

    def figure(self, name: str, **labels: str) -> float:
        """Add up a metric over all label values that are not named."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_for(self, text: str) -> str:
        """Wait for a line on standard error."""
        return until(lambda: next((line for line in self.lines if text in line), ""))

    def read_log(self) -> None:
        """Collect standard error until it ends."""
        stderr = self.process.stderr
        if stderr is not None:
            self.lines.extend(iter(stderr.readline, ""))


@contextlib.contextmanager
def server(
    originals: Path, *options: object, env: Mapping[str, str] | None = None, stdout: bool = False
) -> Iterator[Server]:
    """Serve a folder until the block ends: then by SIGTERM and with exit status 0, whatever was left behind killed.

    The cache folder is a temporary one unless `options` name another; nothing is read from the caller's settings. The
    originals are not watched, and renditions not encoded again in idle time, unless `env` says so: most tests count
    what their own requests make the server do.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {
            "IMGSERVE_CACHE__FOLDER": str(folder / "cache"),
            "IMGSERVE_LOG__ACCESS": "off",
            "IMGSERVE_LOG__FORMAT": "console",
            "IMGSERVE_ORIGINALS__WATCH": "false",
            "IMGSERVE_RENDERING__EFFORT": "once",
            "IMGSERVE_RENDERING__PROCESSES": "1",
            "IMGSERVE_RENDERING__TIME_LIMIT": "5m",  # the machine may be busy
            **(env or {}),
        }
        command = ["-m", "imgserve", "serve", str(originals), "--port", "0", *map(str, options)]
        process = PreforkedProcess(command, cwd=folder, env=environment(**settings), stdout=stdout)
        stack.callback(_bury, process)
        served = Server(process)
        reader = threading.Thread(target=served.read_log, daemon=True)
        reader.start()
        stack.callback(reader.join, PATIENCE)
        stack.callback(_kill, process)
        served.base_url = until(lambda: _address(served))
        stack.callback(served.client.close)
        yield served
        process.terminate()
        assert process.wait(PATIENCE) == 0, "".join(served.lines)


@contextlib.contextmanager
def elsewhere(body: bytes = b"", media_type: str = "text/html") -> Iterator[int]:
    """Serve the same at every path of another port, as foreign pages and pictures; yield the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", media_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_port
        listening.shutdown()
        thread.join()


def _address(served: Server) -> str:
    found = _LISTENING.search("".join(served.lines))
    assert found or served.process.poll() is None, "".join(served.lines)
    return found[1] if found else ""


def _kill(process: subprocess.Popen[str] | PreforkedProcess) -> None:
    """End the process and all below it; nothing happens to one that has ended by itself."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
    process.wait(PATIENCE)


def _bury(process: subprocess.Popen[str] | PreforkedProcess) -> None:
    if process.stderr is not None:
        process.stderr.close()


def until(found: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Return what is found, at the latest by an attempt that begins after this time, however long each takes."""
    deadline = time.monotonic() + seconds
    while True:
        last = time.monotonic() >= deadline
        value = found()
        if value:
            return value
        assert not last, "nothing came of it"
        time.sleep(0.02)


def settled(path: Path, data: bytes) -> Path:
    """Write a file that looks an hour old, so that what is made of it is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    return path


def rendering_processes() -> list[psutil.Process]:
    """List the rendering processes of this process; servers of other tests may be its children too."""
    return [child for child in psutil.Process().children() if "imgserve.rendering.worker" in command_of(child)]


def command_of(process: psutil.Process) -> str:
    """Return the command of a process, or nothing of one that is gone meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def resume(process: psutil.Process) -> None:
    """Let a suspended process go on, if it is still there."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()
