"""Names read back from paths."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.cache.key import RenditionKey, name_range, siblings

KEY = RenditionKey("a/b.jpg", "1f_2c", "format=jpg&width=800", "0c", "jpg")
WORDS = st.text("0123456789abcdefxyz_-.~=,:;&+%@!", max_size=40)


@given(canonical=WORDS, extension=st.sampled_from(["jpg", "webp", "png"]))
def test_a_name_is_read_back_as_it_was_written(canonical: str, extension: str) -> None:
    other = replace(KEY, canonical=canonical, extension=extension)
    first, last = name_range(KEY)
    assert first < other.path < last
    read = [one.key for one in siblings(KEY, [(other.path, 4, 3)])]
    assert read == ([] if other == KEY or canonical.startswith("~") else [other])


@pytest.mark.parametrize(
    "other",
    [
        KEY,
        replace(KEY, canonical="w" * 151),
        replace(KEY, canonical="width=ü"),
        replace(KEY, version="1f_2d"),
        replace(KEY, version="1f_2c_"),
        replace(KEY, revision="0d"),
        replace(KEY, image_id="a/c.jpg"),
    ],
)
def test_itself_a_hashed_name_and_other_versions_are_no_siblings(other: RenditionKey) -> None:
    assert siblings(KEY, [(other.path, 4, 3)]) == []


@pytest.mark.parametrize(
    "other", [replace(KEY, version="1f_2d"), replace(KEY, revision="0d"), replace(KEY, image_id="a/c.jpg")]
)
def test_the_range_of_names_holds_no_other_version(other: RenditionKey) -> None:
    first, last = name_range(KEY)
    assert not first < other.path < last
