"""How the admin page writes values."""

from datetime import UTC, datetime, timedelta

import pytest

from imgserve.web.admin.filters import ago, count, duration, size, written


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (1234, "1.23 kB"), (999_600, "1 MB"), (2.5e9, "2.5 GB")],
)
def test_sizes(number: float, text: str) -> None:
    assert size(number) == text.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1_234_567, "1\u202f234\u202f567")])
def test_counts(number: float, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12.3 ms"), (1, "1 s"), (61, "1 min 1 s"), (7200, "2 h"), (90_061, "1 d 1 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("past", "text"),
    [
        (timedelta(seconds=30), "just now"),
        (timedelta(minutes=1, seconds=5), "1 minute ago"),
        (timedelta(days=40), "1 month ago"),
        (-timedelta(days=2, seconds=5), "in 2 days"),
    ],
)
def test_times(past: timedelta, text: str) -> None:
    assert ago(datetime.now(UTC) - past) == text


def test_no_time_is_never() -> None:
    assert ago(None) == "never"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("red shoe", "red shoe"),
        (3, "3"),
        (True, "yes"),
        (None, "none"),
        ([], "none"),
        (["a", "b"], "a, b"),
        ({"x": 0.25, "tags": ["a", "b"]}, "x: 0.25, tags: a, b"),
    ],
)
def test_values_of_the_audit_log(value: object, text: str) -> None:
    assert written(value) == text
