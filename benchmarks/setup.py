"""The pace of the benchmark, and what every chapter of it receives."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.peers import Peer
from benchmarks.photographs import Gallery
from benchmarks.steady import Generator


@dataclass(frozen=True, slots=True)
class Pace:
    """The number and length of measurements."""

    rounds: int = 5
    seconds: float = 2.0
    """Of one run of the same request."""
    connections: int = 32
    crowd: int = 500
    pictures: int = 400
    """Beyond the burst, while memory is watched."""

    def turns(self) -> range:
        """Number the rounds."""
        return range(self.rounds)


QUICK = Pace(rounds=1, seconds=0.3, crowd=20, pictures=8)


@dataclass(frozen=True, slots=True)
class Setup:
    """The working folder, the photographs, the programs, and the figures."""

    folder: Path
    gallery: Gallery
    pace: Pace
    figures: Figures
    generator: Generator
    peers: Sequence[Peer] = ()
    nginx: str | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_folder(self) -> Path:
        """Name a folder that is not there yet."""
        return self.folder / f"program-{next(self._numbers)}"
