"""The upload endpoints as a running program."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.api_frame import AUTHORIZED
from tests.prefork import PATIENCE, PreforkedProcess
from tests.servers import Server, environment, until

_SCRIPT = Path(__file__).with_name("upload_app.py")


@dataclass(slots=True)
class UploadServer:
    """A running program that takes uploads, and the folder that they go to."""

    served: Server
    folder: Path

    def post(self, **request: Any) -> httpx2.Response:
        """Send an upload."""
        return self.served.client.post(f"{self.served.base_url}/api/images", **request)

    def put(self, image_id: str, **request: Any) -> httpx2.Response:
        """Send an upload under an id."""
        return self.served.client.put(f"{self.served.base_url}/api/images/{image_id}", **request)

    def files(self) -> list[str]:
        """List what lies in the folder, seen or not."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def memory(self) -> int:
        """Return what memory of its own the server takes, without its rendering processes."""
        return int(psutil.Process(self.served.process.pid).memory_info().rss)


Start = Callable[..., contextlib.AbstractContextManager[UploadServer]]


@contextlib.contextmanager
def upload_server(folder: Path, catalog: Path, **settings: Any) -> Iterator[UploadServer]:
    """Serve uploads into a folder until the block ends."""
    given = json.dumps({"folder": str(folder), "catalog": str(catalog), **settings})
    process = PreforkedProcess([str(_SCRIPT), given], env=environment())
    served = Server(process)
    served.client.headers.update(AUTHORIZED)
    reader = threading.Thread(target=served.read_log, daemon=True)
    reader.start()
    try:
        line = until(lambda: next((line for line in served.lines if "listening on " in line), _alive(served)))
        served.base_url = line.partition("listening on ")[2].strip()
        yield UploadServer(served, folder)
        process.terminate()
        assert process.wait(PATIENCE) == 0, "".join(served.lines)
    finally:
        served.client.close()
        process.kill()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()


def _alive(served: Server) -> str:
    assert served.process.poll() is None, "".join(served.lines)
    return ""


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UploadServer]:
    """Serve uploads for the tests of a module."""
    folder = tmp_path_factory.mktemp("originals")
    with upload_server(folder, tmp_path_factory.mktemp("catalog") / "catalog.sqlite") as running:
        yield running
