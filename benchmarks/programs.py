"""The processes that are measured: started on loopback with a free port, ended whatever happens."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_ROOT = Path(__file__).resolve().parents[1]
_LISTENING = re.compile(r"listening on (http://\S+)")
_START_SECONDS = 60.0


@dataclass(frozen=True)
class Program:
    """A server that runs, and where."""

    address: str
    process: int

    def processor_seconds(self) -> float:
        """Tell the processor time so far of the process and those below it."""
        return processor_seconds(self.process)


def processor_seconds(process: int) -> float:
    """Tell the processor time so far of a process and those below it."""
    own = psutil.Process(process)
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


@contextlib.contextmanager
def imgserve(originals: Path, cache: Path, settings: Mapping[str, str]) -> Iterator[Program]:
    """Run `imgserve serve` with defaults and these settings; give where it runs."""
    arguments = ["imgserve", "serve", str(originals.resolve()), "--cache", str(cache), "--port", "0"]
    with _listening(arguments, cache.parent / "imgserve.log", settings) as started:
        yield started


@contextlib.contextmanager
def bare_app(answers: Mapping[str, object], folder: Path) -> Iterator[Program]:
    """Run the bare app with these answers; give where it runs."""
    file = folder / "answers.json"
    file.write_text(json.dumps(answers), encoding="utf-8")
    with _listening(["benchmarks.bare_app", str(file)], folder / "bare_app.log", {}) as program:
        yield program


class BareLoop:
    """The bare pyvips loop, in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, jobs: Sequence[tuple[str, int, str]]) -> float:
        """Make these pictures; tell the seconds."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(jobs) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return float(answer["seconds"])

    def processor_seconds(self) -> float:
        """Tell the processor time so far."""
        return processor_seconds(self._process.pid)


@contextlib.contextmanager
def bare_loop() -> Iterator[BareLoop]:
    """Run the bare pyvips loop."""
    command = [sys.executable, "-m", "benchmarks.bare_loop"]
    environment = _environment({"VIPS_CONCURRENCY": "1"})
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=_ROOT, env=environment) as process:
        yield BareLoop(process)


@contextlib.contextmanager
def _listening(module: Sequence[str], log: Path, settings: Mapping[str, str]) -> Iterator[Program]:
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], stdout=output, stderr=output, cwd=_ROOT, env=_environment(settings)
        )
    try:
        yield Program(_address(process, log), process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if found := _LISTENING.search(log.read_text(encoding="utf-8")):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(encoding='utf-8')}")


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Take the caller's environment without its settings of imgserve."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMGSERVE_")}
    return {**inherited, **settings}
