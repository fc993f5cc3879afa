"""Which pages may show pictures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.access.domains import DomainRules, parse_domain

HOST = b"img.example.net"
SHOP = "https://shop.example"


def rules(allow: str, deny: str = "", *, missing: bool = True) -> DomainRules:
    return DomainRules(tuple(map(parse_domain, allow.split())), tuple(map(parse_domain, deny.split())), missing)


@pytest.mark.parametrize(
    ("patterns", "page", "allowed"),
    [
        ("shop.example", "https://shop.example/a?b", True),
        ("shop.example", "http://SHOP.example./a", True),
        ("shop.example", "https://shop.example:443/", True),
        ("shop.example", "https://shop.example:8443/", False),
        ("shop.example:8443", "https://shop.example:8443/", True),
        ("shop.example:8443", "https://shop.example/", False),
        ("shop.example:*", "http://shop.example:3000/", True),
        ("shop.example", "http://shop.example:443/", False),
        ("shop.example", "https://www.shop.example/", False),
        ("*.shop.example", "https://www.shop.example/", True),
        ("*.shop.example", "https://a.b.shop.example/", True),
        ("*.shop.example", "https://shop.example/", False),
        ("*.shop.example", "https://evilshop.example/", False),
        ("shop.example", "https://shop.example.evil.test/", False),
        ("shop.example", "https://shop.example@evil.test/", False),
        ("shop.example", "https://evil.test/https://shop.example/", False),
        ("shop.example", "https://evil.test\\@shop.example/", False),
        ("localhost:3000", "http://localhost:3000/", True),
        ("localhost", "http://localhost:3000/", False),
        ("[::1]:5173", "http://[::1]:5173/", True),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("*", "https://anything.test/", True),
        ("*", "about:blank", False),
        ("*", "android-app://com.example/", False),
        ("*", "https://", False),
        ("*", "https://shop.example:99999/", False),
        ("*", "https://b\u00fccher.example/", False),
    ],
)
def test_a_page_is_of_an_allowed_domain(patterns: str, page: str, allowed: bool) -> None:
    assert rules(patterns).allows(page.encode("latin-1"), b"", HOST) is allowed


@pytest.mark.parametrize(
    ("referer", "origin", "allowed"),
    [
        ("", "", True),
        ("", "null", True),
        (SHOP, "", True),
        (SHOP, "null", True),
        (SHOP, SHOP, True),
        (SHOP, "https://evil.test", False),
        ("https://evil.test/", SHOP, False),
        ("https://bad.shop.example/", "", False),
        ("https://good.shop.example/", "", True),
        ("https://img.example.net/docs", "", True),
        ("https://img.example.net:444/docs", "", False),
    ],
)
def test_both_headers_count_and_denials_win(referer: str, origin: str, allowed: bool) -> None:
    found = rules("shop.example *.shop.example", "bad.shop.example").allows(referer.encode(), origin.encode(), HOST)
    assert found is allowed


@pytest.mark.parametrize("origin", [b"", b"null"])
def test_a_request_without_a_page_can_be_rejected(origin: bytes) -> None:
    assert not rules("shop.example", missing=False).allows(b"", origin, HOST)


def test_rules_are_a_collection_of_origins() -> None:
    assert SHOP in rules("shop.example")
    assert "https://evil.test" not in rules("shop.example")
    assert "null" not in rules("*")
    assert "*" not in rules("*")


@pytest.mark.parametrize(
    "text", ["", "http://shop.example", "shop.example/", "a..b", "*.*.a", "a:0", "a:65536", "a b", "*a"]
)
def test_other_texts_are_no_patterns(text: str) -> None:
    with pytest.raises(ValueError, match="is no domain"):
        parse_domain(text)


label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
domain = st.lists(label, min_size=1, max_size=4).map(".".join)


@given(domain, domain, label)
def test_a_pattern_means_its_domain_and_no_other(ours: str, other: str, sub: str) -> None:
    one, below = rules(ours), rules(f"*.{ours}")
    assert one.allows_page(f"https://{ours}/x".encode())
    assert one.allows_page(f"https://{other}/".encode()) is (other == ours)
    assert below.allows_page(f"https://{sub}.{ours}/".encode())
    assert below.allows_page(f"https://{other}/".encode()) is other.endswith(f".{ours}")


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_decided(referer: bytes, host: bytes) -> None:
    assert rules("shop.example").allows(b"https://" + referer, referer, host) in {True, False}
