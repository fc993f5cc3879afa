"""The files of the package that one action visits in the server process.

    python -m benchmarks.visited [--files]

Runs `imgserve serve` with default settings in the main thread and sends it requests from another thread. A file counts
when one of its functions is called or resumed, in any thread of the server, between the request and the end of the
response. For a new watched file, it counts from the moment the file appears until the server pauses, after its record
is in the catalog, which is read directly. Not counted are:

- the code that runs while a module is imported, and what happens once only: each action runs once before the count;
- periodic work: each action is counted three times, with new pictures, and a file counts if every round visited it;
- the rendering processes.
"""

import argparse
import contextlib
import http.client
import os
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import imgserve
from imgserve.cli import main as run_command
from tests.pictures import encoded, noise

_PACKAGE = f"{Path(imgserve.__file__).parent}/"
_KEY = "visited-" + "0" * 32
_ROUNDS = 3
_TIMEOUT = 60.0
_POLL = 0.02
_PAUSE = 0.35
"""Seconds without a new file after the record, in which it is published; shorter than most periods of the server."""
_IDLE = 2.0
"""Seconds between two actions, in which the server finishes what it does after a response."""
_HOUR = 3600


class Recorder:
    """Collects the code that is called, in this thread and in those that it starts."""

    def __init__(self) -> None:
        self._called: set[CodeType] | None = None

    def install(self) -> None:
        """Start to profile; without a recording this costs one comparison for each call."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        called = self._called
        if called is not None and event == "call":
            called.add(frame.f_code)

    @contextlib.contextmanager
    def recording(self) -> Iterator[set[CodeType]]:
        """Collect the code that is called until the block ends."""
        self._called = called = set[CodeType]()
        try:
            yield called
        finally:
            self._called = None


class Client:
    """Sends requests and stores files, from a thread that is not profiled."""

    def __init__(self, port: int, originals: Path) -> None:
        self._port = port
        self._originals = originals
        self._drawn = 0

    def status(self, method: str, path: str, body: bytes | None = None) -> int:
        """Send a request on a connection of its own, read the response to its end, return its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        headers = {"Authorization": f"Bearer {_KEY}", "Content-Type": "application/octet-stream"}
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
            return response.status

    def until(self, path: str) -> None:
        """Wait until the server responds with 200."""
        end = time.monotonic() + _TIMEOUT
        while True:
            with contextlib.suppress(OSError):
                if self.status("GET", path) == 200:
                    return
            assert time.monotonic() < end, path
            time.sleep(0.1)

    def draw(self) -> bytes:
        """Return a JPEG like no other."""
        self._drawn += 1
        return encoded(noise(600 + self._drawn, 400), "jpg")

    def prepare(self) -> Path:
        """Draw a picture next to the folder of originals, with the age of a file that nobody writes to any more."""
        aside = self._originals.with_name(f"picture-{self._drawn}.jpg")
        aside.write_bytes(self.draw())
        os.utime(aside, (time.time() - _HOUR,) * 2)
        return aside

    def move(self, aside: Path) -> str:
        """Move a file among the originals; return its image id."""
        aside.rename(self._originals / aside.name)
        return aside.name

    def until_recorded(self, image_id: str) -> None:
        """Wait until the catalog contains an image, without a request."""
        end = time.monotonic() + _TIMEOUT
        with contextlib.closing(sqlite3.connect(self._originals / ".imgserve" / "catalog.sqlite")) as catalog:
            while not catalog.execute("SELECT 1 FROM images WHERE id = ?", [image_id.encode()]).fetchone():
                assert time.monotonic() < end, image_id
                time.sleep(_POLL)

    def recorded(self) -> str:
        """Add an original and wait for its record; return its image id."""
        image_id = self.move(self.prepare())
        self.until(f"/api/images/{image_id}")
        return image_id

    def rendered(self) -> str:
        """Add an original and request a rendition; return its image id."""
        image_id = self.recorded()
        self.until(f"/img/{image_id}?width=200")
        return image_id


@dataclass(frozen=True)
class Action:
    """What is counted."""

    name: str
    count: Callable[[Recorder], set[CodeType]]
    """Do it once, with new pictures; return the code that was called meanwhile."""


def actions(client: Client) -> list[Action]:
    """List the actions whose files are counted."""
    # The second is the path of older versions.
    purges = ("/api/purge/{}", "/api/images/{}/purge")
    purge = next(path for path in purges if client.status("POST", path.format(client.rendered())) == 200)

    def requested(recorder: Recorder, method: str, path: str, body: bytes | None = None) -> set[CodeType]:
        time.sleep(_IDLE)
        with recorder.recording() as called:
            status = client.status(method, path, body)
        assert status in {200, 201}, (method, path, status)
        return called

    def watched(recorder: Recorder) -> set[CodeType]:
        aside = client.prepare()
        time.sleep(_IDLE)
        with recorder.recording() as called:
            client.until_recorded(client.move(aside))
            _until_pause(called)
        return called

    return [
        Action("a cold picture", lambda r: requested(r, "GET", f"/img/{client.recorded()}?width=200")),
        Action("an upload", lambda r: requested(r, "POST", "/api/images", client.draw())),
        Action("a new watched file", watched),
        Action("a purge", lambda r: requested(r, "POST", purge.format(client.rendered()))),
    ]


def _until_pause(called: set[CodeType]) -> None:
    known, since = 0, time.monotonic()
    while time.monotonic() < since + _PAUSE:
        time.sleep(_POLL)
        if (files := len(files_of(called.copy()))) > known:
            known, since = files, time.monotonic()


def files_of(called: set[CodeType]) -> set[str]:
    """Return the files of the package in which this code is."""
    files = {code.co_filename for code in called if code.co_name != "<module>"}
    return {file.removeprefix(_PACKAGE) for file in files if file.startswith(_PACKAGE)}


def report(recorder: Recorder, client: Client, *, with_files: bool) -> Iterator[str]:
    """Count each action; yield the lines of the report."""
    client.until("/readyz")
    for action in actions(client):
        action.count(recorder)
        visited = set.intersection(*(files_of(action.count(recorder)) for _ in range(_ROUNDS)))
        yield f"{action.name}: {len(visited)} files"
        if with_files:
            yield from (f"    {file}" for file in sorted(visited))


def main() -> None:
    """Run the server in this thread until another has counted; print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", action="store_true", help="list the files too")
    options = parser.parse_args()
    recorder, output, complete = Recorder(), os.fdopen(os.dup(1), "w"), threading.Event()
    with tempfile.TemporaryDirectory(prefix="imgserve-visited-") as folder:
        originals, port = Path(folder) / "originals", _free_port()
        originals.mkdir()
        log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)  # the server logs there
        os.environ["IMGSERVE_ACCESS__ADMIN_KEY"] = _KEY

        def count() -> None:
            try:
                for line in report(recorder, Client(port, originals), with_files=options.files):
                    print(line, file=output, flush=True)
                complete.set()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=count).start()
        recorder.install()
        sys.argv = ["imgserve", "serve", str(originals), "--cache", f"{folder}/cache", "--port", str(port)]
        try:
            run_command()
        finally:
            if not complete.is_set():
                sys.exit(1)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
