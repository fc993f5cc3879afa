"""`python -m benchmarks` as a person meets it: a table, a file of figures, and nothing left behind."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.pictures import encoded, noise
from tests.prefork import PATIENCE, ROOT
from tests.servers import command_of, environment, until

pytestmark = pytest.mark.alone
BENCHMARKS = (sys.executable, "-m", "benchmarks")
RUN_SECONDS = 4 * PATIENCE
"""A whole measurement, on a machine with other work."""
ROW = re.compile(r"^\| ([^|]+) \| [\d.,]+ \| ([\d., ]+ \.\. [\d.,]+)? ?\| [^|]+ \|[^|]*\|[^|]*\|$")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "one.jpg").write_bytes(encoded(noise(640, 480), "jpg"))
    (folder / "below").mkdir()
    (folder / "below" / "two.jpeg").write_bytes(encoded(noise(500, 700), "jpg"))
    return folder


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which few peers are found, with a temporary folder of its own."""
    return environment(PATH=str(tmp_path), TMPDIR=str(tmp_path))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("hits", {"memory hit / bare app, same headers": ">= 0.9", "304 / memory hit": ">= 1.3"}),
        (
            "burst,cold,crowd memory",
            {
                "80 more widths": None,
                "burst of 2 photographs x 8 widths: imgserve / bare loop, 2 threads": ">= 2.5",
                "renderings for 20 clients of one cold picture": "= 1",
                "memory over 8 more cold pictures: last quarter / first": "<= 1.1",
            },
        ),
        (
            "limits,formats",
            {
                "encode jpg: time of imgserve / bare call": "<= 1.3",
                "16 further avif: imgserve / bare loop, 2 threads": ">= 5",
            },
        ),
        ("busy alone", {"cold 0 megapixel picture / script": "<= 1.15"}),
    ],
)
def test_a_quick_run_prints_a_table_and_writes_the_same_as_json(
    photographs: Path, tmp_path: Path, alone: dict[str, str], words: str, expected: dict[str, str | None]
) -> None:
    command = [*BENCHMARKS, str(photographs), "--quick"]
    options = ["--only", words, "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    head, table = done.stdout.split("|---|--:|--:|---|---|---|\n")
    written = json.loads((tmp_path / "figures.json").read_text())
    figures = {figure["name"]: figure for figure in written["figures"]}
    assert head.count("Skipped ") + head.count("Peer: ") == 3
    assert [ROW.fullmatch(row)[1] for row in table.splitlines()] == list(figures)  # type: ignore[index]  # else it is no row
    assert len(figures) == len(written["figures"])
    assert {name: figures[name]["wanted"] for name in expected if name in figures} == {
        name: wanted for name, wanted in expected.items() if wanted
    }
    assert written["photographs"] == ["500x700", "640x480"]
    assert _left(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "background"), [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True)]
)
@pytest.mark.parametrize("measuring", [True, False])
def test_what_was_started_is_gone_when_the_benchmark_is_interrupted(
    photographs: Path, tmp_path: Path, alone: dict[str, str], number: int, measuring: bool, background: bool
) -> None:
    command = [*BENCHMARKS, str(photographs), "--only", "cold", "--rounds", "99"]
    # As a shell without job control starts what ends in `&`; the child inherits that.
    inherited = signal.signal(signal.SIGINT, signal.SIG_IGN) if background else signal.getsignal(signal.SIGINT)
    try:
        process = subprocess.Popen(command, cwd=tmp_path, env=alone, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, inherited)
    with process:
        assert process.stdout is not None
        until(lambda: _left(tmp_path))
        if measuring:
            next(line for line in process.stdout if line.startswith("| first picture"))
        process.send_signal(number)
        assert process.wait(PATIENCE) == 130
    assert _left(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_peer_that_does_not_start_is_reported_and_nothing_is_left(
    photographs: Path, tmp_path: Path, alone: dict[str, str]
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'out of order'\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    command = [*BENCHMARKS, str(photographs), "--quick", "--only", "burst"]
    done = subprocess.run(
        [*command, "--thumbor", str(broken)], cwd=tmp_path, env=alone, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ended with 3" in done.stderr
    assert "out of order" in done.stderr
    assert _left(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "told"), [(("--only", "hots"), "received hots"), ((), "no upright JPEG"), (("--rounds", "0"), "0")]
)
def test_a_mistake_is_reported_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    done = subprocess.run(
        [*BENCHMARKS, str(tmp_path), *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert told in done.stderr


def _left(folder: Path) -> list[int]:
    """List processes that were started to work in this temporary folder."""
    return [one.pid for one in psutil.process_iter() if f"{folder}/imgserve-benchmark-" in command_of(one)]


def test_the_other_measurements_are_listed_and_explain_themselves(tmp_path: Path) -> None:
    done = subprocess.run(
        [*BENCHMARKS, "--list"], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        timeout=PATIENCE, check=True,
    )  # fmt: skip
    scripts = {line.removeprefix("python -m benchmarks.") for line in done.stdout.splitlines() if "python -m" in line}
    here = [
        path for path in (ROOT / "benchmarks").glob("*.py") if 'if __name__ == "__main__"' in path.read_text("utf-8")
    ]
    assert scripts == {path.stem for path in here} - {"__main__", "bare_app", "bare_loop"}
