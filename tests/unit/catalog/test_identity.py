"""How image ids are stored."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.catalog.tables import MOST_BYTES, after_prefix, image_id_of, stored_id

IDS = st.binary(max_size=40).map(os.fsdecode)


@given(IDS)
def test_any_file_name_comes_back_as_it_was(image_id: str) -> None:
    stored = stored_id(image_id)
    assert stored is not None
    assert image_id_of(stored) == image_id


@pytest.mark.parametrize("image_id", ["\ud800", "a\udfff", "x" * (MOST_BYTES + 1), "é" * (MOST_BYTES // 2 + 1)])
def test_what_is_no_file_name_or_too_long_is_not_stored(image_id: str) -> None:
    assert stored_id(image_id) is None


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_the_range_of_a_prefix_holds_exactly_what_begins_with_it(prefix: bytes, stored: bytes) -> None:
    end = after_prefix(prefix)
    assert (stored >= prefix and (end is None or stored < end)) == stored.startswith(prefix)
