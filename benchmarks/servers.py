"""imgserve and its floors: starts `imgserve serve`, the bare app, the bare loop and a plain nginx."""

import contextlib
import getpass
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.programs import PYTHON, BenchmarkFailed, Program, free_address, processor_seconds, serving, started

LOOP_THREADS = 2

_QUIET = {
    "IMGSERVE_LOG__ACCESS": "off",
    "IMGSERVE_ORIGINALS__WATCH": "false",
    "IMGSERVE_RENDERING__EFFORT": "once",
}
"""The settings that are not the defaults in most chapters: no access log, originals are not recorded, and a rendition
that is requested often is not encoded again, which would change its ETag."""


@contextlib.contextmanager
def imgserve(originals: Path, folder: Path, **settings: str) -> Iterator[Program]:
    """Run `imgserve serve` with an empty cache in a new folder, quiet, and with these settings."""
    with imgserve_as_shipped(originals, folder, {**_QUIET, **settings}) as program:
        yield program


@contextlib.contextmanager
def imgserve_as_shipped(
    originals: Path, folder: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Program]:
    """Run `imgserve serve` with an empty cache in a new folder: all defaults, except these settings."""
    command = [*PYTHON, "imgserve", "serve", str(originals), "--cache", str(folder / "cache"), "--port", "0"]
    with serving(command, folder, settings) as program:
        yield program


@contextlib.contextmanager
def bare_app(answers: Mapping[str, object], folder: Path) -> Iterator[Program]:
    """Run the bare ASGI app with these answers."""
    folder.mkdir()
    file = folder / "answers.json"
    file.write_text(json.dumps(answers), encoding="utf-8")
    with serving([*PYTHON, "benchmarks.bare_app", str(file)], folder) as program:
        yield program


@contextlib.contextmanager
def plain_nginx(nginx: str, files: Path, folder: Path) -> Iterator[Program]:
    """Run nginx with one worker over a folder of files."""
    with nginx_serving(nginx, folder, f"root {files};", workers=1) as program:
        yield program


@contextlib.contextmanager
def nginx_serving(
    nginx: str, folder: Path, location: str, *, workers: int, modules: Sequence[str] = ()
) -> Iterator[Program]:
    """Run nginx on a free port, its settings and all it writes in a folder."""
    folder.mkdir()
    address, file = free_address(), folder / "nginx.conf"
    temporary = " ".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # The workers of a master that root starts run as another user, who cannot read a temporary folder.
    user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
    file.write_text(
        f"""{"".join(f"load_module {module};" for module in modules)}
        daemon off; {user} worker_processes {workers}; pid {folder / "pid"}; error_log {folder / "error.log"};
        events {{ worker_connections 1024; }}
        http {{
            {temporary} types {{ image/jpeg jpg; }}
            access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
            server {{ listen {address.removeprefix("http://")}; location / {{ {location} }} }}
        }}
        """,
        encoding="utf-8",
    )
    command = [nginx, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(file)]
    with serving(command, folder, address=address) as program:
        yield program


@dataclass(frozen=True, slots=True)
class Job:
    """One picture for the bare loop."""

    path: Path
    width: int
    format: str = "jpg"


@dataclass(frozen=True, slots=True)
class BareLoop:
    """The bare pyvips loop, in a process of its own."""

    process: "subprocess.Popen[str]"

    def run(self, jobs: Sequence[Job], *, threads: int = LOOP_THREADS, calls: str = "thumbnail") -> list[float]:
        """Make these pictures; return the seconds of the whole, then of each."""
        requested = {
            "calls": calls,
            "threads": threads,
            "jobs": [(str(job.path), job.width, job.format) for job in jobs],
        }
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise BenchmarkFailed("the bare loop has no pipes")
        stdin.write(json.dumps(requested) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise BenchmarkFailed("the bare loop ended early")
        seconds: list[float] = json.loads(line)
        return seconds

    def processor_seconds(self) -> float:
        """Return the processor time so far."""
        return processor_seconds(self.process.pid)


@contextlib.contextmanager
def bare_loop(folder: Path) -> Iterator[BareLoop]:
    """Run the bare pyvips loop."""
    folder.mkdir()
    command = [sys.executable, "-m", "benchmarks.bare_loop"]
    with started(command, folder, {"VIPS_CONCURRENCY": "1"}, piped=True) as process:
        yield BareLoop(process)
