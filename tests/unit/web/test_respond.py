"""Responses with a rendition: headers, ranges and HEAD."""

import asyncio
from collections.abc import Mapping
from email.utils import formatdate

import pytest
from starlette.types import Message

from imgserve.cache import RenditionKey
from imgserve.errors import RangeNotSatisfiable
from imgserve.formats import FORMATS
from imgserve.http.headers import CachePolicy
from imgserve.images.resolve import RenditionRequest
from imgserve.model import Original, Rendition
from imgserve.transform import ParsedQuery, Transform
from imgserve.web.respond import (
    Delivery,
    ImageResponse,
    UrlOptions,
    Validators,
    image_response,
    picture_headers,
    send_picture,
    send_response,
    stable_headers,
)

VALIDATORS = Validators("tag", "Thu, 01 Jan 2015 00:00:00 GMT", 1_420_070_400)
THEN = 1_420_070_400
RENDITION = Rendition(bytes(range(100)), "image/webp", 10, 10, ("first frame only",))
TAG = '"tag-58c932f5"'


def made_of(modified_ns: int, date: int) -> ImageResponse:
    """Make the headers of a picture whose file has a time, in a response with a Date."""
    original = Original("a.jpg", "1_2", 2, modified_ns, FORMATS["jpg"], 4, 3, "/o/a.jpg")
    key = RenditionKey("a.jpg", "1_2", "", "r", "jpg")
    request = RenditionRequest(original, Transform(), key, ParsedQuery(Transform()))
    return image_response(request, UrlOptions("/img", CachePolicy(max_age=60)), date, Delivery(CachePolicy(max_age=60)))


def sent(*, head: bool = False, **conditions: str) -> tuple[int, dict[bytes, bytes], bytes]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    fields: Mapping[str, str] = {name.replace("_", "-"): value for name, value in conditions.items()}
    asyncio.run(send_picture(send, RENDITION, [(b"etag", b'"tag"')], fields, VALIDATORS, head=head))
    start, body = messages
    assert not body.get("more_body")
    return start["status"], dict(start["headers"]), body["body"]


def test_a_picture_is_sent_whole_with_its_length() -> None:
    assert sent() == (200, {b"etag": b'"tag"', b"content-length": b"100"}, RENDITION.data)


def test_head_sends_the_headers_alone() -> None:
    assert sent(head=True) == (200, {b"etag": b'"tag"', b"content-length": b"100"}, b"")


def test_a_range_is_sent_as_a_part() -> None:
    status, headers, body = sent(range="bytes=10-19")
    assert (status, body) == (206, RENDITION.data[10:20])
    assert (headers[b"content-range"], headers[b"content-length"]) == (b"bytes 10-19/100", b"10")


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (TAG, 206),
        ('"old"', 200),
        ('"tag"', 200),
        ('"tag-00000000"', 200),
        (f"W/{TAG}", 200),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 206),
        ("Fri, 02 Jan 2015 00:00:00 GMT", 200),
        ("nonsense", 200),
    ],
)
def test_a_part_is_sent_only_of_what_the_client_has_begun(if_range: str, status: int) -> None:
    assert sent(range="bytes=0-9", if_range=if_range)[0] == status


def test_a_range_is_nothing_to_head() -> None:
    assert sent(head=True, range="bytes=0-9")[0] == 200
    assert sent(head=True, range="bytes=900-")[0] == 200


def test_a_range_outside_is_refused_with_the_size() -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        sent(range="bytes=100-")
    assert refused.value.members == {"size": 100}


def test_a_304_has_no_body() -> None:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    asyncio.run(send_response(send, 304, [(b"etag", b'"tag"')]))
    assert [message.get("status") for message in messages] == [304, None]
    assert (messages[0]["headers"], messages[1]["body"]) == ([(b"etag", b'"tag"')], b"")


@pytest.mark.parametrize(
    ("vary", "told"), [((), None), (("Accept",), b"Accept"), (("Accept", "Origin"), b"Accept, Origin")]
)
def test_stable_headers_report_validators_lifetime_and_what_they_vary_by(
    vary: tuple[str, ...], told: bytes | None
) -> None:
    headers = dict(stable_headers(VALIDATORS, CachePolicy(max_age=60), vary))
    assert b"etag" not in headers
    assert headers[b"last-modified"] == b"Thu, 01 Jan 2015 00:00:00 GMT"
    assert headers[b"cache-control"] == b"max-age=60"
    assert headers.get(b"vary") == told


@pytest.mark.parametrize(
    ("modified_ns", "date", "expected"),
    [
        (THEN * 10**9 + 999_999_999, THEN + 1, THEN),
        (THEN * 10**9, THEN, THEN),
        ((THEN + 3) * 10**9, THEN + 1, THEN + 1),
        (-1, THEN, 0),
    ],
)
def test_last_modified_is_never_later_than_the_date(modified_ns: int, date: int, expected: int) -> None:
    made = made_of(modified_ns, date)
    assert made.validators.modified == expected
    assert dict(made.stable)[b"last-modified"] == formatdate(expected, usegmt=True).encode()
    assert made.is_dated(date)


@pytest.mark.parametrize(
    ("file", "made", "date", "fits"),
    [
        (100, 100, 100, True),
        (100, 100, 99, False),  # the clock was set back
        (100, 99, 99, True),  # the file is dated in the future
        (105, 99, 100, True),  # and keeps what was sent first
        (105, 99, 98, False),
        (100, 99, 100, False),  # its time has come
    ],
)
def test_a_remembered_response_is_used_while_its_last_modified_fits(
    file: int, made: int, date: int, *, fits: bool
) -> None:
    assert made_of(file * 10**9, made).is_dated(date) is fits


def test_a_picture_is_described_and_made_harmless() -> None:
    headers = dict(picture_headers(RENDITION, 'inline; filename="a.webp"', ()))
    assert headers[b"content-type"] == b"image/webp"
    assert headers[b"content-disposition"] == b'inline; filename="a.webp"'
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"sandbox" in headers[b"content-security-policy"]
    assert headers[b"x-image-adjusted"] == b"first frame only"


def test_adjustments_of_the_url_are_listed_before_those_of_the_picture() -> None:
    headers = dict(picture_headers(RENDITION, "inline", ("size lowered", "dpr lowered \u2013 to 5")))
    assert headers[b"x-image-adjusted"] == b"size lowered; dpr lowered ? to 5; first frame only"


def test_the_header_is_absent_without_adjustments() -> None:
    plain = Rendition(b"x", "image/png", 1, 1)
    assert b"x-image-adjusted" not in dict(picture_headers(plain, "inline", ()))
