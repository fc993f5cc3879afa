"""The text that tells where the next piece of a list begins."""

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.catalog.query import Place, Sort, read_cursor, read_digest, write_cursor, write_digest
from imgserve.errors import BadCursor


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.sampled_from(Sort), st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.binary(max_size=30))
def test_a_place_comes_back_as_it_was(sort: Sort, descending: bool, value: int, stored: bytes) -> None:
    text = write_cursor(sort, descending, value, os.fsdecode(stored))
    assert read_cursor(text, sort, descending) == Place(value, stored)


def test_the_longest_image_id_fits() -> None:
    text = write_cursor(Sort.ID, False, 0, "\udcff" * 2000)
    assert read_cursor(text, Sort.ID, False) == Place(0, b"\xff" * 2000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cut or changed"),
        ("{}", "not URL-safe base64"),
        ("é", "not URL-safe base64"),
        ("A" * 20_001, "longer than any"),
        (write_cursor(Sort.CREATED, True, 5, "a")[:-3], "cut or changed"),
        (packed(["created", 1, 5]), "does not hold a place"),
        (packed({"created": 1}), "does not hold a place"),
        (packed(["created", 1, "5", "a"]), "does not hold a place"),
        (packed(["created", 1, 5, 7]), "does not hold a place"),
        (packed(["changed", 1, 5, "a"]), "another order"),
        (packed(["created", 0, 5, "a"]), "another order"),
        (packed(["created", 1, 2**63, "a"]), "no list"),
        (packed(["created", 1, 5, "\ud800"]), "no list"),
        (packed(["created", 1, 5, "a" * 3000]), "no list"),
        (base64.urlsafe_b64encode(b"[" * 9000).decode(), "cut or changed"),
    ],
)
def test_a_cursor_that_is_none_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(BadCursor, match=says):
        read_cursor(text, Sort.CREATED, True)


@given(st.text())
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(text, Sort.CREATED, True)
    with pytest.raises(BadCursor):
        read_digest(text)


def test_a_place_among_duplicates_comes_back_and_another_is_refused() -> None:
    assert read_digest(write_digest("ab" * 32)) == b"\xab" * 32
    for wrong in (packed(["ab"]), packed(["AB" * 32]), packed("ab" * 32), write_cursor(Sort.ID, True, 0, "a")):
        with pytest.raises(BadCursor):
            read_digest(wrong)
