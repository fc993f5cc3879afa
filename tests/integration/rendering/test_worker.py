"""Inside a rendering process, without its sandbox: its discipline, and that it reads the requested file or none."""

import json
import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest

from imgserve.errors import ImageNotFound, OriginalChanged, TooLarge
from imgserve.model import Limits, file_version
from imgserve.rendering.wire import ProcessLimits, RenderJob
from imgserve.rendering.worker import start
from imgserve.transform import Transform
from tests.pictures import encoded, noise
from tests.worker import render_file

PROCESS_LIMITS = ProcessLimits(niceness=6, memory_bytes=1_500_000_000, sandbox="off")
PNG = encoded(noise(80, 60), "png")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """Start one process as a server would, without its server."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(start, PROCESS_LIMITS).result()
        yield pool


def job(path: Path, transform: Transform | None = None, *, limits: Limits | None = None) -> RenderJob:
    state = path.stat()
    version = file_version(state.st_mtime_ns, state.st_size)
    return RenderJob(str(path), version, transform or Transform(width=20), limits or Limits())


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    return path


def test_a_file_is_rendered_and_the_time_reported(process: ProcessPoolExecutor, original: Path) -> None:
    made = process.submit(render_file, job(original)).result()
    assert (made.rendition.width, made.rendition.height, made.rendition.media_type) == (20, 15, "image/png")
    assert made.seconds > 0


def test_a_warning_of_libvips_names_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "warn\ning.png"
    path.write_bytes(PNG[:33] + b"\0\0\0\1pHYs\0" + zlib.crc32(b"pHYs\0").to_bytes(4, "big") + PNG[33:])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(start, PROCESS_LIMITS).result()
        pool.submit(render_file, job(path)).result()
    warnings = [line for line in capfd.readouterr().err.splitlines() if "pHYs" in line]
    assert warnings
    for line in warnings:
        level, source, message, exception = json.loads(line)
        assert (level, source, exception) == (logging.WARNING, "pyvips", "")
        assert message.endswith(f"({str(path)!r})")


def test_a_process_has_what_its_discipline_allows_and_no_more(process: ProcessPoolExecutor) -> None:
    own = os.nice(0)
    assert process.submit(os.nice, 0).result() == min(19, own + 6)
    # The optional encoders are not counted.
    soft, hard = process.submit(resource.getrlimit, resource.RLIMIT_AS).result()
    assert 1_500_000_000 <= soft == hard < 1_700_000_000
    assert process.submit(resource.getrlimit, resource.RLIMIT_CORE).result() == (0, 0)


def test_a_discipline_is_entered_once(process: ProcessPoolExecutor, original: Path) -> None:
    before = process.submit(os.nice, 0).result()
    for _ in range(3):
        process.submit(start, PROCESS_LIMITS).result()
        process.submit(render_file, job(original)).result()
    assert process.submit(os.nice, 0).result() == before


def test_a_file_that_was_replaced_since_is_not_rendered(process: ProcessPoolExecutor, original: Path) -> None:
    asked = job(original)
    original.write_bytes(encoded(noise(90, 60), "png"))
    with pytest.raises(OriginalChanged) as caught:
        process.submit(render_file, asked).result()
    assert (caught.value.retry_after, caught.value.status) == (1, 503)


def test_a_file_of_the_same_size_and_another_time_is_another_version(
    process: ProcessPoolExecutor, original: Path
) -> None:
    asked = job(original)
    os.utime(original, ns=(1, original.stat().st_mtime_ns + 1))
    with pytest.raises(OriginalChanged):
        process.submit(render_file, asked).result()


def _removed(path: Path) -> None:
    path.unlink()


def _linked(path: Path) -> None:
    path.rename(path.with_name("b.png"))
    path.symlink_to("b.png")


def _made_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [_removed, _linked, _made_a_pipe, _made_a_folder])
def test_what_is_no_file_any_more_is_not_there(process: ProcessPoolExecutor, original: Path, change: object) -> None:
    asked = job(original)
    assert callable(change)
    change(original)
    with pytest.raises(ImageNotFound):
        process.submit(render_file, asked).result(10)


def test_a_file_beyond_the_limit_is_refused_by_name_and_not_read(process: ProcessPoolExecutor, original: Path) -> None:
    with original.open("r+b") as file:
        file.truncate(4 * 1024**3)
    with pytest.raises(TooLarge, match="original_bytes"):
        process.submit(render_file, job(original, limits=Limits(original_bytes=1000))).result()


CHILD = """
import os, time
from imgserve.rendering.wire import ProcessLimits
from imgserve.rendering.worker import start
start(ProcessLimits())
print(os.getpid(), flush=True)
time.sleep(600)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_process_dies_with_the_server_however_that_dies() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
