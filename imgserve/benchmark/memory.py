"""How much memory a program and all below it hold, at most, while something happens."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

from imgserve.benchmark.programs import Program

_PAUSE_SECONDS = 0.05
KIND = "PSS" if psutil.LINUX else "USS"
"""Proportional: a page that several processes share counts once in all. Elsewhere only what is unshared is known."""


@dataclass(slots=True)
class Samples:
    """Bytes over time, added up over processes."""

    values: list[int] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """The most of all samples."""
        return max(self.values)


@contextlib.contextmanager
def sampled(program: Program) -> Iterator[Samples]:
    """Sample until the block is left, and at its end."""
    samples, stop = Samples(), threading.Event()

    def sample() -> None:
        while not stop.wait(_PAUSE_SECONDS):
            samples.values.append(held(program))

    thread = threading.Thread(target=sample, name="memory samples")
    thread.start()
    try:
        yield samples
        samples.values.append(held(program))
    finally:
        stop.set()
        thread.join()


def held(program: Program) -> int:
    """Tell the bytes that a program and all below it hold now."""
    total = 0
    for process in program.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += getattr(process.memory_full_info(), KIND.lower())
    return total
