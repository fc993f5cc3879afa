"""What the access log costs: hits with the default log and without it, next to a bare app that logs nothing.

python -m benchmarks.access_log [--rounds N] [--seconds N]
"""

import argparse
import contextlib
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fetch import fetch
from benchmarks.figures import Figures, at_least, at_most, ratios
from benchmarks.managed import drawn, settle
from benchmarks.programs import PYTHON, Program, serving
from benchmarks.servers import bare_app
from benchmarks.steady import Generator, RepeatedRequest
from imgserve.web.access_log import AccessLog

_PATH = "/img/one.jpg?width=300&quality=95"
_CONNECTIONS = 32
_LINES = 100_000
_KINDS = {
    "pipe": "default settings, log to a pipe",
    "file": "default settings, log to a file",
    "off": "without the log",
    "bare": "bare app",
}


def main() -> None:
    """Run the servers in turn and print ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0)
    given = options.parse_args()
    figures = Figures(print)
    figures.add("one line on the event loop", "us", [_line_cost() for _ in range(given.rounds)], at_most(3))
    with tempfile.TemporaryDirectory(prefix="imgserve-log-") as place, contextlib.ExitStack() as stack:
        programs = {kind: stack.enter_context(_server(Path(place), kind)) for kind in ("pipe", "file", "off")}
        hit = [fetch(program.address, _PATH).expect(200) for _ in range(2) for program in programs.values()][-1]
        headers = [header for header in hit.headers if header[0] != "date"]
        body = Path(place) / "body"
        body.write_bytes(hit.body)
        answers = {"/same": {"status": 200, "headers": headers, "body": str(body)}}
        bare = stack.enter_context(bare_app(answers, Path(place) / "bare"))
        kinds = {kind: RepeatedRequest(program.address, _PATH) for kind, program in programs.items()}
        kinds["bare"] = RepeatedRequest(bare.address, "/same")
        programs["bare"] = bare
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        costs: dict[str, list[float]] = {kind: [] for kind in kinds}
        generator = Generator(shutil.which("wrk"))
        for _ in range(given.rounds):
            for kind, repeated in kinds.items():
                before = programs[kind].processor_seconds()
                done = generator.run(repeated, _CONNECTIONS, given.seconds)
                rates[kind].append(done.rate)
                costs[kind].append((programs[kind].processor_seconds() - before) / done.answers * 1e6)
    for kind in kinds:
        figures.add(f"hits, {_KINDS[kind]}", "answers/s", rates[kind])
        figures.add(f"processor time of a hit, {_KINDS[kind]}", "us", costs[kind])
    for kind in ("pipe", "file"):
        figures.add(f"{_KINDS[kind]} / without the log", "ratio", ratios(rates[kind], rates["off"]), at_least(0.8))
        figures.add("the same by processor time", "ratio", ratios(costs["off"], costs[kind]), at_least(0.8))
        figures.add(f"{_KINDS[kind]} / bare app", "ratio", ratios(rates[kind], rates["bare"]), at_least(1.2))
        figures.add("the same by processor time", "ratio", ratios(costs["bare"], costs[kind]), at_least(1.2))


def _line_cost() -> float:
    """Return the microseconds in which the event loop adds a line of a hit, and the thread writes it."""
    log = AccessLog("/dev/null", "text")
    log.open()
    before = time.process_time()
    for number in range(_LINES):
        what = "GET", b"/img/photographs/one.jpg?width=300&format=webp", 200, 30_000
        who = "memory", b"https://shop.example/page", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", "::1"
        log.write(what, who, b"%b%08x" % (b"0a1b2c3d", number), time.time(), 0.00001)
        if number % 1000 == 0:
            time.sleep(0.001)  # for the thread
    log.close()
    return (time.process_time() - before) / _LINES * 1e6


@contextlib.contextmanager
def _server(place: Path, kind: str) -> Iterator[Program]:
    folder = place / kind
    (folder / "originals").mkdir(parents=True)
    picture = folder / "originals" / "one.jpg"
    picture.write_bytes(drawn(1, 600, 450))
    settle(picture)
    command = [*PYTHON, "imgserve", "serve", str(picture.parent), "--cache", str(folder / "cache"), "--port", "0"]
    if kind == "pipe":
        command = ["/bin/sh", "-c", f"{shlex.join(command)} | cat >/dev/null"]
    with serving(command, folder, {"IMGSERVE_LOG__ACCESS": "off"} if kind == "off" else {}) as program:
        yield program


if __name__ == "__main__":
    main()
