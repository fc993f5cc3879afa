"""A real nginx, in front of a server under test."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import until

NGINX = shutil.which("nginx")
needs_nginx = pytest.mark.skipif(NGINX is None and "CI" not in os.environ, reason="nginx is not installed")


def free_address() -> str:
    """Return an address of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def answers(address: str) -> bool:
    """Return whether somebody listens."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@contextlib.contextmanager
def nginx(place: Path, address: str, http: str) -> Iterator[str]:
    """Run nginx with the directives of an http block that listens on an address; yield its URL."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {place / kind};" for kind in kinds)
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    file = place / "nginx.conf"
    file.write_text(
        f"daemon off; {user} worker_processes 1; pid {place / 'pid'}; error_log {place / 'error.log'};\n"
        f"events {{ }}\nhttp {{\n{temporary} access_log off; sendfile on;\n{http}\n}}\n"
    )
    command = [NGINX or "nginx", "-e", str(place / "error.log"), "-p", str(place), "-c", str(file)]
    process = subprocess.Popen(command)
    try:
        until(lambda: answers(address) or process.poll() is not None)
        assert process.poll() is None, (place / "error.log").read_text()
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)
