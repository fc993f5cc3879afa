"""Run Python programs in a fork of a process that has imported the package: most of a server's start is imports.

The fork has its own arguments, environment, folder and outputs, as a fresh interpreter would. What differs is the
command line that other processes see. That an interpreter starts too is shown by `test_cli.py` and `test_usage.py`.
"""

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import BinaryIO, Self, TextIO

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds until something that should happen is given up: the machine may be busy with other things."""
_LIBRARIES = [
    "PIL.Image",
    "alembic.command",
    "anyio._backends._asyncio",
    "asyncpg",
    "click",
    "httpx2",
    "imgserve.app",
    "imgserve.cli.images",
    "imgserve.cli.local",
    "imgserve.cli.main",
    "imgserve.cli.serve",
    "imgserve.server.supervisor",
    "jinja2",
    "pi_heif",
    "prometheus_client",
    "psutil",
    "pydantic",
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
    """A running Python program, with the part of `subprocess.Popen[str]` that the tests use.

    `command` is what would follow `python`: `-m module`, `-c code` or a script, and arguments. It reads the file
    `stdin`, or nothing.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path = ROOT,
        env: Mapping[str, str] = os.environ,
        stdout: bool = False,
        stdin: BinaryIO | None = None,
    ) -> None:
        ends = [os.pipe() for _ in range(1 + stdout)]
        with contextlib.ExitStack() as stack:
            writers = [stack.enter_context(Connection(writer, readable=False)) for _, writer in ends]
            given = stdin and stack.enter_context(Connection(os.dup(stdin.fileno()), writable=False))
            self._process: ForkServerProcess = _CONTEXT.Process(
                target=_run, args=(list(command), str(cwd), dict(env), given, writers)
            )
            self._process.start()
        readers: list[TextIO] = [os.fdopen(reader, errors="surrogateescape") for reader, _ in ends]
        self.stderr: TextIO | None = readers[0]
        self.stdout: TextIO | None = readers[1] if stdout else None
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(PATIENCE)
        self.close()

    def close(self) -> None:
        """Close the pipes."""
        for stream in (self.stderr, self.stdout):
            if stream is not None:
                stream.close()

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


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], words: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program with `words` on its standard input to its end and return its outputs, as `subprocess.run` does."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(words.encode())
        stdin.seek(0)
        process = PreforkedProcess(command, cwd=cwd, env=env, stdout=True, stdin=stdin)
    with process, ThreadPoolExecutor(1) as reader:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = reader.submit(process.stderr.read)
        output = process.stdout.read()
        return subprocess.CompletedProcess(command, process.wait(PATIENCE), output, errors.result())


def _run(
    command: list[str], cwd: str, env: dict[str, str], given: Connection | None, outputs: list[Connection]
) -> None:
    """Run the program in this fork, as the interpreter would, and exit with its status."""
    with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 - a device, for its descriptor
        for number in (0, 1):
            os.dup2(nothing.fileno(), number)
    if given is not None:
        os.dup2(given.fileno(), 0)
        given.close()
    for number, output in zip((2, 1), outputs, strict=False):
        os.dup2(output.fileno(), number)
        output.close()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    match command:
        case ["-m", module, *_]:
            sys.argv = command[1:]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *arguments]:
            sys.argv = ["-c", *arguments]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - the tests' own code
        case [script, *_]:
            sys.argv = command
            runpy.run_path(script, run_name="__main__")
