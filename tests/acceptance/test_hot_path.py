"""The hot path answers as the ordinary path does: one table of requests to two servers that differ in this alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import encoded, noise, quarters
from tests.raw_http import RawAnswer, raw, talk
from tests.servers import settled
from tests.threads import ThreadServer, thread_server

TARGET = "/img/noise.jpg?width=120"
LARGE = "/img/noise.jpg?width=800&format=png"
NEGOTIATED = "/img/noise.jpg?width=90&auto=format"
HOSTS: Mapping[str, Mapping[str, object]] = {"server": {"allowed_hosts": ["a", "*.example.com"]}}
LASTING: Mapping[str, Mapping[str, object]] = {"originals": {"recheck": 600}}
"""A look at an original lasts for the test, so that what can be hot is hot."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers with one folder and the same settings."""

    hot: ThreadServer
    slow: ThreadServer

    def ask(self, *requests: str, splits: tuple[int, ...] = ()) -> tuple[list[RawAnswer], list[RawAnswer], int]:
        """Request both over a connection each; tell how many requests were answered hot."""
        told = {name: value for name, value in self.tags().items() if any("{" in request for request in requests)}
        octets = [raw(request.format(**told) if told else request) for request in requests]
        before = self.hot.hot.responses
        with self.hot.connect() as one, self.slow.connect() as other:
            answers = talk(one, octets, splits), talk(other, octets, splits)
        assert self.slow.hot.responses == 0
        return *answers, self.hot.hot.responses - before

    def tags(self) -> dict[str, str]:
        """Return the validators of the picture that most requests are for."""
        with self.slow.connect() as connection:
            [answer] = talk(connection, [raw(get())])
        etag = answer.header("etag")
        return {"etag": etag, "key": etag[1:33], "modified": answer.header("last-modified")}


def get(target: str = TARGET, *fields: str, method: str = "GET", host: str = "Host: a", version: str = "1.1") -> str:
    return "\n".join(filter(None, [f"{method} {target} HTTP/{version}", host, *fields]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    settled(folder / "noise.jpg", encoded(noise(), "jpg"))
    settled(folder / "a b/ü.png", encoded(quarters(60, 40), "png"))
    settled(folder / "notes.txt", b"no picture")
    return folder


@pytest.fixture(scope="module")
def pair(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    caches = tmp_path_factory.mktemp("caches")
    given = {**LASTING, **HOSTS}
    with (
        thread_server(folder, caches / "hot", settings=given) as hot,
        thread_server(folder, caches / "slow", settings=given, hot_path=False) as slow,
    ):
        warm = Pair(hot, slow)
        for request in POOL:
            warm.ask(request)
        yield warm


CASES: dict[str, tuple[list[str], int | None]] = {
    "plain": ([get()], 1),
    "the same in a row": ([get()] * 5, 5),
    "large": ([get(LARGE)], 1),
    "HEAD": ([get(method="HEAD")], 1),
    "HEAD between": ([get(), get(method="HEAD"), get()], 3),
    "HEAD not modified": ([get(TARGET, "If-None-Match: {etag}", method="HEAD")], 1),
    "not modified": ([get(TARGET, "If-None-Match: {etag}")], 1),
    "not modified, as browsers ask": ([get(TARGET, "If-None-Match: {etag}", "If-Modified-Since: {modified}")], 1),
    "not modified, another date": (
        [get(TARGET, "If-None-Match: {etag}", "If-Modified-Since: Thu, 01 Jan 2015 00:00:00 GMT")], 1,
    ),
    "not modified, bytes of another node": ([get(TARGET, 'If-None-Match: "{key}-00000000"')], 0),
    "not modified, an odd tag": ([get(TARGET, 'If-None-Match: "{key}-0000000"')], 0),
    "not modified, two tags of the length of one": ([get(TARGET, 'If-None-Match: "{key}-a", "b"')], 0),
    "not modified, two tags": ([get(TARGET, 'If-None-Match: "other", {etag}')], 0),
    "not modified, two lines": ([get(TARGET, 'If-None-Match: "other"', "If-None-Match: {etag}")], 0),
    "not modified, weak": ([get(TARGET, "If-None-Match: W/{etag}")], 0),
    "not modified, of an earlier release": ([get(TARGET, 'If-None-Match: "{key}"')], 0),
    "not modified, any": ([get(TARGET, "If-None-Match: *")], 0),
    "another tag": ([get(TARGET, 'If-None-Match: "other"')], 0),
    "no tag": ([get(TARGET, "If-None-Match:")], 0),
    "not modified since": ([get(TARGET, "If-Modified-Since: {modified}")], 0),
    "modified since": ([get(TARGET, "If-Modified-Since: Thu, 01 Jan 2015 00:00:00 GMT")], 0),
    "unmodified since": ([get(TARGET, "If-Unmodified-Since: {modified}")], 0),
    "not unmodified since": ([get(TARGET, "If-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT")], 0),
    "matching": ([get(TARGET, "If-Match: {etag}")], 0),
    "not matching": ([get(TARGET, 'If-Match: "other"')], 0),
    "range": ([get(TARGET, "Range: bytes=0-9")], 0),
    "rest of the same": ([get(TARGET, "Range: bytes=5-", "If-Range: {etag}")], 0),
    "rest of another": ([get(TARGET, "Range: bytes=5-", 'If-Range: "{key}-00000000"')], 0),
    "range outside": ([get(TARGET, "Range: bytes=99999999-")], 0),
    "negotiated, none": ([get(NEGOTIATED)], 1),
    "negotiated, anything": ([get(NEGOTIATED, "Accept: */*")], 1),
    "negotiated, webp": ([get(NEGOTIATED, "Accept: image/webp,*/*")], 1),
    "negotiated, avif": ([get(NEGOTIATED, "Accept: image/avif,image/webp,*/*")], 1),
    "negotiated, not avif": ([get(NEGOTIATED, "Accept: image/avif;q=0,image/webp,*/*")], 1),
    "negotiated, two lines": ([get(NEGOTIATED, "Accept: image/webp", "Accept: */*")], 0),
    "negotiated, long": ([get(NEGOTIATED, "Accept: " + "text/plain, " * 200 + "image/webp")], 1),
    "not negotiated": ([get(TARGET, "Accept: image/webp")], 1),
    "from a page": ([get(TARGET, "Origin: https://shop.example")], 1),
    "as browsers ask": (
        [get(TARGET, "Connection: keep-alive", "User-Agent: x", "Referer: https://b/", "Cookie: a=b", "DNT: 1")], 1,
    ),
    "through a proxy": ([get(TARGET, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")], 1),
    "no host": ([get(host="")], 0),
    "empty host": ([get(host="Host:")], 0),
    "two hosts": ([get(TARGET, "Host: a")], 0),
    "malformed host": ([get(host="Host: a b")], 0),
    "foreign host": ([get(host="Host: b")], 0),
    "host with a port": ([get(host="Host: A:8000")], 1),
    "host by pattern": ([get(host="Host: img.example.com")], 1),
    "foreign host after a good one": ([get(), get(host="Host: b")], 1),
    "with a body": ([get(TARGET, "Content-Length: 3") + "\n\nabc"], 0),
    "with an empty body": ([get(TARGET, "Content-Length: 0"), get()], None),
    "with chunks": ([get(TARGET, "Transfer-Encoding: chunked") + "\n\n3\nabc\n0"], 0),
    "with trailers": ([get(TARGET, "Transfer-Encoding: chunked") + "\n\n0\nHost: b", get()], None),
    "expecting": ([get(TARGET, "Expect: 100-continue")], 0),
    "offering to upgrade": ([get(TARGET, "Connection: Upgrade", "Upgrade: websocket")], 0),
    "closing": ([get(TARGET, "Connection: close")], 0),
    "closing, others behind": ([get(), get(TARGET, "Connection: close"), get()], 1),
    "HTTP/1.0": ([get(version="1.0")], 0),
    "HTTP/1.0, kept alive": ([get(TARGET, "Connection: keep-alive", version="1.0"), get()], None),
    "OPTIONS": ([get(method="OPTIONS")], 0),
    "POST": ([get(TARGET, "Content-Length: 0", method="POST")], 0),
    "TRACE": ([get(method="TRACE")], 0),
    "unknown method": ([get(method="PROPFIND")], 0),
    "escaped": ([get("/img/n%6fise.jpg?width=120")], 1),
    "escaped, odd name": ([get("/img/a%20b/%C3%BC.png?width=30"), get("/img/a%20b/%c3%bc.png?width=30")], 2),
    "escaped twice": ([get("/img/n%256fise.jpg?width=120")], 0),
    "escaped prefix": ([get("/%69mg/noise.jpg?width=120")], 0),
    "other order": ([get("/img/noise.jpg?format=png&width=60"), get("/img/noise.jpg?width=60&format=png")], 2),
    "absolute": ([get("http://a/img/noise.jpg?width=120")], 0),
    "with a fragment": ([get(TARGET + "#top")], 0),
    "with an empty query": ([get("/img/noise.jpg?")], 0),
    "double slash": ([get("//img/noise.jpg?width=120")], 0),
    "by another extension": ([get("/img/noise.webp?width=50")], 1),
    "adjusted": ([get("/img/noise.jpg?width=99999&format=webp&quality=10")], 1),
    "as a download": ([get(TARGET + "&download=%C3%BC.jpg")], 1),
    "long": ([get(TARGET + "&v=" + "x" * 1100)], 0),
    "mistaken": ([get("/img/noise.jpg?width=x")], 0),
    "absent": ([get("/img/absent.jpg")], 0),
    "no picture": ([get("/img/notes.txt")], 0),
    "other places": ([get("/robots.txt"), get(), get("/nothing")], None),
    "hot behind slow": ([get(TARGET, "Range: bytes=0-9"), get(), get(LARGE), get(TARGET, "If-None-Match: {etag}")], 0),
    "slow behind hot": ([get(), get(LARGE), get(TARGET, "Range: bytes=0-9"), get("/img/absent.jpg"), get()], 2),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_both_paths_answer_alike(pair: Pair, case: str) -> None:
    requests, expected = CASES[case]
    pair.ask(*requests)  # so that whatever may be remembered is
    hot, slow, number = pair.ask(*requests)
    assert hot == slow
    assert hot
    if expected is not None:
        assert number == expected


def test_rubbish_behind_a_hot_answer_is_refused_after_it(pair: Pair) -> None:
    """Behind an answer of the ordinary path, which is not there yet, only the end of the connection is told."""
    hot, slow, number = pair.ask(get(), get(), "rubbish")
    assert [answer.status[9:12] for answer in hot] == ["200", "200", "400"]
    assert [answer.body for answer in hot[:2]] == [answer.body for answer in slow]
    assert number == 2


POOL = [
    get(), get(), get(method="HEAD"), get(TARGET, "If-None-Match: {etag}"), get(LARGE),
    get(NEGOTIATED, "Accept: image/webp"), get(TARGET, "Range: bytes=3-7"), get(TARGET, 'If-None-Match: "x"'),
    get("/img/absent.jpg"), get("/robots.txt"), get(TARGET, "Content-Length: 5") + "\n\nhello", get(method="OPTIONS"),
    get(TARGET, "Transfer-Encoding: chunked") + "\n\n3\nabc\n0", get("/img/noise.jpg?width=x"),
]  # fmt: skip
LAST = [get(), get(TARGET, "Connection: close"), get(version="1.0"), get(host="Host: b")]
"""With the last of these the connection may end."""


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(POOL), max_size=12),
    st.sampled_from(LAST),
    st.lists(st.integers(1, 900), max_size=6).map(tuple),
)
def test_any_row_of_requests_in_any_pieces_is_answered_alike_and_in_order(
    pair: Pair, requests: list[str], last: str, splits: tuple[int, ...]
) -> None:
    hot, slow, _ = pair.ask(*requests, last, splits=splits)
    assert hot == slow
    assert len(hot) == len(requests) + 1


@pytest.mark.parametrize(("target", "hot"), [(TARGET, 1), ("/img/absent.jpg", 0), ("/robots.txt", 0)])
def test_the_request_id_of_a_trusted_proxy_is_kept(pair: Pair, target: str, hot: int) -> None:
    one, other, responses = pair.ask(get(target, "X-Request-Id: 7d1f-3/a"))
    assert [answer.request_id for answer in (*one, *other)] == ["7d1f-3/a"] * 2
    assert responses == hot


@pytest.mark.parametrize(
    "fields", [["X-Request-Id: a b"], ["X-Request-Id:"], [f"X-Request-Id: {'a' * 129}"], ["X-Request-Id: a"] * 2]
)
def test_what_is_no_request_id_is_replaced(pair: Pair, fields: list[str]) -> None:
    one, other, _ = pair.ask(get(TARGET, *fields))
    assert all(len(answer.request_id) == 16 for answer in (*one, *other))
