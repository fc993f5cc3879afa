"""Which hosts the server answers to, and which pages may read its pictures from script."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Server, server

TARGET = "/img/shoe.jpg?width=40"
PAGE, OTHER = "https://shop.example", "https://evil.example"


@pytest.fixture(scope="module")
def strict(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve for two hosts and one origin only."""
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    config.write_text(
        "server: {allowed_hosts: [img.example, '*.cdn.example', 127.0.0.1]}\n"
        f"http: {{cors_origins: ['{PAGE}', 'http://localhost:3000']}}\n"
    )
    with server(gallery, "--config", config) as served:
        yield served


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Host: img.example\r\n", 200),
        (b"", 400),
        (b"Host: a\r\nHost: b\r\n", 400),
        (b"Host: a\r\nHost: a\r\n", 400),
        (b"Host: a b\r\n", 400),
        (b"Host: a/b\r\n", 400),
        (b"Host: user@a\r\n", 400),
        (b"Host: a:b\r\n", 400),
        (b"Host: a,b\r\n", 200),
        (b"Host: [::1]:80\r\n", 200),
        (b"Host: \xff\r\n", 400),
        (b"Host : a\r\n", 400),
    ],
)
def test_there_is_exactly_one_host_and_it_is_well_formed(site: Server, lines: bytes, status: int) -> None:
    answer = site.send(b"GET " + TARGET.encode() + b" HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
    assert answer.status == status
    if status == 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("img.example", 200),
        ("IMG.Example:8000", 200),
        ("img.example.", 200),
        ("a.cdn.example", 200),
        ("b.a.cdn.example", 200),
        ("cdn.example", 400),
        ("evil.example", 400),
        ("img.example.evil.example", 400),
        ("evilcdn.example", 400),
        ("", 400),
    ],
)
def test_other_hosts_are_refused_where_some_are_named(strict: Server, host: str, status: int) -> None:
    answer = strict.get(TARGET, host=host)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["code"] == "bad_host"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_old_protocol_needs_no_host(site: Server) -> None:
    assert site.send(b"GET " + TARGET.encode() + b" HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("origin", [{}, {"origin": PAGE}, {"origin": "null"}])
@pytest.mark.parametrize("target", [TARGET, "/img/absent.jpg", "/img/shoe.jpg?width=x"])
def test_any_page_may_read_pictures_and_errors_unless_settings_say_otherwise(
    site: Server, target: str, origin: dict[str, str]
) -> None:
    answer = site.get(target, **origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "vary" not in answer.headers


def test_a_preflight_is_answered_with_what_is_allowed(site: Server) -> None:
    answer = site.ask("OPTIONS", TARGET, origin=PAGE, access_control_request_method="GET")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert set(answer.headers["access-control-allow-methods"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert "Range" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-max-age"] == "86400"
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(PAGE, PAGE), ("http://localhost:3000", "http://localhost:3000"), (OTHER, None), ("null", None), (None, None)],
)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", TARGET),
        ("HEAD", TARGET),
        ("OPTIONS", TARGET),
        ("GET", "/img/shoe.jpg?width=x"),
        ("POST", TARGET),
    ],
)
def test_listed_pages_may_read_and_what_may_be_kept_varies_by_who_requests(
    strict: Server, method: str, target: str, origin: str | None, allowed: str | None
) -> None:
    answer = strict.ask(method, target, **({"origin": origin} if origin else {}))
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert answer.headers.get("vary") == "Origin" or answer.headers["cache-control"] == "no-store"


def test_a_404_that_caches_may_keep_varies_by_origin(strict: Server) -> None:
    answers = [strict.get("/img/absent.jpg"), strict.get("/img/absent.jpg", origin=PAGE)]
    assert ["max-age" in answer.headers["cache-control"] for answer in answers] == [True, True]
    assert [answer.headers.get("vary") for answer in answers] == ["Origin", "Origin"]


def test_a_304_and_a_part_vary_by_origin_too(strict: Server) -> None:
    whole = strict.get(TARGET)
    fresh = strict.get(TARGET, origin=PAGE, if_none_match=whole.headers["etag"])
    part = strict.get(TARGET, origin=PAGE, range="bytes=0-1")
    assert (fresh.status_code, part.status_code) == (304, 206)
    for answer in (fresh, part):
        assert (answer.headers["access-control-allow-origin"], answer.headers["vary"]) == (PAGE, "Origin")


def test_negotiation_and_origin_vary_together(strict: Server) -> None:
    assert strict.get(TARGET + "&auto=format").headers["vary"] == "Accept, Origin"
