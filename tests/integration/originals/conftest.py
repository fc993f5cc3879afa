"""A folder of originals, files that come in, and disks that give trouble."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgserve.originals.incoming import Incoming
from imgserve.originals.writable import WritableOriginals
from tests.disks import mount


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def place_of(folder: Path) -> WritableOriginals:
    return WritableOriginals(folder)


Bring = Callable[[WritableOriginals, bytes], Incoming]


@pytest.fixture
def bring() -> Iterator[Bring]:
    """Write an incoming file; what a test leaves is dropped."""
    brought: list[Incoming] = []

    def bring(originals: WritableOriginals, data: bytes) -> Incoming:
        incoming = originals.incoming()
        brought.append(incoming)
        incoming.write(data)
        return incoming

    yield bring
    for incoming in brought:
        incoming.drop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    place = tmp_path / "disk"
    place.mkdir()

    def make(options: str) -> Path:
        mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
        return place

    yield make
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)  # noqa: S607  as in tests.disks
