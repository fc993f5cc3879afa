import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.http.conditional import (
    entity_tag,
    entity_tags,
    evaluate,
    known_tag,
    match_holds,
    parse_http_date,
    request_conditions,
)

THEN = 784111777
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "proceed"),
        ({"if-none-match": '"a-1f"'}, "not_modified"),
        ({"if-none-match": 'W/"a-1f"'}, "not_modified"),
        ({"if-none-match": '"b-1f", "a-2"'}, "not_modified"),
        ({"if-none-match": '"a-"'}, "not_modified"),
        ({"if-none-match": '"b-a"'}, "proceed"),
        ({"if-none-match": '"-a"'}, "proceed"),
        ({"if-none-match": '"ab-1f"'}, "proceed"),
        ({"if-match": '"a-1f"'}, "proceed"),
        ({"if-match": 'W/"a-1f"'}, "precondition_failed"),
        ({"if-match": '"b-1f", "a-2"'}, "proceed"),
        ({"if-none-match": '"a"'}, "not_modified"),
        ({"if-none-match": 'W/"a"'}, "not_modified"),
        ({"if-none-match": '"x", "a"'}, "not_modified"),
        ({"if-none-match": '"x,y","a"'}, "not_modified"),
        ({"if-none-match": '"x,\\"a"'}, "proceed"),
        ({"if-none-match": " * "}, "not_modified"),
        ({"if-none-match": '"b"'}, "proceed"),
        ({"if-none-match": "a"}, "proceed"),
        ({"if-none-match": '"b"', "if-modified-since": SAME}, "proceed"),
        ({"if-none-match": "", "if-modified-since": SAME}, "proceed"),
        ({"if-none-match": '"a"', "if-modified-since": BEFORE}, "not_modified"),
        ({"if-modified-since": SAME}, "not_modified"),
        ({"if-modified-since": LATER}, "not_modified"),
        ({"if-modified-since": BEFORE}, "proceed"),
        ({"if-modified-since": "yesterday"}, "proceed"),
        ({"if-modified-since": f"{SAME}, {SAME}"}, "proceed"),
        ({"if-match": '"a"'}, "proceed"),
        ({"if-match": "*"}, "proceed"),
        ({"if-match": '"b", "a"'}, "proceed"),
        ({"if-match": 'W/"a"'}, "precondition_failed"),
        ({"if-match": '"b"'}, "precondition_failed"),
        ({"if-match": '"a"', "if-unmodified-since": BEFORE}, "proceed"),
        ({"if-match": '"b"', "if-none-match": '"a"'}, "precondition_failed"),
        ({"if-match": '"a"', "if-none-match": '"a"'}, "not_modified"),
        ({"if-unmodified-since": SAME}, "proceed"),
        ({"if-unmodified-since": BEFORE}, "precondition_failed"),
        ({"if-unmodified-since": "never"}, "proceed"),
        ({"if-unmodified-since": BEFORE, "if-none-match": '"a"'}, "precondition_failed"),
    ],
)
def test_preconditions_are_evaluated_in_order(headers: dict[str, str], expected: str) -> None:
    assert evaluate(headers, key="a", last_modified=THEN) == expected


def test_a_tag_names_the_picture_and_its_bytes() -> None:
    assert entity_tag("a", 0x1F) == '"a-0000001f"'


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        (None, True),
        ("*", True),
        ('"a-1"', True),
        ('"b-1", "a-1"', True),
        ('W/"a-1"', False),
        ('"a-2"', False),
        ('"a"', False),
        ("", False),
    ],
)
def test_if_match_means_exactly_these_bytes(match: str | None, holds: bool) -> None:
    assert match_holds({} if match is None else {"if-match": match}, '"a-1"') is holds


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"if-none-match": '"a-1"'}, '"a-1"'),
        ({"if-none-match": '"b-1", W/"a-2", "a-1"'}, 'W/"a-2"'),
        ({"if-none-match": '"a"'}, '"a"'),
        ({"if-none-match": "*"}, None),
        ({"if-none-match": '"b"'}, None),
        ({"if-modified-since": SAME}, None),
        ({"if-match": '"a-1"'}, None),
    ],
)
def test_the_tag_of_a_client_is_returned_as_sent(headers: dict[str, str], expected: str | None) -> None:
    assert known_tag(headers, "a") == expected


@pytest.mark.parametrize("name", ["if-modified-since", "if-unmodified-since"])
def test_dates_are_ignored_where_no_date_is_known(name: str) -> None:
    assert evaluate({name: BEFORE}, key="a", last_modified=None) == "proceed"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', ['"a"']),
        ('"a", W/"b"', ['"a"', 'W/"b"']),
        (' , "a" ,, "b,c" ', ['"a"', '"b,c"']),
        ('"a" "b"', []),
        ('w/"a"', []),
        ('x"a", "b"', ['"b"']),
        ('"a', []),
        ('""', ['""']),
        ('"ä"', ['"ä"']),
        ('"a b"', []),
        ("", []),
    ],
)
def test_entity_tag_lists_are_split_outside_of_quotes(value: str, expected: list[str]) -> None:
    assert entity_tags(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SAME, THEN),
        ("Sunday, 06-Nov-94 08:49:37 GMT", THEN),
        ("Sun Nov  6 08:49:37 1994", THEN),
        ("Sun, 31 Dec 2023 23:59:60 GMT", 1704067200),
        ("Friday, 06-Nov-76 08:49:37 GMT", 3371878177),
        ("Friday, 06-Nov-77 08:49:37 GMT", 247654177),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT; length=3", None),
        ("Sun Nov 6 08:49:37 1994", None),
        ("1994-11-06T08:49:37Z", None),
        ("", None),
        (None, None),
    ],
)
def test_the_three_date_forms_are_read(value: str | None, expected: int | None) -> None:
    assert parse_http_date(value, this_year=2026) == expected


def test_conditions_are_picked_and_repeated_lines_joined() -> None:
    raw = [(b"host", b"a"), (b"if-none-match", b'"a"'), (b"range", b"bytes=0-"), (b"if-none-match", b'"b"')]
    assert request_conditions(raw) == {"if-none-match": '"a", "b"', "range": "bytes=0-"}


@given(st.text(st.sampled_from('W/"a*, SunNov0123456789:GMT-\\\x00é'), max_size=200))
def test_any_value_gives_a_verdict(value: str) -> None:
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"):
        assert evaluate({name: value}, key="a", last_modified=THEN) in {
            "proceed",
            "not_modified",
            "precondition_failed",
        }
