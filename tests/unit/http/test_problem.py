import json

import pytest

from imgserve.errors import (
    BadTransform,
    Busy,
    ImageNotFound,
    ImgserveError,
    LimitExceeded,
    MethodNotAllowed,
    RangeNotSatisfiable,
)
from imgserve.http.problem import problem


def answer(error: ImgserveError, instance: str = "/img/a.jpg", **more: int) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = problem(error, instance=instance, request_id="r1", **more)
    return status, {name.decode(): value.decode() for name, value in headers}, body


def test_a_problem_reports_type_title_status_detail_code_and_request_id() -> None:
    status, headers, body = answer(BadTransform(["width: expected 1..8192"]))
    assert status == 400
    assert json.loads(body) == {
        "type": "/docs/errors#bad_transform",
        "title": "Bad transform",
        "status": 400,
        "detail": "width: expected 1..8192",
        "instance": "/img/a.jpg",
        "code": "bad_transform",
        "request_id": "r1",
        "mistakes": ["width: expected 1..8192"],
    }
    assert headers == {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize(
    ("error", "name", "expected"),
    [
        (ImageNotFound(), "cache-control", "max-age=10"),
        (Busy(retry_after=2), "retry-after", "2"),
        (Busy(), "cache-control", "no-store"),
        (MethodNotAllowed(members={"allow": ["GET", "HEAD"]}), "allow", "GET, HEAD"),
        (MethodNotAllowed(members={"allow": "GET"}), "allow", "GET"),
        (RangeNotSatisfiable(members={"size": 10}), "content-range", "bytes */10"),
    ],
)
def test_an_error_brings_its_header(error: ImgserveError, name: str, expected: str) -> None:
    assert answer(error)[1][name] == expected


def test_absence_may_be_cached_for_another_time_or_not_at_all() -> None:
    assert answer(ImageNotFound(), not_found_max_age=60)[1]["cache-control"] == "max-age=60"
    assert answer(ImageNotFound(), not_found_max_age=0)[1]["cache-control"] == "no-store"


def test_members_cannot_replace_what_every_problem_has() -> None:
    document = json.loads(answer(LimitExceeded(members={"status": 200, "code": "fine", "limit": "pixels"}))[2])
    assert (document["status"], document["code"], document["limit"]) == (422, "limit_exceeded", "pixels")


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a\udcff\ud800\x00\r\nb", "größe"])
def test_what_comes_back_of_a_hostile_request_is_plain_json_that_no_browser_takes_for_a_page(hostile: str) -> None:
    _, headers, body = answer(BadTransform([hostile]), instance=f"/img/{hostile}")
    assert (headers["content-type"], headers["x-content-type-options"]) == ("application/problem+json", "nosniff")
    assert b"\\u003c" not in body
    assert json.loads(body.decode("utf-8"))["instance"].isascii()
    assert headers["content-length"] == str(len(body))
