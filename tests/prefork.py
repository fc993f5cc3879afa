"""Start the real command in a fork of a process that has imported its libraries: most of a server's start is imports.

The fork runs `imgserve.cli.main` with its own arguments, environment, folder and standard error, as a fresh interpreter
would. What differs is the command line that other processes see. Tests of the command itself start an interpreter.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TextIO

_LIBRARIES = [
    "PIL.Image",
    "alembic.command",
    "anyio._backends._asyncio",
    "asyncpg",
    "click",
    "httpx2",
    "imgserve.config",
    "imgserve.web.api.images",
    "jinja2",
    "pi_heif",
    "prometheus_client",
    "psutil",
    "pydantic_settings",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "starlette.applications",
    "uvicorn",
    "watchfiles",
    "yaml",
    "zipstream",
]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(_LIBRARIES)


class PreforkedProcess:
    """A running command, with the part of `subprocess.Popen[str]` that the tests use."""

    def __init__(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        reader, writer = os.pipe()
        with Connection(writer, readable=False) as stderr:
            self._process: ForkServerProcess = _CONTEXT.Process(
                target=_run, args=(list(arguments), str(cwd), dict(env), stderr)
            )
            self._process.start()
        self.stderr: TextIO | None = os.fdopen(reader, errors="replace")
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Return the exit status once it has ended; raise TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired("imgserve", timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()


def _run(arguments: list[str], cwd: str, env: dict[str, str], stderr: Connection) -> None:
    """Run the command in this fork, and exit with its status."""
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 - a device, for its descriptor
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    os.dup2(stderr.fileno(), 2)
    stderr.close()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["imgserve", *arguments]
    from imgserve.cli.main import main  # noqa: PLC0415 - as late as an interpreter would

    main()
