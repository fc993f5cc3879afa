"""Runs the shell commands of README.md on a fresh checkout, which installs the server from nothing."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from tests.pictures import opened

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_URL = re.compile(r"^ +http://127\.0\.0\.1:8000(/img/\S+)$", re.MULTILINE)
_NOT_INHERITED = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTHONPATH", "VIRTUAL_ENV"}
"""Variables of an outer make or Python that would change what the commands do."""
_MOST_SECONDS = 300


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextlib.contextmanager
def running(script: str, checkout: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script in a checkout until the block ends, then stop it and everything that it has started."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    process = subprocess.Popen(
        ["/bin/sh", "-ec", script],
        cwd=checkout,
        env={**inherited, "PORT": str(port), "PYTHON": sys.executable},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(_MOST_SECONDS)


def first_picture(url: str, process: subprocess.Popen[bytes]) -> httpx2.Response:
    """Return the response for a picture as soon as the server listens."""
    deadline = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the commands ended before the server answered"
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(url, headers={"accept": "image/webp,*/*"}, timeout=_MOST_SECONDS)
        time.sleep(0.1)
    raise AssertionError("the server did not start")


def test_the_commands_of_the_readme_serve_its_picture_from_a_fresh_checkout(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script, (path,), port = "".join(_BLOCK.findall(readme)), _URL.findall(readme), _free_port()
    checkout = tmp_path / "imgserve"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)  # noqa: S607  the git of PATH
    with running(script, checkout, port) as process:
        response = first_picture(f"http://127.0.0.1:{port}{path}", process)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/webp")
    picture = opened(response.content)
    assert (picture.width, picture.height) == (800, 450)
