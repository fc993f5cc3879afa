"""The picture endpoint as HTTP: methods, validators, conditions, ranges, headers."""

import zlib
from email.utils import formatdate, parsedate_to_datetime

import httpx2
import pytest

from tests.servers import Server

TARGET = "/img/noise.jpg?width=200"
NEGOTIATED = TARGET + "&auto=format"
PER_REQUEST = {"date", "x-request-id", "server-timing", "cache-status"}


@pytest.fixture
def whole(site: Server) -> httpx2.Response:
    return site.get(TARGET)


def key_of(answer: httpx2.Response) -> str:
    return str(answer.headers["etag"]).strip('"').partition("-")[0]


def lasting(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in PER_REQUEST}


@pytest.mark.parametrize("target", [TARGET, NEGOTIATED, "/img/absent.jpg", "/img/noise.jpg?width=x", "/img/notes.txt"])
def test_head_is_get_without_a_body(site: Server, target: str) -> None:
    get, head = site.get(target), site.ask("HEAD", target)
    assert head.content == b""
    assert get.content
    assert (head.status_code, lasting(head)) == (get.status_code, lasting(get))
    assert int(head.headers["content-length"]) == len(get.content)


def test_a_head_for_a_picture_not_made_yet_reports_its_exact_length(site: Server) -> None:
    head, get = site.ask("HEAD", "/img/noise.jpg?width=211"), site.get("/img/noise.jpg?width=211")
    assert int(head.headers["content-length"]) == len(get.content)
    assert "hit" in get.headers["cache-status"]


def test_an_etag_is_strong_and_the_same_each_time(site: Server, whole: httpx2.Response) -> None:
    etag = whole.headers["etag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    assert site.get(TARGET).headers["etag"] == etag
    assert site.get(TARGET + "0").headers["etag"] != etag


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ('W/"other" ,, {etag}', 304),
        ('"{key}-00000000"', 304),
        ('W/"{key}-00000000"', 304),
        ('"{key}"', 304),
        ("*", 304),
        ('"other"', 200),
        ("{bare}", 200),
        ("", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_none_match_decides_whether_a_picture_is_sent(
    site: Server, whole: httpx2.Response, method: str, form: str, status: int
) -> None:
    etag = whole.headers["etag"]
    sent = form.format(etag=etag, bare=etag.strip('"'), key=key_of(whole))
    assert site.ask(method, TARGET, if_none_match=sent).status_code == status


@pytest.mark.parametrize("form", ["{etag}", "W/{etag}", '"{key}-00000000"', '"{key}"'])
def test_a_304_reports_the_tag_under_which_the_client_has_the_picture(
    site: Server, whole: httpx2.Response, form: str
) -> None:
    sent = form.format(etag=whole.headers["etag"], key=key_of(whole))
    assert site.get(TARGET, if_none_match=sent).headers["etag"] == sent
    assert site.get(TARGET, if_none_match=f'"other", {sent}').headers["etag"] == sent


@pytest.mark.parametrize("condition", ["if_none_match", "if_modified_since"])
def test_a_304_to_a_client_without_a_tag_reports_ours_if_the_picture_is_at_hand(site: Server, condition: str) -> None:
    whole, absent = site.get(TARGET), site.get("/img/noise.jpg?width=219", if_none_match="*")
    sent = {"if_none_match": "*", "if_modified_since": whole.headers["last-modified"]}[condition]
    answer = site.get(TARGET, **{condition: sent})
    assert (answer.status_code, answer.headers["etag"]) == (304, whole.headers["etag"])
    assert (absent.status_code, absent.headers.get("etag")) == (304, None)


def test_a_tag_ends_with_the_checksum_of_the_bytes(whole: httpx2.Response) -> None:
    assert whole.headers["etag"].endswith(f'-{zlib.crc32(whole.content):08x}"')


def test_a_304_carries_what_a_cache_needs_and_no_body(site: Server) -> None:
    whole = site.get(NEGOTIATED)
    answer = site.get(NEGOTIATED, if_none_match=whole.headers["etag"])
    assert (answer.status_code, answer.content) == (304, b"")
    for name in ("etag", "cache-control", "vary", "last-modified", "access-control-allow-origin"):
        assert answer.headers[name] == whole.headers[name]
    assert "content-type" not in answer.headers
    assert answer.headers["date"]


def test_if_modified_since_compares_dates(site: Server, whole: httpx2.Response) -> None:
    modified = whole.headers["last-modified"]
    earlier = formatdate(parsedate_to_datetime(modified).timestamp() - 1, usegmt=True)
    assert site.get(TARGET, if_modified_since=modified).status_code == 304
    assert site.get(TARGET, if_modified_since=earlier).status_code == 200
    assert site.get(TARGET, if_modified_since="yesterday").status_code == 200


def test_if_none_match_is_stronger_than_if_modified_since(site: Server, whole: httpx2.Response) -> None:
    answer = site.get(TARGET, if_none_match='"other"', if_modified_since=whole.headers["last-modified"])
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{etag}", 200),
        ("*", 200),
        ('"other"', 412),
        ("W/{etag}", 412),
        ('"other", {etag}', 200),
        ('"{key}-00000000"', 412),
        ('"{key}"', 412),
    ],
)
def test_if_match_refuses_another_picture(site: Server, whole: httpx2.Response, form: str, status: int) -> None:
    answer = site.get(TARGET, if_match=form.format(etag=whole.headers["etag"], key=key_of(whole)))
    assert answer.status_code == status
    if status == 412:
        assert answer.json()["code"] == "precondition_failed"
        assert answer.headers["cache-control"] == "no-store"


def test_if_unmodified_since_refuses_a_newer_picture(site: Server, whole: httpx2.Response) -> None:
    assert site.get(TARGET, if_unmodified_since=whole.headers["last-modified"]).status_code == 200
    assert site.get(TARGET, if_unmodified_since="Thu, 01 Jan 2015 00:00:00 GMT").status_code == 412


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=0-0", 0, 0),
        ("bytes=100-", 100, None),
        ("bytes=-50", -50, None),
        ("bytes=10-99999999", 10, None),
        ("bytes=-99999999", 0, None),
        ("BYTES=5-9", 5, 9),
    ],
)
def test_one_range_is_a_part_of_the_picture(
    site: Server, whole: httpx2.Response, asked: str, first: int, last: int | None
) -> None:
    answer, size = site.get(TARGET, range=asked), len(whole.content)
    first, last = first % size, size - 1 if last is None else last
    assert answer.status_code == 206
    assert answer.content == whole.content[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
    assert int(answer.headers["content-length"]) == last - first + 1
    assert {**lasting(whole), "content-length": "", "content-range": ""} == {
        **lasting(answer),
        "content-length": "",
        "content-range": "",
    }


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-9",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(500)),
        "bytes=9-1",
        "lines=0-1",
        "bytes",
        "bytes=-",
    ],
    ids=lambda asked: asked[:16],
)
def test_any_other_range_is_the_whole_picture(site: Server, whole: httpx2.Response, asked: str) -> None:
    answer = site.get(TARGET, range=asked)
    assert (answer.status_code, answer.content) == (200, whole.content)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_outside_the_picture_is_a_416_that_reports_the_size(
    site: Server, whole: httpx2.Response, asked: str
) -> None:
    answer = site.get(TARGET, range=asked)
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(whole.content)}"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{etag}", 206),
        ('"other"', 200),
        ("W/{etag}", 200),
        ('"{key}-00000000"', 200),
        ('"{key}"', 200),
        ("{modified}", 206),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 200),
    ],
)
def test_if_range_requests_the_rest_of_the_same_picture_only(
    site: Server, whole: httpx2.Response, form: str, status: int
) -> None:
    fields = whole.headers
    condition = form.format(etag=fields["etag"], key=key_of(whole), modified=fields["last-modified"])
    assert site.get(TARGET, range="bytes=0-9", if_range=condition).status_code == status


def test_a_range_means_nothing_to_head(site: Server, whole: httpx2.Response) -> None:
    answer = site.ask("HEAD", TARGET, range="bytes=0-9")
    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(whole.content)))


def test_a_304_comes_before_a_range(site: Server, whole: httpx2.Response) -> None:
    assert site.get(TARGET, range="bytes=0-9", if_none_match=whole.headers["etag"]).status_code == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"])
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        (TARGET, {"GET", "HEAD", "OPTIONS"}),
        ("/img/absent.jpg", {"GET", "HEAD", "OPTIONS"}),
        ("/healthz", {"GET", "HEAD"}),
    ],
)
def test_another_method_is_a_405_that_reports_which_are_allowed(
    site: Server, method: str, target: str, allowed: set[str]
) -> None:
    answer = site.ask(method, target)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.headers["cache-control"] == "no-store"


def test_a_picture_is_safe_to_open_and_free_to_embed(whole: httpx2.Response) -> None:
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"].startswith("default-src 'none'")
    assert "sandbox" in whole.headers["content-security-policy"]
    assert whole.headers["cross-origin-resource-policy"] == "cross-origin"
    assert whole.headers["accept-ranges"] == "bytes"
    assert "server" not in whole.headers


def test_a_picture_may_be_kept_for_as_long_as_the_settings_say(whole: httpx2.Response) -> None:
    directives = whole.headers["cache-control"].split(", ")
    assert {"max-age=3600", "stale-while-revalidate=86400"} <= set(directives)


def test_a_picture_is_not_dated_after_its_answer(whole: httpx2.Response) -> None:
    modified, date = (parsedate_to_datetime(whole.headers[name]) for name in ("last-modified", "date"))
    assert modified <= date


def test_an_answer_reports_where_it_came_from(site: Server) -> None:
    made, again = site.get("/img/noise.jpg?width=222"), site.get("/img/noise.jpg?width=222")
    assert made.headers["cache-status"] == "imgserve; fwd=miss; stored"
    assert again.headers["cache-status"] == "imgserve; hit; detail=memory"
    assert "render;dur=" in made.headers["server-timing"]
    assert made.content == again.content


@pytest.mark.parametrize(
    ("target", "status", "code", "cached"),
    [
        ("/img/absent.jpg", 404, "image_not_found", "max-age=10"),
        ("/nothing/here", 404, "not_found", "max-age=10"),
        ("/static/absent.css", 404, "not_found", "max-age=10"),
        ("/img/noise.jpg?width=x", 400, "bad_transform", "no-store"),
        ("/img/notes.txt", 415, "unsupported_image", "no-store"),
    ],
)
def test_an_error_is_a_problem_document(site: Server, target: str, status: int, code: str, cached: str) -> None:
    answer = site.get(target)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], problem["code"], problem["instance"]) == (status, code, target.partition("?")[0])
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    assert answer.headers["cache-control"] == cached
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_answer_has_a_request_id_of_its_own(site: Server, whole: httpx2.Response) -> None:
    answers = [
        site.get(TARGET),
        site.get(TARGET, if_none_match=whole.headers["etag"]),
        site.get(TARGET, range="bytes=0-1"),
        site.ask("HEAD", TARGET),
        site.ask("OPTIONS", TARGET),
        site.ask("POST", TARGET),
        site.get("/img/absent.jpg"),
        site.get("/healthz"),
        site.get("/"),
        site.get("/static/imgserve.css"),
        site.get("/metrics"),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_many_requests_go_over_one_connection(site: Server) -> None:
    line = b"GET /img/noise.jpg?width=200 HTTP/1.1\r\nHost: a\r\n"
    pipelined = site.send(line + b"\r\n" + line + b"Connection: close\r\n\r\n")
    assert pipelined.status == 200
