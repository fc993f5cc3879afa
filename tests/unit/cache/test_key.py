"""The name of a rendition."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.cache.key import RenditionKey, image_folder, is_image_folder, is_rendition_path

ANYTHING = st.text(st.characters(codec=None), max_size=300)
KEYS = st.builds(RenditionKey, ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
WORDS = st.text("ab-.~_&", max_size=3)
CLOSE_KEYS = st.builds(RenditionKey, st.just("i"), WORDS, WORDS, WORDS, WORDS)


def test_a_path_can_be_computed_by_hand() -> None:
    key = RenditionKey("products/shoe.jpg", "17f-2a", "format=webp&width=400", "0c1d", "webp")
    digest = hashlib.sha256(b"products/shoe.jpg").hexdigest()[:32]
    assert key.path == f"renditions/{digest[:2]}/{digest}/17f.2a-0c1d-format=webp&width=400.webp"


def test_a_path_below_another_folder_is_named_in_the_same_way() -> None:
    key = RenditionKey("a", "1", "x", "r", "raw")
    assert key.path_in("mezzanines") == key.path.replace("renditions", "mezzanines")
    assert is_rendition_path(key.path_in("mezzanines"))
    assert not is_rendition_path(key.path_in("others"))


def test_all_renditions_of_an_image_are_in_one_folder() -> None:
    assert RenditionKey("a", "1", "x", "r", "jpg").folder == image_folder("a")
    assert RenditionKey("a", "2", "y", "r", "png").folder == image_folder("a")
    assert image_folder("a") != image_folder("b")


def test_an_id_that_is_not_utf8_is_hashed_by_its_bytes() -> None:
    digest = hashlib.sha256(b"caf\xe9").hexdigest()[:32]
    assert image_folder("caf\udce9") == f"renditions/{digest[:2]}/{digest}"


def test_an_id_that_no_file_can_have_has_a_folder_too() -> None:
    assert is_image_folder(image_folder("\ud800"))


@pytest.mark.parametrize(
    ("canonical", "literal"),
    [
        ("", True),
        ("width=400", True),
        ("rect=0,0,1,1&crop=top:left", True),
        ("w" * 150, True),
        ("w" * 151, False),
        ("~width", False),
        ("../../etc/passwd", False),
        ("a/b", False),
        ("a\0b", False),
        ("a\nb", False),
        ("größe", False),
    ],
)
def test_a_canonical_text_stands_in_the_name_or_is_hashed(canonical: str, literal: bool) -> None:
    path = RenditionKey("i", "v", canonical, "r", "jpg").path
    expected = canonical if literal else "~" + hashlib.sha256(canonical.encode()).hexdigest()[:32]
    assert path.rpartition("/")[2] == f"v-r-{expected}.jpg"


@given(KEYS)
def test_a_path_is_safe_whatever_comes_in(key: RenditionKey) -> None:
    parts = key.path.split("/")
    assert len(parts) == 4
    assert parts[0] == "renditions"
    assert "\0" not in key.path
    assert not any(part in {"", ".", ".."} for part in parts)
    assert max(len(part.encode()) for part in parts) < 255
    assert is_rendition_path(key.path)


@given(CLOSE_KEYS, CLOSE_KEYS)
def test_different_keys_never_share_a_path_or_a_tag(one: RenditionKey, other: RenditionKey) -> None:
    assert (one == other) == (one.path == other.path)
    assert (one == other) == (one.tag == other.tag)


def test_a_tag_is_32_hex_digits() -> None:
    tag = RenditionKey("i", "v", "c", "r", "jpg").tag
    assert len(tag) == 32
    assert set(tag) <= set("0123456789abcdef")


def test_a_tag_is_the_same_in_every_process_and_release() -> None:
    assert RenditionKey("i", "v", "c", "r", "jpg").tag == "1d06844689ab21accfecfd5a44a6fb8b"


@pytest.mark.parametrize("field", ["image_id", "version", "canonical", "revision", "extension"])
def test_every_part_changes_the_tag(field: str) -> None:
    parts = {"image_id": "i", "version": "v", "canonical": "c", "revision": "r", "extension": "jpg"}
    assert RenditionKey(**parts).tag != RenditionKey(**{**parts, field: "other"}).tag


@pytest.mark.parametrize(
    "path", ["", "renditions", "renditions/ab/cd/v-r-c.jpg", "other/v-r-.jpg", image_folder("i") + "/.v-r-c.jpg.Xy12"]
)
def test_other_names_are_not_taken_for_renditions(path: str) -> None:
    assert not is_rendition_path(path)
