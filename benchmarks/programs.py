"""Programs that are measured, each in its own session; they end with everything that they started."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_LOG_LINES = 15
_IDLE_LOOK, _IDLE_SHARE, _IDLE_PATIENCE = 0.2, 0.1, 10.0
"""A program is idle if it uses less than a tenth of a core for 0.2 seconds; the wait ends after ten seconds."""
_LISTENING = re.compile(r'listening on (http://[^\s"]+)')
PYTHON = (sys.executable, "-m")
"""Begins the command of a module."""


class BenchmarkFailed(RuntimeError):
    """A program that is measured did not start, or did not respond as it should."""


class Timed(Protocol):
    """Has processor time."""

    def processor_seconds(self) -> float:
        """Return the processor time so far."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs, and where."""

    address: str
    process: int

    def family(self) -> list[psutil.Process]:
        """List the process and all below it."""
        return family(self.process)

    def processor_seconds(self) -> float:
        """Return the processor time so far of the process and those below it, ended ones included."""
        return processor_seconds(self.process)


def family(process: int) -> list[psutil.Process]:
    """List a process and all below it."""
    own = psutil.Process(process)
    return [own, *own.children(recursive=True)]


def processor_seconds(process: int) -> float:
    """Return the processor time so far of a process and those below it, ended ones included."""
    total = 0.0
    for one in family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = one.cpu_times()
            total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def settled_seconds(program: "Timed") -> float:
    """Wait until a program is idle, also after its work that follows a response; return its processor time."""
    end, before = time.monotonic() + _IDLE_PATIENCE, -1.0
    while (now := program.processor_seconds()) - before > _IDLE_SHARE * _IDLE_LOOK and time.monotonic() < end:
        before = now
        time.sleep(_IDLE_LOOK)
    return now


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None, *, piped: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program in a folder; when the block is left, however, it and all that it started are gone."""
    pipe = subprocess.PIPE if piped else None
    with log_of(command, folder).open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(settings or {}), start_new_session=True, text=True,
            stdin=pipe or subprocess.DEVNULL, stdout=pipe or log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    folder: Path,
    settings: Mapping[str, str] | None = None,
    *,
    address: str | None = None,
) -> Iterator[Program]:
    """Run a server until the block ends; it listens at `address`, or prints its address."""
    folder.mkdir(exist_ok=True)
    log = log_of(command, folder)
    with started(command, folder, settings) as process:
        ready = (lambda: address if _accepts(address) else None) if address else (lambda: _announced(log))
        yield Program(_awaited(process, ready, log), process.pid)


def free_address() -> str:
    """Find a port of loopback that nobody uses, for programs that cannot choose one."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return f"http://127.0.0.1:{held.getsockname()[1]}"


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without settings of imgserve, with this project on the Python path."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMGSERVE_")}
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, inherited.get("PYTHONPATH"))))
    return {**inherited, "PYTHONPATH": path, **settings}


def log_of(command: Sequence[str], folder: Path) -> Path:
    """Return the file of a program's output."""
    name = command[len(PYTHON)] if tuple(command[: len(PYTHON)]) == PYTHON else Path(command[0]).name
    return folder / f"{name}.log"


def _awaited(process: "subprocess.Popen[str]", ready: Callable[[], str | None], log: Path) -> str:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if address := ready():
            return address
        time.sleep(0.02)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    state = "is not ready" if process.poll() is None else f"ended with {process.returncode}"
    raise BenchmarkFailed("\n".join([f"{subprocess.list2cmdline(process.args)} {state}:", *lines]))  # type: ignore[arg-type]  # given as a list


def _announced(log: Path) -> str | None:
    found = _LISTENING.search(log.read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else None


def _accepts(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    with socket.socket() as tried:
        return tried.connect_ex((host, int(port))) == 0


def _end(process: "subprocess.Popen[str]") -> None:
    """Terminate the process, then kill what is left of its session; some programs forget their children."""
    try:
        process.terminate()
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # killed below
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
