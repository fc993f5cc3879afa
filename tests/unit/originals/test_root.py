"""Which names a new image may have, and that what is refused says why."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.errors import BadImageId
from imgserve.originals.folder import parts_of
from imgserve.originals.writable import DEPTH, ID_BYTES, PART_BYTES, check_id, new_id


@pytest.mark.parametrize(
    "image_id",
    [
        "shoe.jpg",
        "a/b/c.png",
        "no extension",
        "-rf [1] 100% 'it' \"is\".jpg",
        "größe/日本/👩\u200d🚀.webp",
        "a..b",
        "x" * PART_BYTES,
        "/".join(["x"] * DEPTH),
        "/".join(["y" * 249] * 4) + "z",
    ],
)
def test_ordinary_odd_names_are_taken(image_id: str) -> None:
    check_id(image_id)
    assert new_id(image_id) == image_id


@pytest.mark.parametrize(
    ("image_id", "why"),
    [
        ("", "empty"),
        ("/a", "slash"),
        ("a/", "slash"),
        ("a//b", "slash"),
        ("..", "dot"),
        ("a/../b", "dot"),
        (".hidden/a", "dot"),
        (".imgserve/trash", "dot"),
        ("a\\b", "backslash"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x85", "control"),
        ("a\u2028b", "control"),
        ("caf\udce9.jpg", "UTF-8"),
        ("cafe\u0301.jpg", "NFC"),
        ("x" * (PART_BYTES + 1), "part of it is longer"),
        ("ä" * 128, "part of it is longer"),
        ("/".join(["y" * 249] * 4) + "zz", f"longer than {ID_BYTES}"),
        ("/".join(["x"] * (DEPTH + 1)), f"more than {DEPTH}"),
    ],
)
def test_a_name_that_leads_elsewhere_or_to_trouble_is_refused(image_id: str, why: str) -> None:
    with pytest.raises(BadImageId, match=why):
        check_id(image_id)


def test_a_new_name_is_composed() -> None:
    assert new_id("cafe\u0301.jpg") == "caf\u00e9.jpg"


@given(st.text(st.sampled_from("a.\\/\0é\u0301\n") | st.characters(codec="utf-8"), max_size=12))
def test_what_is_taken_stays_below_the_root_and_is_composed(text: str) -> None:
    try:
        image_id = new_id(text)
    except BadImageId:
        return
    parts = parts_of(image_id)
    assert parts is not None
    assert not {"", ".", ".."} & set(parts)
    assert unicodedata.normalize("NFC", image_id) == image_id


@pytest.mark.parametrize("image_id", ["cafe\u0301", "caf\udce9", "a\nb", "a\\b"])
def test_odd_names_that_lie_there_already_are_names(image_id: str) -> None:
    assert parts_of(image_id) == (image_id,)
