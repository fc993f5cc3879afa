"""Mezzanines in a whole server that is hurt: never a wrong picture, never a file left, each original decoded once."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fault_server import FaultServer, Stage, decodes, staged
from tests.disks import mount
from tests.pictures import encoded, noise
from tests.servers import until

LARGE = encoded(noise(2400, 1800), "jpg")
WIDTHS = (120, 240, 360, 480, 600, 720, 840, 960)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Set the stage with a large photograph."""
    with staged(tmp_path) as ready:
        ready.put("large.jpg", LARGE)
        yield ready


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[Path]:
    """Put the cache on a file system that holds no mezzanine."""
    stage.cache.mkdir()
    mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", str(stage.cache))
    yield stage.cache
    subprocess.run(["umount", "--lazy", str(stage.cache)], check=True)  # noqa: S607  wherever the system has it


def made_from(server: FaultServer) -> tuple[float, float]:
    """Count the pictures made from originals and from mezzanines."""
    return tuple(server.figure("renders_made_from_total", what=what) for what in ("original", "mezzanine"))  # type: ignore[return-value]  # two


def mezzanines(stage: Stage) -> list[Path]:
    """List the finished mezzanines."""
    return list(stage.cache.rglob("*.pixels"))


def burst(server: FaultServer, name: str = "large.jpg") -> None:
    """Request every width at once and look at every answer."""
    answers = server.begin_many(name, [f"w={width}" for width in WIDTHS])
    assert all(answer.result().status == 200 and decodes(answer.result().body) for answer in answers)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_page_of_sizes_decodes_its_original_once_in_all_processes(stage: Stage, workers: int) -> None:
    server = stage.serve(workers=workers, RENDERING__PROCESSES=2)
    burst(server)
    assert made_from(server) == (1, len(WIDTHS) - 1)
    until(lambda: len(mezzanines(stage)) == 1)


def test_a_server_killed_in_the_middle_leaves_no_torn_mezzanine(stage: Stage) -> None:
    chance = random.Random(7)
    for number in range(6):
        name = f"{number}.jpg"
        stage.put(name, LARGE)
        server = stage.serve(RENDERING__PROCESSES=2)
        answers = server.begin_many(name, [f"w={width}" for width in WIDTHS])
        until(lambda answers=answers: any(answer.done() for answer in answers))  # type: ignore[misc]  # inferred
        time.sleep(chance.uniform(0.0, 0.1))
        server.stop(signal.SIGKILL)
    server = stage.serve(RENDERING__PROCESSES=2)
    for number in range(6):
        burst(server, f"{number}.jpg")
    assert len(mezzanines(stage)) == 6
    assert not any("not whole" in line for line in server.lines)


def test_on_a_full_disk_every_picture_is_served(stage: Stage, small_disk: Path) -> None:
    server = stage.serve(RENDERING__PROCESSES=2)
    burst(server)
    until(lambda: server.figure("rendering") == 0)
    assert mezzanines(stage) == []
    assert sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file()) < 2_000_000
    server.close()
    assert any("a mezzanine could not be written" in line and "No space left" in line for line in server.lines)
    assert not any("Traceback" in line for line in server.lines)
