"""Log lines: their formats, the request that they belong to, and the secrets that they do not show."""

import contextvars
import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from imgserve.app.logs import SecretMask, configure_logging, formatter, secrets_of
from imgserve.config import Config
from imgserve.web.middleware import request_id_of_context

KEY = "img_" + "kE-y_" * 9
MASK = SecretMask(["a configured/secret", "short"])


def line(record: logging.LogRecord, *, console: bool = False, secrets: tuple[str, ...] = ()) -> str:
    return formatter(console=console, secrets=secrets).format(record)


def record(message: str, *values: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("imgserve.tests").makeRecord("imgserve.tests", level, "f", 1, message, values, None)
    vars(made).update(extra)
    made.created = 1700000000.25
    return made


def test_a_line_of_json_begins_with_time_level_logger_and_message() -> None:
    shown = line(record("%d of %s", 3, "a\nb", level=logging.WARNING, image_id="a/é.jpg", seconds=5.25))
    assert shown == (
        '{"time":"2023-11-14T22:13:20.250Z","level":"warning","logger":"imgserve.tests","message":"3 of a\\nb",'
        '"image_id":"a/\\u00e9.jpg","seconds":5.25}'
    )


def test_a_line_for_people_is_short_and_cannot_control_the_terminal() -> None:
    first, *more = line(record("a\x1b[31m\n12:00:00 [info] forged\x9b", image_id="\x07c\nd"), console=True).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:20 \[info     \] a\\x1b\[31m +\[tests\] image_id='?\\{1,2}x07c\\{1,2}nd'?", first)
    assert more == ["  12:00:00 [info] forged\\x9b"]


@pytest.mark.parametrize("console", [True, False])
def test_an_exception_is_shown_with_its_lines_and_without_secrets(console: bool) -> None:
    made = record("failed")
    try:
        int("password=hunter22")
    except ValueError:
        made.exc_info = sys.exc_info()
    shown = line(made, console=console)
    assert "Traceback (most recent call last):" in shown
    assert "ValueError: invalid literal for int() with base 10: 'password=***" in shown
    assert "hunter22" not in shown
    assert ("\n" in shown) == console


def test_lines_of_a_request_have_its_id() -> None:
    def handle() -> str:
        request_id_of_context.set("4f00")
        return line(record("inside"))

    assert json.loads(contextvars.copy_context().run(handle))["request_id"] == "4f00"
    assert "request_id" not in json.loads(line(record("outside")))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /img/a.jpg?width=3&signature=s3cr3t failed", "GET /img/a.jpg?width=3&signature=*** failed"),
        ("/img/a.jpg?s=abc&key=def#x", "/img/a.jpg?s=***&key=***#x"),
        ("/img/a.jpg?%6Bey=abc&KEY=def", "/img/a.jpg?%6Bey=***&KEY=***"),
        ("<https://x.example/a?token=abc>", "<https://x.example/a?token=***>"),
        ("postgresql://me:pa:ss@word@db/imgserve", "postgresql://me:***@db/imgserve"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("Authorization: Bearer abcdef", "Authorization: ***"),
        ("authorization: Basic dXNlcjpwYXNz\nHost: a", "authorization: ***\nHost: a"),
        ("[(b'cookie', b'session=1'), (b'host', b'a')]", "[(b'cookie', ***), (b'host', b'a')]"),
        ("{'X-API-Key': 'abc', 'a': 'b'}", "{'X-API-Key': ***, 'a': 'b'}"),
        ("sent bearer abcdefghijklmnop to it", "sent bearer *** to it"),
        ("password=hunter2, user=me", "password=***, user=me"),
        ('{"admin_key": "abc def", "a": 1}', '{"admin_key": ***, "a": 1}'),
        ("IMGSERVE_METRICS__TOKEN=abc x", "IMGSERVE_METRICS__TOKEN=*** x"),
        (f"the key {KEY} is wrong", "the key img_*** is wrong"),
        ("with a configured/secret in it", "with *** in it"),
        ("with a%20configured%2Fsecret in it", "with *** in it"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert MASK.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "listening on http://127.0.0.1:8000",
        "a short name that resembles a secret stays",
        "the key 12ab opens nothing: it is for a folder of the site shop",
        "/img/a.jpg?width=300&keyword=a&format=webp",
        "the API is closed, since the key file cannot be read; a cookie is missing",
        "'img_1.jpg' was moved to 'img_2.jpg'",
        "a bearer token is expected, basic authentication is not supported",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert MASK.text(text) == text


def test_fields_with_names_of_secrets_are_hidden() -> None:
    entry = json.loads(line(record("m", token="abc", cookie="x", transform="width=3", keys=2)))  # noqa: S106
    assert (entry["token"], entry["cookie"], entry["transform"], entry["keys"]) == ("***", "***", "width=3", 2)


def config(**sections: object) -> Config:
    return Config.model_validate(sections)


def test_every_secret_of_the_settings_is_known() -> None:
    settings = config(
        access={"admin_key": "an-admin-key-for-tests"},
        metrics={"token": "a-token-of-metrics"},
        signing={"secrets": ["first-secret-for-signing", "second-secret-for-signing"]},
        catalog={"url": "postgresql://me:of-the-database@db/x"},
        sites={"a": {"folder": "a", "secrets": ["a-secret-of-a-site-for-urls"]}},
    )
    assert set(secrets_of(settings)) - {""} == {
        "an-admin-key-for-tests",
        "a-token-of-metrics",
        "first-secret-for-signing",
        "second-secret-for-signing",
        "of-the-database",
        "a-secret-of-a-site-for-urls",
    }
    assert list(secrets_of({"a": [SecretStr("x")]})) == ["x"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger, security = logging.getLogger(), logging.getLogger("imgserve.security")
    before = logger.handlers, logger.level, security.handlers, security.propagate
    yield logger
    logger.handlers, level, security.handlers, security.propagate = before
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("written", "stream", "no_color", "shown"),
    [
        ("auto", Terminal(), "", "\x1b["),
        ("auto", Terminal(), "1", "[info     ]"),
        ("auto", io.StringIO(), "", '{"time":'),
        ("console", io.StringIO(), "", "[info     ]"),
        ("json", Terminal(), "", '{"time":'),
    ],
)
def test_the_format_follows_the_setting_and_the_terminal(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch, written: str, stream: io.StringIO, no_color: str, shown: str
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    root.handlers = []  # without those of pytest
    configure_logging(config(log={"format": written}), stream)
    logging.getLogger("some.library").info("of a library", extra={"color_message": "twice"})
    logging.getLogger("imgserve.security").warning('{"event":"rejected"}')
    first, second = stream.getvalue().splitlines()
    assert root.handlers
    assert shown in first
    assert "twice" not in first
    assert ("\x1b[" in first) == (shown == "\x1b[")
    assert second == '{"event":"rejected"}'
