import math

import pytest
from pydantic import ValidationError

from imgserve.access.rates import Kind, Rate, client_subject, parse_rates
from imgserve.config.sections import RatesConfig

MINUTE = Rate(10, 60, "minute")


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("", []),
        ("  ", []),
        ("600/minute", [(600, 60, "minute")]),
        ("600 / Minutes", [(600, 60, "minute")]),
        ("1 per second", [(1, 1, "second")]),
        ("1000 per 5 minutes", [(1000, 300, "5 minutes")]),
        ("3/1 hour", [(3, 3600, "hour")]),
        ("200/day; 20/second;600/minute", [(20, 1, "second"), (600, 60, "minute"), (200, 86400, "day")]),
    ],
)
def test_rates_are_texts(text: str, rates: list[tuple[int, int, str]]) -> None:
    assert [(rate.amount, rate.seconds, rate.period) for rate in parse_rates(text)] == rates


@pytest.mark.parametrize(
    "text",
    ["600", "0/minute", "-1/minute", "1.5/second", "10/fortnight", "10/minute;", ";", "10/0 minutes", "1000000000/day",
     "10/minute, 50/hour", "x/minute", "10/1000 days", "\u0661/minute"],
)  # fmt: skip
def test_what_is_no_rate_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected limits such as 600/minute"):
        parse_rates(text)
    with pytest.raises(ValidationError, match=r"limits such as 600/minute, 1000 per 5 minutes, or several"):
        RatesConfig(uploads=text)


def test_only_logins_are_limited_by_default() -> None:
    values = RatesConfig().model_dump()
    assert {name for name, value in values.items() if value} == {"logins"}


@pytest.mark.parametrize("url", ["", "redis://h", "rediss://u:secret@h:6379/0", "unix:///run/redis.sock?db=1"])
def test_the_storage_is_a_url_of_redis_that_is_not_shown(url: str) -> None:
    config = RatesConfig(storage=url)
    assert config.storage == url
    assert "secret" not in repr(config)


@pytest.mark.parametrize("url", ["secret", "memcached://secret", "redis://", "unix://", "redis:///secret"])
def test_another_storage_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValidationError, match="expected redis://user:password@host:6379/0") as refused:
        RatesConfig(storage=url)
    assert "secret" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("previous", "current", "left", "cost", "wait"),
    [
        (0, 0, 60, 1, None),
        (0, 9, 60, 1, None),
        (0, 0, 60, 10, None),
        (0, 0, 60, 11, math.inf),
        (0, 10, 45, 1, 45),  # just after the period ends, less than ten of these count
        (0, 10, 45, 2, 51),
        (10, 0, 60, 1, 0),
        (10, 0, 59.9, 1, None),
        (10, 5, 30, 1, 0),  # half of the previous period counts
        (10, 4, 30, 1, None),
        (10, 4, 33, 2, 3),
        (10, 10, 30, 1, 30),
        (4, 6, 14.9, 4, None),
        (4, 6, 15.1, 4, 0.1),
        (4, 2, 60, 10, 60 + 60 - 30),
    ],
)  # fmt: skip
def test_events_fit_when_enough_of_the_former_ones_are_a_period_ago(
    previous: int, current: int, left: float, cost: int, wait: float | None
) -> None:
    assert MINUTE.wait(previous, current, left, cost) == (wait if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    ("kind", "rate", "sentence"),
    [
        (Kind.NEW_PER_CLIENT, "600/minute", "This client may request 600 new renditions per minute."),
        (Kind.NEW_PER_IMAGE, "1/hour", "Of this image, clients may request 1 new rendition per hour."),
        (Kind.UPLOADS, "100 per 5 minutes", "This client may upload 100 images per 5 minutes."),
        (Kind.LOGINS_PER_ADDRESS, "10/minute", "This client may try 10 logins per minute."),
        (Kind.LOGINS_PER_ACCOUNT, "50/hour", "For this account, clients may try 50 logins per hour."),
        (Kind.API, "20/second", "This client may send 20 API requests per second."),
    ],
)
def test_a_limit_is_a_sentence(kind: Kind, rate: str, sentence: str) -> None:
    assert kind.sentence(parse_rates(rate)[0]) == sentence


@pytest.mark.parametrize(
    ("address", "key", "subject"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "k1", "key k1"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", None, "198.51.100.7"),
        ("fe80::1%eth0", None, "fe80::/64"),
        ("::1", None, "::/64"),
        ("", None, "no address"),
        ("unix:", None, "no address"),
    ],
)
def test_a_client_is_its_key_or_its_address_or_its_network(address: str, key: str | None, subject: str) -> None:
    assert client_subject(address, key) == subject
