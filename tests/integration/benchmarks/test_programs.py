import signal
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.memory import held, sampled
from benchmarks.programs import BenchmarkFailed, Program, environment, free_address, serving, started
from benchmarks.servers import Job, bare_loop
from tests.pictures import encoded, noise
from tests.servers import until

FORGETFUL = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
print("listening on http://127.0.0.1:9", flush=True)
time.sleep(600)
"""
"""A program that does not end its child."""


def test_a_program_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    folder = tmp_path / "program"
    with serving([sys.executable, "-c", FORGETFUL], folder) as program:
        assert program.address == "http://127.0.0.1:9"
        family = program.family()
        assert len(family) == 2
    until(lambda: not any(_alive(process) for process in family))


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_program_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchmarkFailed, match=r"(?s)ended with 3.*no such luck"),
        serving([sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"], tmp_path / "program"),
    ):
        pass


def test_a_program_that_does_not_mind_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.programs._GRACE_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    with started([sys.executable, "-c", f"{deaf}; time.sleep(600)"], tmp_path, piped=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "deaf\n"
    assert process.returncode == -signal.SIGKILL


def test_settings_of_the_caller_do_not_reach_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGSERVE_CACHE__MEMORY_BYTES", "1")
    given = environment({"IMGSERVE_LOG__ACCESS": "off"})
    assert {name for name in given if name.startswith("IMGSERVE_")} == {"IMGSERVE_LOG__ACCESS"}


def test_memory_is_added_up_over_the_family(tmp_path: Path) -> None:
    with serving([sys.executable, "-c", FORGETFUL], tmp_path / "program") as program:
        alone = held(Program("", program.family()[1].pid))
        with sampled(program) as samples:
            pass
        assert samples.peak > alone > 1_000_000


def test_a_free_address_can_be_listened_on() -> None:
    assert free_address().startswith("http://127.0.0.1:")


@pytest.mark.parametrize("calls", ["thumbnail", "pipeline"])
def test_the_bare_loop_times_the_whole_and_each_picture(tmp_path: Path, calls: str) -> None:
    photograph = tmp_path / "one.jpg"
    photograph.write_bytes(encoded(noise(), "jpg"))
    with bare_loop(tmp_path / "loop") as loop:
        whole, *each = loop.run([Job(photograph, 300), Job(photograph, 90, "webp")], calls=calls)
        assert loop.processor_seconds() > 0
    assert len(each) == 2
    assert 0 < max(each) <= whole
