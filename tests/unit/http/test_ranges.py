import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.errors import RangeNotSatisfiable
from imgserve.http.conditional import content_range, parse_range, range_applies


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-0", (0, 0)),
        ("bytes=2-5", (2, 5)),
        ("bytes=2-", (2, 9)),
        ("bytes=9-9", (9, 9)),
        ("bytes=0-99", (0, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("BYTES= 1-2 ", (1, 2)),
        ("bytes=5-2", None),
        ("bytes=99-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,3-4", None),
        ("bytes=٣-٤", None),  # digits, but none of HTTP
        ("items=0-1", None),
        ("bytes 0-1", None),
        (f"bytes=0-{'9' * 5000}", None),
    ],
)
def test_a_single_range_is_read_and_all_else_means_the_whole(
    header: str | None, expected: tuple[int, int] | None
) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=99-", "bytes=-0"])
def test_a_range_outside_reports_the_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, 10)
    assert caught.value.members == {"size": 10}


def test_the_end_of_nothing_is_the_whole() -> None:
    assert parse_range("bytes=-5", 0) is None


@given(st.text(st.sampled_from("bytes=-0123456789, \t\x00é"), max_size=60), st.integers(0, 2000))
def test_a_range_lies_inside_or_is_refused(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert span is None or 0 <= span[0] <= span[1] < size


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [
        (None, True),
        ('"a"', True),
        ('W/"a"', False),
        ('"b"', False),
        ('"a-00000001"', False),
        ("Sun, 06 Nov 1994 08:49:37 GMT", True),
        ("Sun, 06 Nov 1994 08:49:38 GMT", False),
        ("rubbish", False),
        ("", False),
    ],
)
def test_if_range_must_name_exactly_what_would_be_sent(if_range: str | None, expected: bool) -> None:
    assert range_applies(if_range, etag='"a"', last_modified=784111777) is expected


def test_a_weak_tag_of_ours_never_allows_a_range() -> None:
    assert not range_applies('W/"a"', etag='W/"a"', last_modified=None)


def test_content_range_names_first_last_and_size() -> None:
    assert content_range(2, 5, 10) == "bytes 2-5/10"
