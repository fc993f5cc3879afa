"""The Host header: exactly one, well formed, and allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.errors import BadHost
from imgserve.http.headers import check_host

ANY = ["*"]


def is_rejected(*hosts: bytes, allowed: list[str] | None = None, version: str = "1.1") -> bool:
    headers = [(b"accept", b"*/*"), *((b"host", host) for host in hosts)]
    try:
        check_host(headers, version, allowed or ANY)
    except BadHost:
        return True
    return False


@pytest.mark.parametrize(
    "host",
    [
        b"example.com",
        b"example.com:8000",
        b"example.com:",
        b"EXAMPLE.com.",
        b"localhost",
        b"127.0.0.1:80",
        b"[::1]",
        b"[::1]:8000",
        b"[::ffff:127.0.0.1]",
        b"under_score",
        b"",
    ],
)
def test_a_well_formed_host_is_accepted(host: bytes) -> None:
    assert not is_rejected(host)


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"a?b",
        b"a#b",
        b"a@b",
        b"a\\b",
        b"a\tb",
        b"a<b>",
        b'"a"',
        b"a:b",
        b"a:1:2",
        b"a:123456",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[]",
        b"[gg]",
        b"a%20b",
        b"\xe4",
        b"a\n",
        b"a\0",
    ],
)
def test_a_malformed_host_is_refused(host: bytes) -> None:
    assert is_rejected(host)


def test_a_missing_host_is_refused_but_of_the_old_protocol() -> None:
    assert is_rejected()
    assert not is_rejected(version="1.0")
    assert is_rejected(version="1.0", allowed=["example.com"])


def test_a_repeated_host_is_refused_even_if_it_is_the_same() -> None:
    assert is_rejected(b"example.com", b"example.com")


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        (b"img.example", True),
        (b"IMG.EXAMPLE:443", True),
        (b"img.example.", True),
        (b"a.cdn.example", True),
        (b"b.a.cdn.example", True),
        (b"[::1]:80", True),
        (b"cdn.example", False),
        (b"notcdn.example", False),
        (b"img.example.evil", False),
        (b"evil-img.example", False),
        (b"", False),
        (b".", False),
    ],
)
def test_only_allowed_hosts_are_answered(host: bytes, *, accepted: bool) -> None:
    assert is_rejected(host, allowed=["img.example", "*.cdn.example", "[::1]"]) is not accepted


@given(st.binary(max_size=40))
def test_any_bytes_are_accepted_or_rejected_without_another_error(host: bytes) -> None:
    assert is_rejected(host) in {True, False}
