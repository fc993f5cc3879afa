"""The lines of the access log, and how a thread writes them."""

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.errors import ConfigError
from imgserve.web.access_log import AccessLog, Style, Who

WHO = ("memory", b"https://shop.example/", b"Mozilla/5.0", "192.0.2.1")


def write(log: AccessLog, request_id: str = "r1", target: bytes = b"/img/a.jpg?w=400", who: Who = WHO) -> None:
    log.write(("GET", target, 200, 1234), who, request_id.encode(), 784111777.5, 0.0123)


def opened(target: Path | str, style: Style = "json", dropped: Callable[[int], None] | None = None) -> AccessLog:
    log = AccessLog(str(target), style, dropped)
    log.open()
    return log


class Pipe:
    """A named pipe as the target of a log."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"pipe{len(list(folder.iterdir()))}"
        os.mkfifo(self.path)
        self.reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def lines(self) -> list[str]:
        """Read until every writer has closed the pipe."""
        os.set_blocking(self.reader, True)
        with os.fdopen(self.reader, "rb") as pipe:
            return pipe.read().decode().splitlines()


def line_of(style: Style, target: bytes = b"/img/a.jpg?w=400", who: Who = WHO) -> str:
    """Return the line of a request."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = Pipe(Path(folder))
        log = opened(pipe.path, style)
        write(log, target=target, who=who)
        log.close()
        (line,) = pipe.lines()
    assert len(line) < 4096
    return line


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_json_line_holds_every_field() -> None:
    assert json.loads(line_of("json")) == {
        "time": "1994-11-06T08:49:37.500Z",
        "method": "GET",
        "path": "/img/a.jpg?w=400",
        "status": 200,
        "bytes": 1234,
        "duration_ms": 12.3,
        "outcome": "memory",
        "referrer": "https://shop.example/",
        "user_agent": "Mozilla/5.0",
        "remote": "192.0.2.1",
        "request_id": "r1",
    }


def test_a_text_line_names_every_field() -> None:
    assert line_of("text") == (
        'time="1994-11-06T08:49:37.500Z" method="GET" path="/img/a.jpg?w=400" status=200 bytes=1234 duration_ms=12.30 '
        'outcome="memory" referrer="https://shop.example/" user_agent="Mozilla/5.0" remote="192.0.2.1" request_id="r1"'
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/img/a?w=1&s=0123abcd", "/img/a?w=1&s=***"),
        ("/img/a?Signature=x&KEY=y&expires=1", "/img/a?Signature=***&KEY=***&expires=1"),
        ("/img/a?%73=x&key64=y", "/img/a?%73=***&key64=***"),
        ("/admin/setup?token=x", "/admin/setup?token=***"),
        ("/img/a?s=x?y=z&s", "/img/a?s=***&s"),
        ("/img/s=1&key=2", "/img/s=1&key=2"),
    ],
)
def test_secrets_in_a_query_are_masked_in_path_and_referrer(path: str, expected: str) -> None:
    referrer = f"https://a.example{path}".encode()
    fields = json.loads(line_of("json", path.encode(), ("memory", referrer, b"x?s=y", "")))
    assert (fields["path"], fields["referrer"]) == (expected, f"https://a.example{expected}")
    assert fields["user_agent"] == "x?s=y"


def test_control_characters_cannot_forge_a_text_line() -> None:
    line = line_of("text", who=("memory", b"", b'x"\r\nstatus=200 \x1b[31m\x9b\xe2', "\u2028\udcff"))
    assert 'user_agent="x\\"\\x0d\\x0astatus=200 \\x1b[31m\\x9b\\xe2" remote="\\u2028\\\\udcff"' in line


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.binary(max_size=3000), st.text(max_size=3000))
def test_any_bytes_give_one_short_line_of_ascii(target: bytes, referrer: bytes, agent: bytes, remote: str) -> None:
    who = ("memory", referrer, agent, remote)
    text = line_of("text", target, who)
    assert text.isascii()
    assert text.isprintable()
    json.loads(line_of("json", target, who))["path"].encode("utf-8")


@pytest.mark.parametrize("byte", [b"x", b"\xff", b"\x00", b'"'])
def test_a_long_field_is_cut(byte: bytes) -> None:
    for style in ("json", "text"):
        assert "..." in line_of(style, byte * 70_000, ("memory", byte * 70_000, byte * 70_000, "y" * 9000))


def test_a_file_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    log = opened(path)
    write(log)
    until(lambda: path.read_text("utf-8") != "")
    path.rename(moved)
    write(log, "r2")
    log.close()
    assert "r1" in moved.read_text("utf-8")
    assert "r2" in path.read_text("utf-8")
    assert "r2" not in moved.read_text("utf-8")


def test_a_file_cut_to_nothing_is_continued_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = opened(path)
    write(log)
    until(lambda: path.stat().st_size > 0)
    os.truncate(path, 0)
    write(log, "r2")
    log.close()
    assert json.loads(path.read_text("utf-8"))["request_id"] == "r2"


def test_a_full_disk_fails_no_request_is_reported_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    dropped = list[int]()
    log = opened("/dev/full", dropped=dropped.append)
    for _ in range(3):
        for _ in range(50):
            write(log)
        before = len(dropped)
        until(lambda before=before: len(dropped) > before)  # type: ignore[misc]  # mypy infers no default
    log.close()
    assert sum(dropped) == 150
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]


def test_a_folder_that_is_gone_fails_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, dropped = tmp_path / "logs", list[int]()
    folder.mkdir()
    log = opened(folder / "access.log", dropped=dropped.append)
    (folder / "access.log").unlink()
    folder.rmdir()
    for number in (1, 2):
        write(log)
        until(lambda number=number: sum(dropped) == number)  # type: ignore[misc]  # as above
    assert len(caplog.records) == 1
    folder.mkdir()
    write(log, "r3")
    log.close()
    assert "r3" in (folder / "access.log").read_text("utf-8")


def test_a_slow_reader_delays_no_request_and_costs_bounded_memory(tmp_path: Path) -> None:
    pipe, dropped = Pipe(tmp_path), list[int]()
    log = opened(pipe.path, dropped=dropped.append)
    for number in range(40_000):
        write(log, f"{number:08}")
    assert 20_000 < sum(dropped) < 30_000
    received = list[str]()
    reading = threading.Thread(target=lambda: received.extend(pipe.lines()))
    reading.start()
    log.close()
    reading.join()
    assert len(received) + sum(dropped) == 40_000
    ids = [json.loads(line)["request_id"] for line in received]
    assert ids == sorted(set(ids))


def test_a_reader_that_never_reads_does_not_prevent_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imgserve.web.access_log._STOP_SECONDS", 0.2)
    pipe, dropped = Pipe(tmp_path), list[int]()
    log = opened(pipe.path, dropped=dropped.append)
    for _ in range(1000):
        write(log)
    log.close()
    assert "could not be written" in caplog.text
    os.set_blocking(pipe.reader, False)
    arrived = os.read(pipe.reader, 1_000_000).count(b"\n")
    assert 0 < arrived < 1000
    assert sum(dropped) >= 1000 - arrived - 16
    os.close(pipe.reader)


def test_a_pipe_that_does_not_block_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, real = Pipe(tmp_path), os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *more: real(path, flags | os.O_NONBLOCK, *more))
    log = opened(pipe.path)
    for _ in range(1000):
        write(log)
    time.sleep(0.2)
    received = list[str]()
    reading = threading.Thread(target=lambda: received.extend(pipe.lines()))
    reading.start()
    log.close()
    reading.join()
    assert len(received) == 1000


def test_a_log_that_is_off_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    log = opened("off")
    write(log)
    log.close()
    assert not log.enabled
    assert capfd.readouterr().out == ""


def test_standard_output_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    log = opened("stdout", "text")
    write(log)
    log.close()
    print("still open", flush=True)  # noqa: T201  that is the point
    assert capfd.readouterr().out.splitlines()[1:] == ["still open"]


def test_a_log_can_be_opened_again(tmp_path: Path) -> None:
    log = opened(tmp_path / "access.log")
    for request_id in ("r1", "r2"):
        write(log, request_id)
        log.close()
        log.open()
    log.close()
    lines = (tmp_path / "access.log").read_text("utf-8").splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == ["r1", "r2"]


def test_a_target_that_cannot_be_written_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write to"):
        opened(tmp_path / "absent" / "access.log")
