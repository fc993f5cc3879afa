import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.errors import ConfigError
from imgserve.web.request_log import _CONTROL, AccessLog, AccessRecord, Style, _json_line, _quoted, _text_line

RECORD = AccessRecord(
    time=784111777.5,
    method="GET",
    path="/img/a.jpg?w=400",
    status=200,
    bytes=1234,
    duration=0.0123,
    outcome="memory",
    referrer="https://shop.example/",
    user_agent="Mozilla/5.0",
    remote="192.0.2.1",
    request_id="r1",
)


def written(folder: Path, style: Style, *records: AccessRecord) -> list[str]:
    log = AccessLog(str(folder / "access.log"), style)
    for record in records:
        log.write(record)
    log.close()
    return (folder / "access.log").read_text("utf-8").splitlines()


def test_a_json_line_holds_every_field(tmp_path: Path) -> None:
    (line,) = written(tmp_path, "json", RECORD)
    assert json.loads(line) == {
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


def test_a_text_line_names_every_field(tmp_path: Path) -> None:
    (line,) = written(tmp_path, "text", RECORD)
    assert line.startswith('time="1994-11-06T08:49:37.500Z" method="GET" path="/img/a.jpg?w=400" status=200 bytes=1234')


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/img/a?w=1&s=0123abcd", "/img/a?w=1&s=***"),
        ("/img/a?Signature=x&KEY=y&expires=1", "/img/a?Signature=***&KEY=***&expires=1"),
        ("/img/a?%73=x&key64=y", "/img/a?%73=***&key64=***"),
        ("/img/a?s=x?y=z&s", "/img/a?s=***&s"),
        ("/img/s=1&key=2", "/img/s=1&key=2"),
    ],
)
def test_secrets_in_a_query_are_masked_in_path_and_referrer(path: str, expected: str) -> None:
    fields = json.loads(_json_line(replace(RECORD, path=path, referrer=f"https://a.example{path}")))
    assert (fields["path"], fields["referrer"]) == (expected, f"https://a.example{expected}")


def test_control_characters_cannot_forge_a_text_line(tmp_path: Path) -> None:
    (line,) = written(tmp_path, "text", replace(RECORD, user_agent='x"\r\nstatus=200 \x1b[31m\x9b\u202e\u2028\udcff'))
    assert 'user_agent="x\\"\\x0d\\x0astatus=200 \\x1b[31m\\x9b\\u202e\\u2028\\\\udcff"' in line


@given(st.text(), st.text())
def test_any_text_gives_one_line_of_ascii(path: str, user_agent: str) -> None:
    record = replace(RECORD, path=path, user_agent=user_agent)
    assert _text_line(record).isascii()
    assert _text_line(record).isprintable()
    line = _json_line(record)
    json.loads(line)["path"].encode("utf-8")
    assert "\n" not in line


def test_a_long_field_is_cut() -> None:
    assert len(_json_line(replace(RECORD, user_agent="x" * 100_000))) < 4096


def test_a_file_moved_away_is_opened_anew(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    log.write(RECORD)
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    log.write(replace(RECORD, request_id="r2"))
    log.close()
    assert "r1" in (tmp_path / "access.log.1").read_text("utf-8")
    assert "r2" in (tmp_path / "access.log").read_text("utf-8")


def test_a_full_disk_fails_no_request_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog("/dev/full")
    for _ in range(50):
        log.write(RECORD)
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR]
    log.close()


def test_a_folder_that_is_gone_fails_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(str(folder / "access.log"))
    (folder / "access.log").unlink()
    folder.rmdir()
    log.write(RECORD)
    log.write(RECORD)
    assert len(caplog.records) == 1
    folder.mkdir()
    log.write(RECORD)
    log.close()
    assert "r1" in (folder / "access.log").read_text("utf-8")


def test_a_log_that_is_off_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("off")
    log.write(RECORD)
    log.close()
    assert not log.enabled
    assert capsys.readouterr().out == ""


def test_standard_output_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("stdout", "text")
    log.write(RECORD)
    log.close()
    print("still open")  # noqa: T201  that is the point
    assert capsys.readouterr().out.splitlines()[1:] == ["still open"]


def test_a_target_that_cannot_be_written_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write to"):
        AccessLog(str(tmp_path / "absent" / "access.log"))


@given(st.text(st.characters(max_codepoint=0x180)))
def test_a_plain_value_is_quoted_as_any_other(value: str) -> None:
    spelled = value.translate(_CONTROL).encode("ascii", "backslashreplace").decode()
    assert _quoted(value) == f'"{spelled}"'
