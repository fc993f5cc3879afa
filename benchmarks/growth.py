"""How much the server process grows while it makes new renditions, long after its memory tier is full.

python -m benchmarks.growth [--minutes N] [--seconds N] [--memory BYTES] [--clients N]

Runs `imgserve serve` with default settings and a small memory tier, requests renditions of tiny pictures that nobody
requested before, and prints what the server process holds after every so many seconds, by kind of memory.
"""

import argparse
import contextlib
import itertools
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import drive, request
from benchmarks.managed import drawn, settle
from benchmarks.programs import PYTHON, serving

_ORIGINALS = 250
_SIDE = 24
_WIDTHS = range(4, 24)
_QUALITIES = range(30, 80)
"""With the widths as many as the renditions that are stored per original."""
_BATCH = 2000
"""Requests over the same connections."""
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)$")
WANTED = 0.2
"""Megabytes a minute at the end."""


def main() -> int:
    """Measure, print, and return 1 if the growth has not ended."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--seconds", type=float, default=30.0, help="between two rows")
    options.add_argument("--memory", default="5MB", help="size of the memory tier")
    options.add_argument("--clients", type=int, default=4)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="imgserve-growth-") as folder:
        return _measure(Path(folder), given)


def _measure(place: Path, given: argparse.Namespace) -> int:
    originals = place / "originals"
    originals.mkdir()
    for number in range(_ORIGINALS):
        file = originals / f"{number}.jpg"
        file.write_bytes(drawn(number, _SIDE, _SIDE))
        settle(file)
    settings = {"IMGSERVE_CACHE__MEMORY_BYTES": given.memory}
    command = [*PYTHON, "imgserve", "serve", str(originals), "--cache", str(place / "cache"), "--port", "0"]
    with serving(command, place, settings) as program, _driven(program.address, given.clients) as sent:
        rows = [(time.monotonic(), next(sent), _held(program.process))]
        print(f"{'minutes':>8}{'renditions':>12}{'MB':>9}{'MB/min':>9}{'B/rendition':>13}  of which MB", flush=True)
        end = time.monotonic() + given.minutes * 60
        while time.monotonic() < end:
            time.sleep(given.seconds)
            rows.append((time.monotonic(), next(sent), _held(program.process)))
            _print(rows)
    quarter = rows[len(rows) * 3 // 4 :]
    (began, before, at_first), (ended, after, at_last) = quarter[0], quarter[-1]
    grown = (sum(at_last.values()) - sum(at_first.values())) / 1e6 / max(ended - began, 1e-9) * 60
    print(f"last quarter: {after - before:,} renditions, {grown:.3f} MB/min, wanted < {WANTED}")
    return int(grown >= WANTED)


def _print(rows: list[tuple[float, int, dict[str, int]]]) -> None:
    (last_at, last_sent, last), (now, sent, held) = rows[-2:]
    grown = sum(held.values()) - sum(last.values())
    kinds = "  ".join(f"{kind} {size / 1e6:.2f}" for kind, size in sorted(held.items()))
    print(
        f"{(now - rows[0][0]) / 60:8.1f}{sent:12,}{sum(held.values()) / 1e6:9.2f}"
        f"{grown / 1e6 / (now - last_at) * 60:9.2f}{grown / max(1, sent - last_sent):13.0f}  {kinds}",
        flush=True,
    )


@contextlib.contextmanager
def _driven(address: str, clients: int) -> Iterator[Iterator[int]]:
    """Request new renditions until the block ends; the iterator returns how many were requested so far."""
    stop, sent = threading.Event(), [0]
    every = itertools.product(_QUALITIES, _WIDTHS, range(_ORIGINALS))

    def requests() -> Iterator[bytes]:
        for quality, width, original in itertools.islice(every, _BATCH):
            sent[0] += 1
            yield request(f"/img/{original}.jpg?width={width}&format=jpg&quality={quality}")

    def drive_all() -> None:
        while not stop.is_set():
            drive(address, requests(), clients).expect(200)

    thread = threading.Thread(target=drive_all, name="requests")
    thread.start()
    try:
        yield iter(lambda: sent[0], -1)
    finally:
        stop.set()
        thread.join()


def _held(process: int) -> dict[str, int]:
    """Return the private bytes of a process by kind: the heap, other anonymous memory, and mapped files."""
    sizes: dict[str, int] = {}
    kind = ""
    for line in Path(f"/proc/{process}/smaps").read_text(encoding="utf-8").splitlines():
        if found := _MAPPING.match(line):
            name = found[1]
            kind = "heap" if name == "[heap]" else "files" if name.startswith("/") else "anonymous"
        elif line.startswith("Rss:"):
            sizes[kind] = sizes.get(kind, 0) + int(line.split()[1]) * 1024
    return sizes


if __name__ == "__main__":
    sys.exit(main())
