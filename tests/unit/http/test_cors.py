"""Cross-origin headers: allowed origins, and Vary for shared caches."""

import pytest

from imgserve.http.headers import Cors, RawHeaders, with_one_vary

PAGE = "https://shop.example"


@pytest.mark.parametrize("origin", [None, PAGE, "null", "\xff"])
def test_where_any_page_is_allowed_every_answer_is_the_same(origin: str | None) -> None:
    headers = dict(Cors(["*"]).headers(origin))
    assert headers[b"access-control-allow-origin"] == b"*"
    assert b"vary" not in headers


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (PAGE, PAGE.encode()),
        ("http://shop.example", None),
        ("https://shop.example:8443", None),
        ("https://shop.example.evil", None),
        ("https://SHOP.example", None),
        ("null", None),
        (None, None),
    ],
)
def test_of_listed_pages_exactly_those_are_allowed(origin: str | None, allowed: bytes | None) -> None:
    cors = Cors([PAGE, "https://other.example"])
    for headers in (dict(cors.headers(origin)), dict(cors.preflight(origin))):
        assert headers.get(b"access-control-allow-origin") == allowed
        assert headers[b"vary"] == b"Origin"


def test_where_no_page_is_allowed_nothing_is_declared() -> None:
    assert Cors([]).headers(PAGE) == []
    assert Cors([]).preflight(PAGE) == []


def test_a_preflight_reports_methods_request_headers_and_for_how_long() -> None:
    headers = dict(Cors(["*"], max_age=60).preflight(PAGE))
    assert headers[b"access-control-allow-methods"] == b"GET, HEAD, OPTIONS"
    assert b"Range" in headers[b"access-control-allow-headers"].split(b", ")
    assert headers[b"access-control-max-age"] == b"60"


def test_script_may_read_the_headers_that_report_of_a_picture() -> None:
    exposed = dict(Cors(["*"]).headers(PAGE))[b"access-control-expose-headers"].split(b", ")
    assert {b"ETag", b"X-Image-Adjusted", b"X-Request-Id", b"Cache-Status"} <= set(exposed)


def test_credentials_are_never_allowed() -> None:
    for cors in (Cors(["*"]), Cors([PAGE])):
        assert b"access-control-allow-credentials" not in dict(cors.headers(PAGE)) | dict(cors.preflight(PAGE))


@pytest.mark.parametrize(("origins", "uniform"), [((), True), (("*",), True), (("https://a.example",), False)])
def test_an_answer_is_uniform_where_every_origin_gets_the_same(origins: tuple[str, ...], *, uniform: bool) -> None:
    cors = Cors(origins)
    assert cors.uniform is uniform
    assert (cors.headers(None) == cors.headers("https://a.example")) is uniform


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([], [], ([], [])),
        ([(b"vary", b"Accept")], [(b"a", b"b")], ([(b"vary", b"Accept")], [(b"a", b"b")])),
        ([], [(b"vary", b"Origin")], ([], [(b"vary", b"Origin")])),
        (
            [(b"vary", b"Accept, Origin"), (b"etag", b"x")],
            [(b"a", b"b"), (b"vary", b"Origin")],
            ([(b"etag", b"x")], [(b"a", b"b"), (b"vary", b"Accept, Origin")]),
        ),
    ],
)
def test_a_response_has_one_vary(
    first: RawHeaders, second: RawHeaders, expected: tuple[RawHeaders, RawHeaders]
) -> None:
    assert with_one_vary(first, second) == expected
